"""How an experiment's health reads on the pages: each check in words, and what alarms in a line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from console import formats
from console.templatetags.console import ago
from registry.models import Application
from selection.evaluation.monitoring.health.checks import CHECKS
from selection.evaluation.monitoring.health.finding import ALARM, GOOD, UNKNOWN
from selection.evaluation.monitoring.health.watching import health_of

WORDS = {GOOD: "Good", ALARM: "Alarm", UNKNOWN: "Can't say"}


def health_shown(application: Application) -> dict[str, Any]:
    """Return what the monitoring page shows of it: a row a check, and what alarms in a line."""
    told = health_of(application)
    return {
        "health": [_row(check) for check in told["checks"]],
        "unhealthy": alarms_text({check["check"]: check for check in told["checks"]}),
    }


def _row(check: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "check": check["check"],
        "state": check["state"],
        "text": {
            "state": WORDS[check["state"]],
            "title": CHECKS[check["check"]].title,
            "reason": check["reason"],
            "since": _since(check),
        },
    }


def alarms_text(findings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what alarms, with since when, in a line; nothing where nothing does."""
    return formats.listed(
        *(
            f"{words.alarm} ({_since(found)})"
            for check, words in CHECKS.items()
            if (found := findings.get(check, {})).get("state") == ALARM
        )
    )


def _since(check: Mapping[str, Any]) -> str:
    """Say since when it alarms; how long all has been well is of no use to anybody."""
    if check["state"] != ALARM or check["since"] is None:
        return ""
    return f"began {ago(datetime.fromisoformat(check['since']))}"
