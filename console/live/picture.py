"""The live picture of the whole system: what processes publish, selection and replicas."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.urls import reverse

from console.live.model_load import Document
from console.live.model_rows import alarms, model_rows, read_sources
from console.templatetags.console import ago
from console.words import formats
from console.words.experiment_health import alarms_text
from core.errors import Unavailable
from core.redis.redis_client import redis_client
from core.specs import ApplicationSpec, Snapshot, registered_arms
from registry.following.reading import build_snapshot
from registry.models import Release
from registry.releases.control import Control, read_control
from registry.releases.progress import what_it_waits_for
from selection.evaluation.health.watching import all_findings
from selection.reliability import FULL
from selection.store.learned_contexts import describe_all
from serving.metrics.masters import dying, read_masters
from serving.metrics.published import APPLICATION_COUNTERS

# How a query can end without a model's answer, by its counter. Being too unsure is no fault: the
# application's own threshold asked for that.
UNANSWERED = {
    "overloaded": "overloaded",
    "timed_out": "too late",
    "failed": "failed",
    "refused": "refused",
    "unconnected": "no replica",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Traffic of one application: `counts` since the start, `recent` in the last seconds."""

    counts: Mapping[str, int]
    recent: Mapping[str, int]
    # None if no process has published anything of it.
    rate: float | None
    p50_ms: float | None
    p99_ms: float | None

    def recent_share(self, *counters: str) -> float:
        """Return the share of the last seconds' queries, answered or not, counted there."""
        asked = self.recent["queries"] + self.recent["errors"]
        return sum(self.recent[name] for name in counters) / asked if asked else 0.0

    @property
    def asked(self) -> int:
        """All queries since the processes started, those that ended in an error included."""
        return self.counts["queries"] + self.counts["errors"]

    @property
    def missed(self) -> int:
        """Queries that missed the objective: answered late, or not at all."""
        return self.counts["late"] + self.counts["errors"]


def picture() -> dict[str, Any]:
    """Return all that the live page shows, as JSON values. Blocking; never raises for Redis."""
    snapshot = build_snapshot()
    sources = read_sources(snapshot)
    problem = sources.problem
    documents = sources.documents
    models = model_rows(snapshot, sources=sources)
    control = None if problem else _control()
    return {
        "at": time.time(),
        "reachable": sources.reachable,
        "problem": problem or (control.problem if control else "") or _problem(documents),
        "alarms": alarms(models),
        "web": _web(documents, reachable=sources.reachable),
        "applications": _applications(snapshot, documents=documents, reachable=not problem),
        "models": models,
        "releases": _releases(),
        "processes": process_rows(documents, sources.consoles),
    }


def process_rows(
    predicting: Iterable[Document], consoles: Iterable[Document]
) -> list[dict[str, Any]]:
    """Return a row for each process that has published lately, the oldest of each kind first."""
    return [
        _process(document, kind=kind)
        for kind, documents in (("predict", predicting), ("console", consoles))
        for document in sorted(documents, key=lambda document: document.get("since", 0.0))
    ]


def _process(document: Document, *, kind: str) -> dict[str, Any]:
    pid, host, since = document.get("pid"), document.get("host"), document.get("since")
    where = f" on {host}" if host else ""
    code = ", compiled" if document.get("compiled") else ""
    if why := document.get("uncompiled"):
        code = f", as Python: what is compiled {why}"
    return {
        "id": document["id"],
        "text": {
            "kind": kind,
            "what": f"process {pid}{where}{code}" if pid else formats.NOTHING,
            "memory": formats.mebibytes(document.get("rss_bytes", 0)),
            "since": f"started {ago(datetime.fromtimestamp(since, tz=UTC))}" if since else "",
        },
    }


def combined(documents: Sequence[Document], *, application: str, arms: Iterable[str]) -> Traffic:
    """Add up what the web processes say of one application; the hits are those of its arms."""
    mentions = [
        d["applications"][application] for d in documents if application in d["applications"]
    ]
    versions = [d.get("versions", {}).get(arm, {}) for d in documents for arm in arms]
    recent = [counts.get("recent", {}) for counts in mentions]
    return Traffic(
        counts=_added_up(mentions, APPLICATION_COUNTERS) | _added_up(versions, ("hits", "misses")),
        recent=_added_up(recent, APPLICATION_COUNTERS),
        rate=sum(counts.get("rate") or 0.0 for counts in mentions) if mentions else None,
        p50_ms=_slowest(mentions, "p50_ms"),
        p99_ms=_slowest(mentions, "p99_ms"),
    )


def _added_up(counted: Sequence[Mapping[str, int]], names: Iterable[str]) -> dict[str, int]:
    return {name: sum(counts.get(name, 0) for counts in counted) for name in names}


def standing(
    traffic: Traffic, *, spec: ApplicationSpec, arms: int, reachable: bool = True
) -> tuple[str, str]:
    """Return how an application stands: a stable word, and the words that people read."""
    if not spec.routes:
        return "stopped", "No model routed"
    if arms == 0:
        return "stopped", "No version deployed"
    if not reachable:
        return "silent", "Unknown"
    if traffic.rate is None:
        return "silent", "No queries yet"
    unanswered = traffic.recent_share(*UNANSWERED)
    if unanswered > 1 - spec.slo_target:
        words = f"{formats.share(unanswered)} get no model's answer"
        return "stopped" if unanswered > 0.5 else "late", words
    if traffic.rate == 0:
        return "silent", "Idle"
    if traffic.p99_ms is not None and traffic.p99_ms > spec.slo_ms:
        return "late", "Slower than its objective"
    return "good", "Within its objective"


