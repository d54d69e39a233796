"""A month of traffic of one application, as it is kept."""

from datetime import datetime, timedelta
from math import sin

from registry.models import Application
from serving.traffic.merging import start_of_step
from serving.traffic.models import TrafficRow


def keep_a_month(
    application: Application, *, arms: tuple[str, ...], now: datetime, days: float = 28.0
) -> None:
    """Keep 0.3 % of bad queries, and an hour in which a fifth was bad, as control does."""
    rows: list[TrafficRow] = []
    for step_s, first, last in ((600, days, 1.0), (60, 1.0, 1 / 24), (10, 1 / 24, 0.0)):
        at = start_of_step(now - timedelta(days=min(first, days)), step_s=600)
        while at < now - timedelta(days=last):
            age = (now - at).total_seconds()
            good = int(step_s * (20 + 8 * sin(age / 13_000)))
            late = good // (5 if 400_000 < age < 403_600 else 600)
            outcomes = [good, late, good // 2000, good // 4000, 0, good // 100, good // 900]
            latency = [
                part for place in range(20) for part in (14 + place, good * (20 - place) // 210)
            ]
            share = [number // len(arms) for number in outcomes]
            calls = [share[0] + share[1], share[0], share[1], 0, 0]
            versions = {arm: [share, calls, latency] for arm in arms}
            names = ("good", "late", "failed", "refused", "no_replica", "abstained", "invalid")
            rows.append(
                TrafficRow(
                    application=application,
                    at=at,
                    step_s=step_s,
                    gaps=int(len(rows) == 1000),
                    latency=latency,
                    versions=versions,
                    **dict(zip(names, outcomes, strict=True)),
                )
            )
            at += timedelta(seconds=step_s)
    TrafficRow.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
