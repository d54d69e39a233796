"""Prepares a replica: gets its artifact and its environment onto this host."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import ClipperError
from registry.artifacts.fetching import ArtifactFiles
from serving.cluster.membership.records import ReplicaState
from serving.cluster.replica.heartbeat import Heartbeat
from serving.container.failures.container_errors import ArtifactUnreadable


class GivenUp(Exception):
    """The worker is being stopped, or nobody wants this replica any more, before it has loaded."""


@contextmanager
def artifact_at_hand(
    files: ArtifactFiles, digest: str, *, heartbeat: Heartbeat, drain: threading.Event
) -> Iterator[Path]:
    """Yield the artifact's file, which stays as long as the block lasts.

    Raises ArtifactUnreadable where it can't be had, and GivenUp.
    """
    with ExitStack() as held:
        try:
            with telling(heartbeat, drain=drain) as tell:
                opened = files.opened(digest, tell=lambda fetching: tell(fetching.text))
                artifact = held.enter_context(opened)
        except ClipperError as error:
            raise ArtifactUnreadable(error.message) from error
        yield artifact


@contextmanager
def telling(heartbeat: Heartbeat, *, drain: threading.Event) -> Iterator[Callable[[str], None]]:
    """Yield a function that tells the next heartbeats of what goes on, while the block lasts.

    It raises GivenUp once nobody wants the replica.
    """
    has_news = False

    def tell(text: str) -> None:
        nonlocal has_news
        if drain.is_set():
            raise GivenUp
        has_news = True
        heartbeat.report(lambda: {"preparing": text})

    try:
        yield tell
    finally:
        if has_news:
            heartbeat.report(dict)
            heartbeat.become(ReplicaState.LOADING, preparing="")
