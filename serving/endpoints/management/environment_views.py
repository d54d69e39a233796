"""The environments that hosts keep for versions: which, how large, for whom; and away with one."""

import socket
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import redis
from celery import current_app
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Conflict, NotFound, Unavailable
from core.redis.redis_client import redis_client
from registry.api.permissions import Permissions, actor_of
from registry.api.views.management_view import ManagementView, schema
from registry.following.reading import version_spec
from registry.models import ModelVersion
from registry.services import Actor, record_deleted_elsewhere
from serving.cluster.host import host_id
from serving.cluster.host_environments import (
    HostEnvironments,
    find_needed,
    own_environments,
    publish,
    read_hosts,
    read_log,
)
from serving.cluster.membership.workers import WorkerRecord, read_workers
from serving.cluster.queues import REMOVE_ENVIRONMENT, queue_at
from serving.environments.spec import environment_of
from serving.environments.store import KeptEnvironment


class OnHostSerializer(serializers.Serializer[Any]):
    """`state` is `built` or `failed`."""

    host = serializers.CharField()
    state = serializers.CharField()
    bytes = serializers.IntegerField()
    limit_bytes = serializers.IntegerField(help_text="That all of the host's may take together.")
    seconds = serializers.FloatField(help_text="That building it took.")
    built_at = serializers.DateTimeField(allow_null=True)
    used_at = serializers.DateTimeField()
    error = serializers.CharField(help_text="Why its last build failed.")


class EnvironmentSerializer(serializers.Serializer[Any]):
    """`versions` are those that it is for, by their names."""

    digest = serializers.CharField()
    python = serializers.CharField()
    requirements = serializers.ListField(child=serializers.CharField())
    packages = serializers.ListField(
        child=serializers.CharField(), help_text="All that is installed, with versions."
    )
    versions = serializers.ListField(child=serializers.CharField())
    needed = serializers.BooleanField(
        help_text="One of them serves, is kept warm or is on its way: it can't be removed."
    )
    hosts = OnHostSerializer(many=True)


class EnvironmentLogSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField()
    lines = serializers.ListField(child=serializers.CharField())


class EnvironmentsView(ManagementView):
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema(
        "List the environments that hosts keep for versions",
        answer=EnvironmentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response(EnvironmentSerializer(environments(), many=True).data)


class EnvironmentView(ManagementView):
    permissions: ClassVar[Permissions] = {"DELETE": ("registry.delete_modelversion",)}

    @schema("Remove an environment that no version needs, on every host", status=202)
    def delete(self, request: Request, digest: str) -> Response:
        remove(digest, by=actor_of(request))
        return Response(status=202)


class EnvironmentLogView(ManagementView):
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema("Read what the last build of an environment said", answer=EnvironmentLogSerializer)
    def get(self, request: Request, digest: str) -> Response:
        text = log_of(digest)
        if not text:
            raise NotFound(f"No build of an environment {digest!r} is remembered.")
        return Response(
            EnvironmentLogSerializer({"digest": digest, "lines": text.splitlines()}).data
        )


def environments() -> list[dict[str, Any]]:
    """All of them, by what they are made of. Raises Unavailable where Redis is away."""
    on_hosts: dict[str, list[tuple[HostEnvironments, KeptEnvironment]]] = defaultdict(list)
    for host in _hosts():
        for kept in host.environments:
            on_hosts[kept.digest].append((host, kept))
    versions, wanted = versions_by_digest(), find_needed()
    rows = [
        {
            "digest": digest,
            "python": found[0][1].made_of.python,
            "requirements": found[0][1].made_of.requirements,
            "packages": max((kept.made_of.packages for _, kept in found), key=len),
            "versions": sorted({name for spec in specs for name in versions.get(spec, ())}),
            "needed": not wanted.isdisjoint(specs),
            "specs": specs,
            "hosts": [_on_host(host, kept) for host, kept in found],
        }
        for digest, found in on_hosts.items()
        for specs in [_specs(kept for _, kept in found)]
    ]
    return sorted(rows, key=lambda row: (row["python"], row["requirements"]))


def remove(digest: str, *, by: Actor) -> None:
    """Remove it from every host. Raises NotFound, Conflict if it is in use, Unavailable."""
    found = {
        host.host: kept for host in _hosts() for kept in host.environments if kept.digest == digest
    }
    if not found:
        raise NotFound(f"No host keeps an environment {digest!r}.")
    if needing := find_needed() & _specs(found.values()):
        versions = versions_by_digest()
        names = ", ".join(sorted(name for spec in needing for name in versions.get(spec, ())))
        raise Conflict(f"This environment is needed by {names}.", digest=digest)
    own, others = socket.gethostname(), _workers_at(found)
    if own in found and not own_environments().remove(digest):
        raise Conflict("A process still runs in this environment.", digest=digest)
    reached = found.keys() & {own, *(worker.host for worker in others)}
    if reached:
        made_of = found[min(reached)].made_of
        before = {
            "python": made_of.python,
            "requirements": list(made_of.requirements),
            "hosts": sorted(reached),
        }
        record_deleted_elsewhere(kind="environment", name=digest, by=by, before=before)
    if own in found:
        with _while_redis_answers():
            publish(redis_client(), own_environments())
    for worker in others:
        queue = queue_at(worker.queue, host_id=worker.host_id)
        current_app.send_task(REMOVE_ENVIRONMENT, args=(digest,), queue=queue)
    if away := found.keys() - reached:
        raise Unavailable(
            f"Down, and keeps it: {', '.join(sorted(away))}; remove it again once that runs."
        )


def _workers_at(hosts: Collection[str]) -> Collection[WorkerRecord]:
    """One worker of each of these hosts but this one. A host has another id each time it boots."""
    with _while_redis_answers():
        workers = {
            worker.host_id: worker
            for worker in read_workers(redis_client())
            if worker.host in hosts
        }
    workers.pop(host_id(), None)
    return workers.values()


def log_of(digest: str) -> str:
    """Return the output of its last build; raise Unavailable if Redis is away."""
    with _while_redis_answers():
        return read_log(redis_client(), digest)


def _specs(found: Iterable[KeptEnvironment]) -> set[str]:
    """Return the digests of the requirements that hosts keep an environment for."""
    return {spec for kept in found for spec in kept.specs}


def versions_by_digest() -> dict[str, list[str]]:
    """Return the versions that have an environment, by the digest of their requirements."""
    rows = ModelVersion.objects.exclude(requirements="", python="").select_related("model")
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows.order_by("model__name", "pk"):
        if (spec := environment_of(version_spec(row))) is not None:
            found[spec.digest].append(str(row))
    return found


def _hosts() -> Sequence[HostEnvironments]:
    with _while_redis_answers():
        return read_hosts(redis_client())


@contextmanager
def _while_redis_answers() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise Unavailable("What hosts keep and builds said is in Redis, which is away.") from error


def _on_host(host: HostEnvironments, kept: KeptEnvironment) -> dict[str, Any]:
    made_of = kept.made_of
    return {
        "host": host.host,
        "state": "failed" if kept.error else "built",
        "bytes": made_of.bytes,
        "limit_bytes": host.limit_bytes,
        "seconds": made_of.seconds,
        "built_at": datetime.fromtimestamp(made_of.built_at, tz=UTC) if made_of.built_at else None,
        "used_at": datetime.fromtimestamp(kept.used_at, tz=UTC),
        "error": kept.error,
    }
