"""A worker forks its slots as replicas come: Celery's autoscaler, which takes none away itself."""

from __future__ import annotations

from celery.worker import state
from celery.worker.autoscale import Autoscaler

# Forked before it is asked for, so that a replica finds a slot that can begin.
SPARE = 1


class SlotsOnDemand(Autoscaler):
    """Keeps one slot more than there are replicas, up to all that the worker may have.

    `celery worker --autoscale=MOST,1`. A slot without a replica takes 10 MiB. None is ended, as the
    pool can't tell one that has just been given a replica from one that is free.
    """

    def _maybe_scale(self, req: object = None) -> bool:
        lacking: int = min(self.qty + SPARE, self.max_concurrency) - self.processes
        if lacking > 0:
            self.scale_up(lacking)
        return lacking > 0

    def end_free(self) -> None:
        """Of a worker that takes no more replicas: end its free slots but one.

        None while one has been given a replica that hasn't begun there.
        """
        surplus = self.processes - (self.qty + SPARE)
        if surplus > 0 and len(state.active_requests) == self.qty:
            self.pool.shrink(surplus)  # type: ignore[attr-defined]  # its stubs lack it
