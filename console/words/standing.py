"""State of an application: by the alerts that fire, then by its objective."""

from collections.abc import Sequence

from console.words import formats
from serving.alerts.alert_rules import PAGE, rule_of
from serving.alerts.models import Alert
from serving.traffic.objective import Attainment


def standing(
    firing: Sequence[Alert], *, own: Attainment, hour: Attainment, live: Sequence[bool]
) -> tuple[str, str]:
    """Return a state, by which pages colour it, and its words.

    `own` is in the objective's window, `hour` in the last hour; `live` says of each
    route whether its model has a live version.
    """
    missed = own.counts.total > 0 and not own.kept
    if firing:
        rules = sorted((rule_of(alert.rule) for alert in firing), key=lambda r: r.severity != PAGE)
        return "stopped" if missed or rules[0].severity == PAGE else "late", rules[0].title
    if not live:
        return "stopped", "No model routed"
    if missed:
        return "stopped", "Misses its objective"
    if not hour.counts.total and not any(live):
        return "stopped", "No model is live"
    if not hour.counts.total:
        return ("silent", "Idle") if own.counts.total else ("new", "No queries yet")
    if (burn := hour.burn_rate or 0.0) > 1.0:
        return "late", f"Burns its budget {formats.mean(burn)} times as fast as it may"
    return "good", "Within its objective"
