"""Releases that did well, to which a rollback leads first."""

from datetime import timedelta

from django.utils import timezone

from registry.models import Application, Release
from serving.traffic.history import totals

# So many answers, or so long, until it is known how a version does.
ENOUGH_ANSWERS, ENOUGH_TIME = 1_000, timedelta(days=1)


def note_releases_that_do_well() -> int:
    """Mark live releases whose version kept every objective for long enough; return how many."""
    now, marked = timezone.now(), 0
    for release in Release.objects.live().filter(did_well=False, live_at__isnull=False):
        applications = Application.objects.filter(routes__model=release.model_id)
        answers, kept = 0, True
        for application in applications.distinct().select_related("slo"):
            since = max(release.live_at or now, now - ENOUGH_TIME)
            counts = totals(application, since=since, until=now).by_arm.get(release.arm)
            if counts is None or not counts.total:
                continue
            answers += counts.good
            kept = kept and counts.good >= application.slo.target * counts.total
        long = release.live_at is not None and now - release.live_at >= ENOUGH_TIME
        if kept and answers and (answers >= ENOUGH_ANSWERS or long):
            Release.objects.filter(pk=release.pk).update(did_well=True)
            marked += 1
    return marked
