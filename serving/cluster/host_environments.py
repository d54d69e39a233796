"""The environments of this host, bounded by the settings and published to all others."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import redis
from django.conf import settings
from django.db import connections
from django.utils import timezone

from core.redis.expiring_keys import understood
from core.redis.redis_client import redis_client
from core.specs import VersionSpec
from registry.following.reading import version_spec
from registry.models import ModelVersion, Release
from registry.models.release import wanted
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.rules import Rules
from serving.environments.spec import environment_of
from serving.environments.store import Environments, HeldEnvironment, KeptEnvironment

if TYPE_CHECKING:
    import redis.asyncio

# By a host's name: what it keeps. It doesn't expire: one that is down for a while still has them.
HOSTS_KEY = "clipper:environments"
COUNTS_KEY = "clipper:environment-counts"
LOG_KEY = "clipper:environment-log:"
# The progress of a build begins like this.
BUILDING = "building its environment"
BUILDS, FAILURES, MILLISECONDS = "builds", "failures", "milliseconds"

logger = logging.getLogger(__name__)


class HostEnvironments(msgspec.Struct, frozen=True, kw_only=True):
    """The environments that one host keeps."""

    host: str
    at: float
    environments: Sequence[KeptEnvironment]


_decoder = msgspec.json.Decoder(HostEnvironments)


def own_environments() -> Environments:
    """Return the environments of this host."""
    return Environments(settings.CLIPPER_ENVIRONMENTS, rules=rules())


def rules() -> Rules:
    return Rules(
        index_url=settings.CLIPPER_PIP_INDEX_URL,
        wheelhouse=settings.CLIPPER_PIP_WHEELHOUSE,
        no_index=settings.CLIPPER_PIP_NO_INDEX,
        sources=settings.CLIPPER_PIP_SOURCES,
        build_s=settings.CLIPPER_ENVIRONMENT_BUILD_S,
        largest_bytes=settings.CLIPPER_ENVIRONMENT_BYTES,
        most=settings.CLIPPER_ENVIRONMENTS_KEPT,
        most_bytes=settings.CLIPPER_ENVIRONMENTS_BYTES,
        min_free_bytes=settings.CLIPPER_MIN_FREE_BYTES,
        at_once=settings.CLIPPER_ENVIRONMENT_BUILDS,
        cache=Path(settings.UV_CACHE_DIR) if settings.UV_CACHE_DIR else None,
    )


def prepare(
    version: VersionSpec, *, afresh: bool, meanwhile: Callable[[str], object]
) -> HeldEnvironment | None:
    """The environment that a version runs in, built where it has to be; None: the stack's.

    Raises EnvironmentFailed, and what `meanwhile` does, which gets the progress of a build.
    """
    spec = environment_of(version)
    if spec is None:
        return None
    environments, started = own_environments(), time.monotonic()
    was_built = environments.is_built(spec)

    def tell(progress: str) -> None:
        meanwhile(f"{BUILDING}: {progress}" if progress else BUILDING)

    try:
        environment = environments.prepare(spec, keep=_needed_now, afresh=afresh, meanwhile=tell)
    except EnvironmentFailed as error:
        if not error.remembered:
            _publish_build(environments, digest=spec.digest, counts={FAILURES: 1})
        raise
    except OSError as error:
        raise EnvironmentFailed(f"its environment can't be kept on this host: {error}") from error
    if environment.built:
        took = round((time.monotonic() - started) * 1000)
        digest = environment.folder.name
        _publish_build(environments, digest=digest, counts={BUILDS: 1, MILLISECONDS: took})
    elif not was_built:  # it is that of other requirements, too
        with suppress(redis.RedisError):
            publish(redis_client(), environments)
    return environment


def needs_build(version: VersionSpec) -> bool:
    """Return whether a version runs in an environment that isn't on this host yet."""
    spec = environment_of(version)
    return spec is not None and not own_environments().is_built(spec)


def find_needed() -> set[str]:
    """Return the digests of the requirements of versions that serve, are warm or on their way."""
    own = ModelVersion.objects.exclude(requirements="", python="")
    coming = Release.objects.open().values("version")
    rows = [*wanted(own, now=timezone.now()), *own.filter(pk__in=coming).select_related("model")]
    specs = [environment_of(version_spec(row)) for row in rows]
    return {spec.digest for spec in specs if spec is not None}


def _needed_now() -> set[str]:
    """For a process that keeps no connection to the database while a model loads or serves."""
    try:
        return find_needed()
    finally:
        connections.close_all()


def publish(client: redis.Redis, environments: Environments) -> None:
    """Publish what this host keeps."""
    said = HostEnvironments(
        host=socket.gethostname(),
        at=time.time(),
        environments=list(environments.kept()),
    )
    client.hset(HOSTS_KEY, said.host, msgspec.json.encode(said).decode())


def read_hosts(client: redis.Redis) -> list[HostEnvironments]:
    """Return the environments of each host, in the order of their names."""
    found = cast("dict[bytes, bytes]", client.hgetall(HOSTS_KEY))
    return sorted(_understood(found.values()), key=lambda said: said.host)


async def read_numbers_async(client: redis.asyncio.Redis) -> dict[str, float]:
    """Return the counts of all hosts, by the names of the metrics."""
    counts = cast("dict[bytes, bytes]", await client.hgetall(COUNTS_KEY))
    said = cast("dict[bytes, bytes]", await client.hgetall(HOSTS_KEY))
    numbers = {name.decode(): float(count) for name, count in counts.items()}
    there = [
        kept for host in _understood(said.values()) for kept in host.environments if not kept.error
    ]
    return numbers | {
        "seconds": numbers.pop(MILLISECONDS, 0.0) / 1000,
        "kept": len(there),
        "bytes": sum(kept.made_of.bytes for kept in there),
    }


def read_log(client: redis.Redis, digest: str) -> str:
    """Return the output of the last build of an environment, "" if it isn't kept any more."""
    text = cast("bytes | None", client.get(LOG_KEY + digest))
    return "" if text is None else text.decode(errors="replace")


def _understood(texts: Iterable[bytes]) -> Iterator[HostEnvironments]:
    return understood(texts, decoder=_decoder, what="environments of a host")


def _publish_build(environments: Environments, *, digest: str, counts: dict[str, int]) -> None:
    """Publish the counts and the log of a build, if Redis is there."""
    client = redis_client()
    log = environments.log_of(digest)[-32_768:]
    with suppress(redis.RedisError, OSError):
        with client.pipeline() as pipe:
            for name, more in counts.items():
                pipe.hincrby(COUNTS_KEY, name, more)
            pipe.set(LOG_KEY + digest, log, ex=30 * 86_400)
            pipe.execute()
        publish(client, environments)
