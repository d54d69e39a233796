"""The control worker's part in alerts: watching, sending, and forgetting what is old."""

import time

from serving.alerts.alert_facts import application_facts, stack_facts
from serving.alerts.alert_rules import Facts
from serving.alerts.alert_states import settle
from serving.alerts.live_counts import LiveCounts
from serving.alerts.outbox import forget_old, send_due
from serving.cluster.control.rhythm import Rhythm
from serving.cluster.control.schedule import add_rhythms


class AlertWatch:
    """Asks the rules, round by round; one a control worker."""

    def __init__(self, *, grace_s: float = 20.0) -> None:
        self._live = LiveCounts()
        # Replicas that start with the stack are no outage.
        self._ready_at = time.monotonic() + grace_s

    def look(self) -> None:
        """Look at everything once; without Redis at the stack alone."""
        stack = stack_facts()
        facts: list[Facts] = [stack]
        if not stack.redis_error:
            facts += application_facts(self._live, now=time.monotonic())
        if time.monotonic() >= self._ready_at:
            settle(facts)


def alert_rhythms() -> list[Rhythm]:
    """Return the rhythms of one control worker, not started yet."""
    return [
        Rhythm(AlertWatch().look, interval_s=2.0, name="watch_alerts"),
        Rhythm(send_due, interval_s=1.0, name="send_messages"),
        Rhythm(forget_old, interval_s=3600.0, name="forget_alerts"),
    ]


add_rhythms(alert_rhythms)
