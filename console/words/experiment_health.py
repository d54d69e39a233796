"""Words for an experiment's health: each check, and the alarms in a line."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from console.words import formats
from registry.models import Application
from selection.evaluation.health.finding import ALARM, GOOD, NOT_APPLICABLE, UNKNOWN
from selection.evaluation.health.health_checks import CHECKS
from selection.evaluation.health.watching import health_of

WORDS = {
    GOOD: "Good",
    ALARM: "Alarm",
    UNKNOWN: "Can't say",
    NOT_APPLICABLE: "Not here",
}


def health_shown(application: Application) -> dict[str, Any]:
    """Return what pages show: checks, guardrails, and what alarms in a line."""
    found = health_of(application)
    return {
        "health": [_row(check, seen=found["at"] is not None) for check in found["checks"]],
        "guardrails": [_guardrail(guardrail) for guardrail in found["guardrails"]],
        "unhealthy": alarms_text({check["check"]: check for check in found["checks"]}),
    }


def _row(check: Mapping[str, Any], *, seen: bool) -> dict[str, Any]:
    return {
        "check": check["check"],
        "state": check["state"],
        "hidden": not seen or check["state"] == NOT_APPLICABLE,
        "words": WORDS[check["state"]],
        "title": CHECKS[check["check"]].title,
        "reason": check["reason"],
        "since": _since(check),
    }


def _guardrail(found: Mapping[str, Any]) -> dict[str, str]:
    bounded = found["low"] is not None
    return {
        "metric": found["metric"],
        "version": found["arm"],
        "mean": formats.percent(found["mean"]) if bounded else f"{found['mean']:,.1f}",
        "interval": formats.interval((found["mean"], found["low"], found["high"]))
        if bounded
        else "",
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
    return f"began {formats.ago(datetime.fromisoformat(check['since']))}"
