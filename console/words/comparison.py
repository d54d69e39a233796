"""Measures of versions as tables: side by side, and before and after a release."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from console.words import formats
from console.words.signature_words import input_lines, output_line
from registry.models import Application, ModelVersion, Release, VersionCheck
from serving.endpoints.management.version_measures import (
    RewardMeasure,
    Stretch,
    VersionMeasures,
    differences,
    leader,
    measures_of,
    measures_within,
)

LENGTHS = {
    "15 min": timedelta(minutes=15),
    "1 h": timedelta(hours=1),
    "24 h": timedelta(days=1),
}


def side_by_side(
    versions: Sequence[ModelVersion], *, applications: Iterable[Application] | None = None
) -> dict[str, Any]:
    """Return the measures of versions as a table, what they differ in, and a verdict."""
    found = measures_of(versions, applications=applications)
    return {
        "columns": [{"version": one.version, "is_live": one.is_live} for one in found],
        "rows": [*map_rows(found)],
        "differences": [
            {"name": _column_name(name), "cells": [_setting(name, value) for value in values]}
            for name, values in differences(versions).items()
        ],
        "verdict": verdict(found),
        "matrices": [_matrix(one) for one in found if one.replay and one.replay["matrix"]],
    }


def map_rows(found: Sequence[VersionMeasures]) -> list[dict[str, Any]]:
    """Return a row for each measure that any of the versions has."""
    names = dict.fromkeys(reward.application for one in found for reward in one.rewards)
    rows: list[tuple[str, Callable[[VersionMeasures], str]]] = [
        ("Check", check_text),
        *((f"Reward in {name}", lambda one, name=name: reward_text(one, name)) for name in names),
        ("In the model, median and p99", latency_text),
        ("Queries answered in, p99", lambda one: formats.milliseconds(one.answer_p99_ms)),
        ("Late or failed", missed_text),
        ("Same answer to kept inputs", kept_text),
        ("Captured queries, asked again", replay_text),
        ("Memory of a replica", lambda one: formats.size(one.memory_bytes)),
        ("Replicas started in", lambda one: _seconds(one.start_s)),
        ("Size", lambda one: formats.size(one.size)),
        ("Uploaded", _uploaded),
    ]
    cells = [(name, [text(one) for one in found]) for name, text in rows]
    return [
        {"name": name, "cells": texts, "differs": len(set(texts)) > 1}
        for name, texts in cells
        if set(texts) != {formats.NOTHING}
    ]


def verdict(found: Sequence[VersionMeasures]) -> str:
    """Say in a sentence which version is better, if that can be said."""
    application, best = leader(found)
    replayed = _replayed(found)
    if best is None and replayed:
        return replayed
    if not application:
        return "Labels of two of them in one application will tell which is better: none yet."
    told = ", ".join(
        f"{one.arm} {reward_text(one, application)}"
        for one in sorted(found, key=lambda one: one is not best)
        if _reward(one, application) is not None
    )
    if best is None:
        return f"It can't be said yet which is better in {application}: {told}."
    return f"{best.arm} is better in {application}: {told}."


def _replayed(found: Sequence[VersionMeasures]) -> str:
    """Say which version labels of captured queries prove better or worse than the live one."""
    for one in found:
        gain = (one.replay or {}).get("gain")
        if gain and (gain["high"] < 0.0 or gain["low"] > 0.0):
            is_better = "better" if gain["low"] > 0.0 else "worse"
            return (
                f"{one.arm} is {is_better} than the live version by captured queries of "
                f"{replay_text(one)}."
            )
    return ""


def _matrix(one: VersionMeasures) -> dict[str, Any]:
    """Return the answers of a version (columns) by those of the live one (rows)."""
    counts: dict[str, dict[str, int]] = (one.replay or {})["matrix"]
    answers = sorted({*counts, *chain.from_iterable(counts.values())})
    rows = [(a, [(b, counts.get(a, {}).get(b, 0)) for b in answers]) for a in answers]
    return {"arm": one.arm, "answers": answers, "rows": rows}


def line(one: VersionMeasures) -> str:
    """Return a version's measures in a line, without those that nobody knows."""
    rewards = [f"reward {reward_text(one, r.application)} in {r.application}" for r in one.rewards]
    missed = missed_text(one)
    return formats.listed(
        *rewards,
        "" if one.p99_ms is None else f"p99 {formats.milliseconds(one.p99_ms)} in the model",
        "" if missed == formats.NOTHING else f"late or failed {missed}",
        f"check {check_text(one)}",
    )


def check_text(one: VersionMeasures) -> str:
    check = one.check
    if check is None:
        return formats.NOTHING
    if check.is_open:
        return "running"
    if check.state == VersionCheck.State.FAILED:
        return f"failed {formats.ago(check.ended_at)}: {check.error.partition(chr(10))[0]}"
    return f"passed in {_seconds(one.check_s)}, {formats.ago(check.ended_at)}"


