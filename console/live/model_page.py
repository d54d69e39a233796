"""The page of a model: its state, versions, errors, releases and history."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from console.live.model_rows import model_rows, read_sources
from console.words.comparison import (
    check_text,
    latency_text,
    missed_text,
    outcome_lines,
    reward_text,
)
from console.words.tile import Tile
from core.errors import Unavailable
from registry.following.reading import build_snapshot
from registry.models import Application, Model
from serving.endpoints.management.diagnosis import error_out, last_errors
from serving.endpoints.management.version_measures import VersionMeasures, measures_of


def model_context(model: Model, *, applications: QuerySet[Application]) -> dict[str, Any]:
    """Return what the page shows beside the model's own fields, of these applications' queries."""
    rows = model.versions.select_related("model", "created_by").order_by("-created_at", "-id")
    releases = list(model.releases.with_versions()[:5])
    lines = outcome_lines(releases, applications=applications)
    standing = standings().get(model.name)
    return {
        "standing": standing,
        "tiles": _tiles(standing["text"], state=standing["state"]) if standing else (),
        "versions": [
            _version(one) for one in measures_of(list(rows[:50]), applications=applications)
        ],
        "releases": [
            {"row": row, "outcome": line} for row, line in zip(releases, lines, strict=True)
        ],
        "failures": _failures(model),
        "asked_by": list(applications),
    }


def _tiles(text: Mapping[str, str], *, state: str) -> list[Tile]:
    return [
        Tile("State", text["state"], state=state),
        Tile("Queries", text["rate"], (text["cached"],)),
        Tile("In the model, p99", text["model"], (text["batches"],)),
        Tile("Replicas ready", text["ready"], (text["bounds"],)),
    ]


def standings() -> dict[str, dict[str, Any]]:
    """Return how the models stand now, by name."""
    snapshot = build_snapshot()
    rows = model_rows(snapshot, sources=read_sources(snapshot))
    return {row["name"]: row for row in rows}


def _version(one: VersionMeasures) -> Mapping[str, Any]:
    first = next((reward.application for reward in one.rewards), "")
    return {
        "version": one.version,
        "is_live": one.is_live,
        "cells": {
            "Check": check_text(one),
            "Reward": f"{reward_text(one, first)}",
            "Late or failed": missed_text(one),
            "In the model": latency_text(one),
        },
    }


def _failures(model: Model) -> list[dict[str, Any]]:
    """Return the live version's last errors; none without Redis, whose absence Home tells."""
    if model.live_version_id is None:
        return []
    try:
        return [error_out(known) for known in last_errors(model.live_version_id)[:3]]
    except Unavailable:
        return []
