"""A worker forks its slots as replicas come: Celery's autoscaler, which never takes one away."""

from __future__ import annotations

from celery.worker.autoscale import Autoscaler

# Forked before it is asked for, so that a replica finds a slot that can begin.
SPARE = 1


class SlotsOnDemand(Autoscaler):
    """Keeps one slot more than there are replicas, up to all that the worker may have.

    `celery worker --autoscale=MOST,1`. A slot without a replica takes 8 MiB. None is ended, as the
    pool can't tell one that has just been given a replica from one that is free.
    """

    def _maybe_scale(self, req: object = None) -> bool:
        lacking: int = min(self.qty + SPARE, self.max_concurrency) - self.processes
        if lacking > 0:
            self.scale_up(lacking)
        return lacking > 0
