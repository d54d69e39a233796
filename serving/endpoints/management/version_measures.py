"""Measures of versions: of their checks, of the queries they were asked, and of their rewards."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import msgspec
import redis
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from core.redis.redis_client import redis_client
from registry.models import Application, ModelVersion, Release, VersionCheck
from registry.services.versions import CONFIGURABLE, UPLOADED
from selection.models import SelectionSnapshot
from serving.capture.models import TrafficReplay
from serving.capture.replay_sums import sums_in
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import memory_of
from serving.engine.stats import LATENCY_BOUNDS, quantile
from serving.metrics.outcomes import BUCKETS
from serving.metrics.published import ARM_COUNTERS, read_published
from serving.traffic.models import TrafficRow

# Unless a caller says otherwise, queries and labels of so long ago count.
USUAL = timedelta(days=7)
# Columns in which versions of a model may differ; names and notes always do.
COMPARED = tuple(
    name for name in (*UPLOADED, "remote", *CONFIGURABLE) if name not in ("version", "notes")
)


class _Known(msgspec.Struct):
    reward_interval: dict[str, float] | None = None


# There may be tens of thousands of rows, whose JSON is decoded as far as it is needed.
_parts_in = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_arms_in = msgspec.json.Decoder(dict[str, _Known]).decode
_rewards_in = msgspec.json.Decoder(dict[str, tuple[float, float]]).decode


class Stretch(NamedTuple):
    """A version, and the time in which it is measured."""

    version: ModelVersion
    since: datetime
    until: datetime


@dataclass(slots=True, kw_only=True)
class RewardMeasure:
    """Rewards of a version in one application; the interval is of all that is known of it."""

    application: str
    labels: int = 0
    total: float = 0.0
    interval: dict[str, float] | None = None

    @property
    def mean(self) -> float | None:
        if self.labels:
            return self.total / self.labels
        return self.interval["value"] if self.interval else None


@dataclass(slots=True, kw_only=True)
class VersionMeasures:
    """All that is known of one version; counts and rewards are of a stretch of time."""

    version: ModelVersion
    since: datetime
    until: datetime
    check: VersionCheck | None
    is_live: bool
    start_s: float | None = None
    asked: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0
    refused: int = 0
    # Times of the answers to queries that asked it, by bucket of LATENCY_BOUNDS.
    answer_times: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    # Times in the model, of batches that it answered; without any, of single inputs in its check.
    p50_ms: float | None = None
    p99_ms: float | None = None
    served: bool = False
    # What its largest ready replica takes; None without one.
    memory_bytes: int | None = None
    rewards: list[RewardMeasure] = field(default_factory=list)
    # Its newest replay that is done: the application, and what `ReplaySums` found.
    replay: dict[str, Any] | None = None

    @property
    def arm(self) -> str:
        return str(self.version)

    @property
    def size(self) -> int:
        return self.version.size

    @property
    def answer_p99_ms(self) -> float | None:
        seconds = quantile(self.answer_times, bounds=LATENCY_BOUNDS, q=0.99)
        return None if seconds is None else seconds * 1e3

    @property
    def missed_share(self) -> float | None:
        """The share of calls late or failed; inputs refused as invalid don't count."""
        judged = self.answered + self.late + self.failed
        return (self.late + self.failed) / judged if judged else None

    @property
    def kept(self) -> dict[str, Any] | None:
        """Return how far it agreed with the version live then on kept inputs, if it was asked."""
        return self.check.report.get("kept") if self.check is not None else None

    @property
    def check_state(self) -> str:
        return self.check.state if self.check is not None else "none"

    @property
    def check_s(self) -> float | None:
        """Return how long its check took."""
        if self.check is None or self.check.ended_at is None:
            return None
        return (self.check.ended_at - self.check.created_at).total_seconds()


def measures_of(
    versions: Sequence[ModelVersion], *, applications: Iterable[Application] | None = None
) -> list[VersionMeasures]:
    """Return the measures of versions in the usual time until now.

    Rewards are of `applications`, of all that ask their models unless given.
    """
    if applications is None:
        models = {version.model_id for version in versions}
        applications = Application.objects.filter(routes__model__in=models).distinct()
    now = timezone.now()
    asked = [Stretch(version, now - USUAL, now) for version in versions]
    return measures_within(asked, applications=applications)


def measures_within(
    asked: Sequence[Stretch], *, applications: Iterable[Application]
) -> list[VersionMeasures]:
    """Return the measures of versions, each in its own time; many cost as many queries as one."""
    versions = {version.pk: version for version, _, _ in asked}
    checks = {c.version_id: c for c in VersionCheck.objects.filter(version__in=versions)}
    last = {r.version_id: r for r in Release.objects.last_live_of(versions.values())}
    found = [
        VersionMeasures(
            version=version,
            since=since,
            until=until,
            check=checks.get(version.pk),
            is_live=version.model.live_version_id == version.pk,
            start_s=_start_s(last.get(version.pk)),
        )
        for version, since, until in asked
    ]
    names = {application.pk: application.name for application in applications}
    if found and names:
        _add_replays(found, applications=names)
        _add_traffic(found, applications=names.keys())
        _add_rewards(found, applications=names)
    _add_present(found)
    return found


def differences(versions: Sequence[ModelVersion]) -> dict[str, list[Any]]:
    """Return the columns in which versions differ, each with the value of every version."""
    values = {name: [getattr(version, name) for version in versions] for name in COMPARED}
    return {name: each for name, each in values.items() if any(one != each[0] for one in each)}


