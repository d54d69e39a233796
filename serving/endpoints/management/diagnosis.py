"""GET the last errors of a version, and the output of its replicas."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import redis
from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound, Unavailable
from core.redis.redis_client import redis_client
from registry.api.permissions import Permissions
from registry.api.serializers import ErrorBody
from registry.api.views.management_view import ManagementView, find_version, schema, whole_number
from registry.api.visibility import models_for
from serving.cluster.failures import output_log
from serving.cluster.failures.error_log import ErrorLog, KnownError

LINES = 200
LINES_PARAMETER = OpenApiParameter(
    "lines",
    int,
    description=f"How many at most: 1 to {output_log.MOST_LINES}; {LINES} unless set.",
)

AFTER_PARAMETER = OpenApiParameter(
    "after",
    int,
    description="Only whole lines after so many bytes: the `end` of the answer before.",
)


class ErrorSerializer(serializers.Serializer[Any]):
    """One kind of error; `phase` is `check`, `load` or `serve`."""

    error = serializers.CharField()
    traceback = serializers.CharField()
    phase = serializers.CharField()
    replica = serializers.CharField(help_text="Where it came last.")
    count = serializers.IntegerField()
    first_at = serializers.DateTimeField(help_text="When it was counted first.")
    last_at = serializers.DateTimeField()


class LogSerializer(serializers.Serializer[Any]):
    replica = serializers.CharField()
    lines = serializers.ListField(child=serializers.CharField())
    end = serializers.IntegerField(
        required=False, help_text="Where the lines end, in bytes, if `after` was given."
    )


class VersionErrorsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema("List a version's last errors, latest first", answer=ErrorSerializer(many=True))
    def get(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version)
        return Response([error_out(known) for known in last_errors(found.pk)])


class VersionLogView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @extend_schema(
        summary="Read what the replica of a version wrote that wrote last",
        parameters=[LINES_PARAMETER],
        responses={200: LogSerializer, "default": ErrorBody},
    )
    def get(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version)
        files = output_log.logs_of_version(
            settings.CLIPPER_REPLICA_LOGS, model=model, version=found.version
        )
        if not files:
            raise NotFound(f"No replica of {found} has left a log on this host.")
        return Response(log_out(files[0], lines=_lines(request)))


class ReplicaLogView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @extend_schema(
        summary="Read what a replica wrote",
        parameters=[LINES_PARAMETER, AFTER_PARAMETER],
        responses={200: LogSerializer, "default": ErrorBody},
    )
    def get(self, request: Request, replica: str) -> Response:
        file = output_log.find_log(settings.CLIPPER_REPLICA_LOGS, replica_id=replica)
        visible = models_for(request)
        if file is None or not visible.filter(name=output_log.model_of(file)).exists():
            raise NotFound(f"There is no log of a replica {replica!r} on this host.")
        if "after" not in request.query_params:
            return Response(log_out(file, lines=_lines(request)))
        after = whole_number(request, "after", default=0, low=0, high=2**40)
        lines, end = output_log.lines_after(file, after=after)
        return Response({"replica": replica, "lines": lines[-_lines(request) :], "end": end})


def last_errors(version_id: int) -> list[KnownError]:
    """The last errors of a version. Raises Unavailable where Redis is away."""
    try:
        return ErrorLog(redis_client()).read(version_id)
    except redis.RedisError as error:
        raise Unavailable("The last errors of versions are in Redis, which is away.") from error


def error_out(known: KnownError) -> dict[str, Any]:
    return {
        "error": known.error,
        "traceback": known.traceback,
        "phase": known.phase,
        "replica": known.replica,
        "count": known.count,
        "first_at": datetime.fromtimestamp(known.first_at, tz=UTC),
        "last_at": datetime.fromtimestamp(known.last_at, tz=UTC),
    }


def log_out(file: Path, *, lines: int) -> dict[str, Any]:
    return {
        "replica": output_log.replica_of(file),
        "lines": output_log.last_lines(file, lines=lines),
    }


def _lines(request: Request) -> int:
    return whole_number(request, "lines", default=LINES, low=1, high=output_log.MOST_LINES)
