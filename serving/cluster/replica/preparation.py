"""Prepares a replica: gets its artifact and its environment onto this host."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import ClipperError
from registry.artifacts.fetching import ArtifactFiles
from serving.cluster.membership.records import ReplicaState
from serving.cluster.replica.drain_request import DrainRequest
from serving.cluster.replica.heartbeat import Heartbeat
from serving.container.failures.container_errors import ArtifactUnreadable


class GivenUp(Exception):
    """The worker is being stopped, or nobody wants this replica any more, before it has loaded."""


@contextmanager
def artifact_at_hand(
    files: ArtifactFiles, digest: str, *, heartbeat: Heartbeat, drain: DrainRequest
) -> Iterator[Path]:
    """Yield the artifact's file, which stays as long as the block lasts.

    Raises ArtifactUnreadable where it can't be had, and GivenUp.
    """
    preparation = Preparation(heartbeat, drain=drain)
    opened = files.opened(digest, tell=lambda fetching: preparation.tell(fetching.text))
    try:
        artifact = opened.__enter__()
    except ClipperError as error:
        raise ArtifactUnreadable(error.message) from error
    finally:
        preparation.end()
    try:
        yield artifact
    finally:
        opened.__exit__(None, None, None)


class Preparation:
    """Tells in the heartbeats what was said last; raises GivenUp once nobody wants the replica."""

    def __init__(self, heartbeat: Heartbeat, *, drain: DrainRequest) -> None:
        self._heartbeat = heartbeat
        self._drain = drain
        self._text = ""

    def tell(self, text: str) -> None:
        if self._drain.is_set:
            raise GivenUp
        if not self._text:
            self._heartbeat.report(self._said)
        self._text = text

    def end(self) -> None:
        if self._text:
            self._heartbeat.report(dict)
            self._heartbeat.become(ReplicaState.LOADING, preparing="")

    def _said(self) -> Mapping[str, Any]:
        return {"preparing": self._text}
