"""Artifacts as files on this host, wherever they are kept."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from core.errors import NotFound
from registry.artifacts.artifact_sources import Source, StorageSource, WebSource
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.fetching import Fetcher, Tell
from registry.artifacts.tokens import ArtifactTokens

ELSEWHERE = (
    "this host has nowhere to fetch it from (CLIPPER_ARTIFACTS_URL), and the folder isn't that "
    "of the web processes"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFiles:
    """Opens what the store keeps on this host, and fetches the rest."""

    store: ArtifactStore
    fetcher: Fetcher

    @classmethod
    def default(cls) -> ArtifactFiles:
        store = ArtifactStore.default()
        return cls(
            store=store,
            fetcher=Fetcher(
                sources=_sources(store),
                copies=store.copies,
                within_s=settings.CLIPPER_FETCH_TIMEOUT_S,
            ),
        )

    @contextmanager
    def opened(self, digest: str, *, tell: Tell = lambda fetching: None) -> Iterator[Path]:
        """Yield its file, which stays within the block. Raises what `Fetcher.fetched` does."""
        path = self.store.file_of(digest)
        if path is not None:
            yield path
        elif self.fetcher.sources:
            with self.fetcher.fetched(digest, tell=tell) as path:
                yield path
        else:
            raise NotFound(
                f"The artifact {digest} is missing from {self.store.folder}: {ELSEWHERE}."
            )


def _sources(store: ArtifactStore) -> Sequence[Source]:
    if store.folder is None:
        return [StorageSource(storage=store.storage)]
    tokens = ArtifactTokens(settings.CLIPPER_CLUSTER_SECRET.encode())
    urls: Sequence[str] = settings.CLIPPER_ARTIFACTS_URL
    tls = trusted_authorities() if urls else None
    return [WebSource(url=url, tokens=tokens, tls=tls) for url in urls]


def trusted_authorities() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and the cluster's own."""
    context = ssl.create_default_context()
    if settings.CLIPPER_TLS_CA:
        context.load_verify_locations(settings.CLIPPER_TLS_CA)
    return context