def reward_text(one: VersionMeasures, application: str) -> str:
    reward = _reward(one, application)
    if reward is None:
        return formats.NOTHING
    within = reward.interval
    ends = f" ({formats.interval((0, within['low'], within['high']))})" if within else ""
    return f"{formats.percent(reward.mean)}{ends}"


def latency_text(one: VersionMeasures) -> str:
    if one.p50_ms is None:
        return formats.NOTHING
    text = f"{formats.milliseconds(one.p50_ms)}, {formats.milliseconds(one.p99_ms)}"
    return text if one.served else f"{text} in its check"


def missed_text(one: VersionMeasures) -> str:
    if one.missed_share is None:
        return formats.NOTHING
    return f"{formats.share(one.missed_share)} of {formats.count(one.asked)}"


def kept_text(one: VersionMeasures) -> str:
    kept = one.kept
    return f"{kept['same']} of {kept['inputs']} as {kept['with']}" if kept else formats.NOTHING


def replay_text(one: VersionMeasures) -> str:
    replay = one.replay
    return f"{replay['application']}: {replay['words']}" if replay else formats.NOTHING


def _reward(one: VersionMeasures, application: str) -> RewardMeasure | None:
    return next((r for r in one.rewards if r.application == application), None)


def _seconds(seconds: float | None) -> str:
    return formats.NOTHING if seconds is None else formats.milliseconds(seconds * 1000)


def _uploaded(one: VersionMeasures) -> str:
    by = one.version.created_by
    return f"{formats.ago(one.version.created_at)}{f' by {by}' if by else ''}"


def _column_name(name: str) -> str:
    text = str(getattr(ModelVersion._meta.get_field(name), "verbose_name", name))
    return text[:1].upper() + text[1:]


def _setting(name: str, value: Any) -> str:
    if name == "signature" and value:
        signature = msgspec.json.decode(value, type=dict)
        lines = [*input_lines(signature), f"gives {output_line(signature) or 'anything'}"]
        return "\n".join(lines)
    if isinstance(value, dict):
        return "\n".join(f"{key}: {each}" for key, each in value.items() if each not in (None, ""))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


# --- before and after a release -------------------------------------------------------------------


def outcomes(
    releases: Sequence[Release],
    *,
    applications: QuerySet[Application],
    lengths: Iterable[str] = tuple(LENGTHS),
) -> list[list[dict[str, Any]]]:
    """Return of each release a row for each length of time since it went live: before → after.

    They are of those of `applications` that ask its model.
    """
    rows: list[list[dict[str, Any]]] = [[] for _ in releases]
    sides = list[tuple[ModelVersion | None, datetime, datetime]]()
    for found, release in zip(rows, releases, strict=True):
        if (at := release.live_at) is None or release.version is None:
            continue
        lasted = (release.ended_at or timezone.now()) - at
        for name in lengths:
            length = min(lasted, LENGTHS[name])
            goes_on = lasted < LENGTHS[name] and release.ended_at is None
            found.append({"name": f"First {name}{', so far' if goes_on else ''}"})
            sides += [
                (release.previous_version, at - length, at),
                (release.version, at, at + length),
            ]
            if lasted < LENGTHS[name]:
                break
    models = {release.model_id for release in releases}
    asking = applications.filter(routes__model__in=models).distinct()
    asked = [Stretch(version, *time) for version, *time in sides if version]
    measured = iter(measures_within(asked, applications=asking))
    both = iter([next(measured) if version else None for version, *_ in sides])
    for row in chain.from_iterable(rows):
        row |= _cells(next(both), next(both))
    return rows


def outcome_lines(releases: Sequence[Release], *, applications: QuerySet[Application]) -> list[str]:
    """Return what changed in each release's first hour; "" for one that never went live."""
    lines = []
    found = outcomes(releases, applications=applications, lengths=("1 h",))
    for release, rows in zip(releases, found, strict=True):
        texts = [
            f"{name.lower()} {text}"
            for row in rows
            for name, text in zip(MEASURED, row["cells"], strict=True)
            if text
        ]
        lines.append(", ".join(texts) or ("no queries" if release.live_at else ""))
    return lines


def _cells(before: VersionMeasures | None, after: VersionMeasures | None) -> dict[str, Any]:
    changes = (
        [text(one) if one else formats.NOTHING for one in (before, after)]
        for text in MEASURED.values()
    )
    cells = [" → ".join(pair) if set(pair) != {formats.NOTHING} else "" for pair in changes]
    return {"asked": formats.count(after.asked if after else 0), "cells": cells}


def _mean(one: VersionMeasures) -> str:
    """Return the mean reward in each application that gave labels."""
    means = [(reward.application, formats.percent(reward.mean)) for reward in one.rewards]
    if len(means) == 1:
        return means[0][1]
    return formats.listed(*(f"{mean} in {name}" for name, mean in means)) or formats.NOTHING


MEASURED: dict[str, Callable[[VersionMeasures], str]] = {
    "Reward": _mean,
    "Late or failed": lambda one: formats.share(one.missed_share),
    "p99 of answers": lambda one: formats.milliseconds(one.answer_p99_ms),
}
