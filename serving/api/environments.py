"""The environments that hosts keep for versions: which, how large, for whom; and away with one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import redis
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from infrastructure.redis_client import redis_client
from registry.api.permissions import Permissions
from registry.api.views.base import ManagementView, schema
from registry.errors import Conflict, NotFound, Unavailable
from registry.models import ModelVersion
from registry.snapshot import version_spec
from serving.cluster.environments import (
    HostEnvironments,
    needed,
    own_environments,
    publish,
    read_hosts,
    read_log,
)
from serving.cluster.host import host_id
from serving.cluster.membership.workers import read_workers
from serving.cluster.queues import queue_at
from serving.cluster.replica.tasks import remove_environment
from serving.environments.spec import environment_of
from serving.environments.store import KeptEnvironment


class OnHostSerializer(serializers.Serializer[Any]):
    """`state` is `built` or `failed`."""

    host = serializers.CharField()
    state = serializers.CharField()
    bytes = serializers.IntegerField()
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
        remove(digest)
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
    versions, wanted = versions_by_digest(), needed()
    rows = [
        {
            "digest": digest,
            "python": found[0][1].made_of.python,
            "requirements": found[0][1].made_of.requirements,
            "packages": max((kept.made_of.packages for _, kept in found), key=len),
            "versions": versions.get(digest, []),
            "needed": digest in wanted,
            "hosts": [_on_host(host, kept) for host, kept in found],
        }
        for digest, found in on_hosts.items()
    ]
    return sorted(rows, key=lambda row: (row["python"], row["requirements"]))


def remove(digest: str) -> None:
    """Have every host remove it. Raises Conflict where a version needs it, NotFound without one."""
    hosts = [host for host in _hosts() if any(kept.digest == digest for kept in host.environments)]
    if not hosts:
        raise NotFound(f"No host keeps an environment {digest!r}.")
    if digest in needed():
        names = ", ".join(versions_by_digest().get(digest, []))
        raise Conflict(f"This environment is needed by {names}.", digest=digest)
    client = redis_client()
    if any(host.host_id == host_id() for host in hosts):
        if not own_environments().remove(digest):
            raise Conflict("A process still runs in this environment.", digest=digest)
        publish(client, own_environments())
    workers = {worker.host_id: worker.queue for worker in read_workers(client)}
    for host in hosts:
        if host.host_id != host_id() and host.host_id in workers:
            queue = queue_at(workers[host.host_id], host_id=host.host_id)
            remove_environment.apply_async(args=(digest,), queue=queue)


def log_of(digest: str) -> str:
    """What its last build said. Raises Unavailable where Redis is away."""
    try:
        return read_log(redis_client(), digest)
    except redis.RedisError as error:
        raise Unavailable("What builds said is in Redis, which is away.") from error


def versions_by_digest() -> dict[str, list[str]]:
    """The versions that have an environment, by its digest on hosts like this one."""
    rows = ModelVersion.objects.exclude(requirements="", python="").select_related("model")
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows.order_by("model__name", "pk"):
        if (spec := environment_of(version_spec(row))) is not None:
            found[spec.digest].append(str(row))
    return found


def _hosts() -> Sequence[HostEnvironments]:
    try:
        return read_hosts(redis_client())
    except redis.RedisError as error:
        raise Unavailable("What hosts keep is in Redis, which is away.") from error


def _on_host(host: HostEnvironments, kept: KeptEnvironment) -> dict[str, Any]:
    made_of = kept.made_of
    return {
        "host": host.host,
        "state": "failed" if kept.error else "built",
        "bytes": made_of.bytes,
        "seconds": made_of.seconds,
        "built_at": datetime.fromtimestamp(made_of.built_at, tz=UTC) if made_of.built_at else None,
        "used_at": datetime.fromtimestamp(kept.used_at, tz=UTC),
        "error": kept.error,
    }
