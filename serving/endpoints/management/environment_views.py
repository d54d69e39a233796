"""The environments that hosts keep for versions: which, how large, for whom."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import redis
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound, Unavailable
from core.redis.redis_client import redis_client
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, schema
from registry.following.reading import version_spec
from registry.models import ModelVersion
from serving.cluster.host_environments import HostEnvironments, read_hosts, read_log
from serving.environments.spec import environment_of
from serving.environments.store import KeptEnvironment


class OnHostSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    bytes = serializers.IntegerField()
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
    on_hosts: dict[str, list[tuple[str, KeptEnvironment]]] = defaultdict(list)
    for host in _hosts():
        for kept in host.environments:
            on_hosts[kept.digest].append((host.host, kept))
    versions = versions_by_digest()
    rows = []
    for digest, found in on_hosts.items():
        specs = {spec for _, kept in found for spec in kept.specs}
        row = {
            "digest": digest,
            "python": found[0][1].made_of.python,
            "requirements": found[0][1].made_of.requirements,
            "packages": max((kept.made_of.packages for _, kept in found), key=len),
            "versions": sorted({name for spec in specs for name in versions.get(spec, ())}),
            "specs": specs,
            "hosts": [
                {"host": host, "bytes": kept.made_of.bytes, "error": kept.error}
                for host, kept in found
            ],
        }
        if row["packages"] or row["versions"]:  # else a failed build for nobody any more
            rows.append(row)
    return sorted(rows, key=lambda row: (row["python"], row["requirements"]))


def log_of(digest: str) -> str:
    """Return the output of its last build; raise Unavailable if Redis is away."""
    with _while_redis_answers():
        return read_log(redis_client(), digest)


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