def _slowest(published: Iterable[Mapping[str, Any]], quantile: str) -> float | None:
    """Return the quantile of the slowest process; they can't be added up."""
    known = [counts[quantile] for counts in published if counts.get(quantile) is not None]
    return max(known, default=None)


def _causes(traffic: Traffic) -> str:
    """Say why recent queries got no model's answer: "38 % overloaded, 3.1 % too late"."""
    shares = sorted(
        ((traffic.recent_share(counter), words) for counter, words in UNANSWERED.items()),
        reverse=True,
    )
    return ", ".join(f"{formats.share(share)} {words}" for share, words in shares if share)


def _problem(documents: Iterable[Document]) -> str:
    """Say which rows of the registry processes can't follow, or which keep dying; "": none."""
    published = (document.get("registry", {}).get("problem", "") for document in documents)
    return next(filter(None, published), "") or dying(read_masters(settings.CLIPPER_RUN_DIR))


def _control() -> Control | None:
    try:
        return read_control()
    except redis.RedisError:  # it has just gone away: the next picture says so
        return None


def _web(documents: Sequence[Document], *, reachable: bool) -> dict[str, Any]:
    published = [counts for document in documents for counts in document["applications"].values()]
    rate = sum(counts.get("rate") or 0.0 for counts in published)
    queries = sum(counts.get("queries", 0) + counts.get("errors", 0) for counts in published)
    memory = sum(document.get("rss_bytes", 0) for document in documents)
    silence = "none has reported yet" if reachable else ""
    return {
        "text": {
            "rate": formats.rate(rate) if documents else formats.NOTHING,
            "p99": formats.milliseconds(_slowest(published, "p99_ms")),
            "queries": formats.count(queries) if documents else formats.NOTHING,
            "processes": str(len(documents)) if reachable else formats.NOTHING,
            "memory": formats.mebibytes(memory) if documents else silence,
        },
    }


def _applications(
    snapshot: Snapshot, *, documents: Sequence[Document], reachable: bool
) -> list[dict[str, Any]]:
    routed = registered_arms(snapshot)
    learned = _learned(routed) if reachable else {}
    findings = all_findings()
    return [
        _application(
            spec,
            traffic=combined(documents, application=spec.name, arms=weights),
            arms=learned.get(spec.name, []),
            routed=len(weights),
            reachable=reachable,
            health=alarms_text(findings.get(spec.name, {})),
        )
        for spec, weights in routed
    ]


def _application(
    spec: ApplicationSpec,
    *,
    traffic: Traffic,
    arms: list[dict[str, Any]],
    routed: int,
    reachable: bool,
    health: str,
) -> dict[str, Any]:
    state, words = standing(traffic, spec=spec, arms=routed, reachable=reachable)
    counts = traffic.counts
    return {
        "name": spec.name,
        "url": reverse("console-application-page", args=[spec.name]),
        "try_url": reverse("feedback-form", args=[spec.name]),
        "policy": spec.policy,
        "state": state,
        "slo_ms": spec.slo_ms,
        "rate": traffic.rate or 0.0,
        "p99_ms": traffic.p99_ms,
        "counts": counts,
        "arms": arms,
        "text": {
            "state": words,
            "causes": _causes(traffic),
            "health": health,
            "rate": formats.rate(traffic.rate),
            "p50": formats.milliseconds(traffic.p50_ms),
            "p99": formats.milliseconds(traffic.p99_ms),
            "slo": formats.milliseconds(spec.slo_ms),
            "defaults": formats.share(_ratio(counts["defaults"], traffic.asked)),
            "late": formats.share(_ratio(traffic.missed, traffic.asked)),
            "hits": formats.share(_ratio(counts["hits"], counts["hits"] + counts["misses"])),
            "objective": f"{spec.slo_target * 100:g} % within {spec.slo_ms:g} ms",
        },
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _learned(
    routed: Sequence[tuple[ApplicationSpec, Mapping[str, float]]],
) -> dict[str, list[dict[str, Any]]]:
    """Return what selection knows of each application's arms; nothing without Redis."""
    try:
        states = describe_all(redis_client(), routed)
    except Unavailable:
        return {}
    return {
        spec.name: [_arm(arm) for arm in state["arms"]]
        for (spec, _), state in zip(routed, states, strict=True)
    }


def _arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    reliability = arm["reliability"]
    unreliable = reliability < FULL
    return {
        "arm": f"{arm['model']}:{arm['version']}",
        "percent": round(arm["weight"] * 100, 1),
        "state": "late" if unreliable else "good",
        "text": {
            "answers": f"answers {formats.share(reliability)}" if unreliable else "",
            "weight": formats.share(arm["weight"]),
            "queries": formats.count(arm["queries"]),
            "feedback": formats.count(arm["feedback"]),
        },
    }


def _releases() -> list[dict[str, Any]]:
    return [
        {
            "id": release.pk,
            "url": reverse("admin:registry_release_change", args=[release.pk]),
            "state": release.state,
            "text": {
                "what": release.arm,
                "kind": release.get_kind_display(),
                "state": release.get_state_display(),
                "who": release.by_label,
                "when": ago(release.created_at),
                "why": release.reason,
                "progress": _progress(release),
            },
        }
        for release in Release.objects.with_versions()[:8]
    ]


def _progress(release: Release) -> str:
    if release.is_open:
        return what_it_waits_for(release)
    return next(iter(release.error.splitlines()), "")