def leader(measures: Sequence[VersionMeasures]) -> tuple[str, VersionMeasures | None]:
    """Return an application in which rewards can be compared, and the version proved best there.

    The first is "" where no two versions have an interval in one application.
    """
    shared = ""
    for name in dict.fromkeys(reward.application for one in measures for reward in one.rewards):
        known = [
            (reward.interval, one)
            for one in measures
            for reward in one.rewards
            if reward.application == name and reward.interval is not None
        ]
        if len(known) < 2:
            continue
        shared = shared or name
        known.sort(key=lambda pair: -pair[0]["value"])
        best, rest = known[0], known[1:]
        if all(best[0]["low"] > interval["high"] for interval, _ in rest):
            return name, best[1]
    return shared, None


def _start_s(release: Release | None) -> float | None:
    """Return how long its replicas took to start when it was deployed last."""
    if release is None or release.started_at is None or release.live_at is None:
        return None
    return (release.live_at - release.started_at).total_seconds()


def _rows(
    model: type[TrafficRow | SelectionSnapshot],
    *columns: str,
    found: Sequence[VersionMeasures],
    applications: Iterable[int],
) -> Iterable[Any]:
    """Return the application, time and JSON text of these columns of rows in the time of any."""
    times = (Q(at__range=each) for each in {(one.since, one.until) for one in found})
    rows = model._default_manager.filter(reduce(or_, times), application__in=applications)
    texts = {f"{name}_text": Cast(name, TextField()) for name in columns}
    ordered = rows.order_by("application", "at").annotate(**texts)
    return ordered.values_list("application", "at", *texts).iterator()


def _by_arm(found: Sequence[VersionMeasures]) -> dict[str, list[VersionMeasures]]:
    by_arm = defaultdict[str, list[VersionMeasures]](list)
    for one in found:
        by_arm[one.arm].append(one)
    return by_arm


def _add_traffic(found: Sequence[VersionMeasures], *, applications: Iterable[int]) -> None:
    """Add the calls of each one's time, and how long their queries took."""
    by_arm = _by_arm(found)
    for _, at, text in _rows(TrafficRow, "versions", found=found, applications=applications):
        parts = _parts_in(text)
        for arm in by_arm.keys() & parts.keys():
            _, calls, times = msgspec.json.decode(parts[arm])
            for one in by_arm[arm]:
                if one.since <= at < one.until:
                    for name, number in zip(ARM_COUNTERS, calls, strict=True):
                        setattr(one, name, getattr(one, name) + number)
                    for place, number in zip(times[::2], times[1::2], strict=True):
                        one.answer_times[place] += number


def _add_replays(found: Sequence[VersionMeasures], *, applications: Mapping[int, str]) -> None:
    done = TrafficReplay.objects.filter(
        version__in=[one.version.pk for one in found],
        application__in=applications,
        state=TrafficReplay.State.DONE,
    )
    newest = {replay.version_id: replay for replay in done.order_by("pk")}
    for one in found:
        if (replay := newest.get(one.version.pk)) is not None:
            name = applications[replay.application_id]
            one.replay = {"application": name, **sums_in(replay.sums).summary()}


def _add_rewards(found: Sequence[VersionMeasures], *, applications: Mapping[int, str]) -> None:
    by_arm, seen = _by_arm(found), dict[tuple[int, int], RewardMeasure]()
    columns = _rows(
        SelectionSnapshot, "arms", "rewards", found=found, applications=applications.keys()
    )
    for key, at, *texts in columns:
        arms, rewards = _arms_in(texts[0]), _rewards_in(texts[1])
        for arm in by_arm.keys() & (arms.keys() | rewards.keys()):
            labels, total = rewards.get(arm, (0.0, 0.0))
            interval = arms[arm].reward_interval if arm in arms else None
            for one in by_arm[arm]:
                if one.since < at <= one.until:
                    empty = RewardMeasure(application=applications[key])
                    reward = seen.setdefault((id(one), key), empty)
                    reward.labels, reward.total = reward.labels + int(labels), reward.total + total
                    reward.interval = interval or reward.interval
    for one in found:
        rewards_of = (seen.get((id(one), key)) for key in applications)
        one.rewards = [each for each in rewards_of if each and each.mean is not None]


def _add_present(found: Sequence[VersionMeasures]) -> None:
    """Add what processes and replicas say of now."""
    documents: list[dict[str, Any]] = []
    memory: Mapping[int, int] = {}
    with suppress(redis.RedisError):
        documents = read_published(redis_client())
        memory = memory_of(own_directory().read())
    for one in found:
        one.memory_bytes = memory.get(one.version.pk)
        published = [d["versions"][one.arm] for d in documents if one.arm in d.get("versions", {})]
        counts = [sum(c) for c in zip(*(p["model_seconds"]["counts"] for p in published))]  # noqa: B905  (each has as many)
        _set_latency(one, counts=counts)


def _set_latency(one: VersionMeasures, *, counts: Sequence[int]) -> None:
    if any(counts):
        p50, p99 = (quantile(list(counts), bounds=LATENCY_BOUNDS, q=q) for q in (0.5, 0.99))
        one.p50_ms, one.p99_ms, one.served = (p50 or 0) * 1e3, (p99 or 0) * 1e3, True
        return
    timed = (one.check.report.get("latency") if one.check is not None else None) or [{}]
    one.p50_ms, one.p99_ms = timed[0].get("p50_ms"), timed[0].get("p99_ms")
