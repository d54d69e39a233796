"""GET /api/v1/replicas/: the replicas there are, as the live directory knows them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import redis
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Unavailable
from core.redis.redis_client import redis_client
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, schema
from registry.api.visibility import bound_to, models_for
from registry.releases.restarts import read_restarts
from serving.cluster.failures.failure_counts import failure_texts
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.views import WebView, obstacles, read_views


class UnreachableSerializer(serializers.Serializer[Any]):
    """A web process that has no link to a replica, and why."""

    web = serializers.CharField()
    reason = serializers.CharField()


class ReplicaSerializer(serializers.Serializer[Any]):
    """One replica; `batch_size` and `in_flight` are of its latest heartbeat."""

    id = serializers.CharField()
    model = serializers.CharField()
    version = serializers.CharField()
    host = serializers.CharField()
    pid = serializers.IntegerField()
    device = serializers.CharField()
    state = serializers.CharField()
    batch_size = serializers.IntegerField()
    in_flight = serializers.IntegerField()
    queries = serializers.IntegerField()
    last_error = serializers.CharField(allow_null=True)
    preparing = serializers.CharField(
        help_text="What it waits for on its host before it loads, such as its artifact."
    )
    address = serializers.CharField()
    reached_by = serializers.IntegerField(help_text="Web processes that it has answered.")
    unreachable_from = UnreachableSerializer(many=True)
    restarts = serializers.IntegerField(
        help_text="How often replicas of its version ended unasked within a day, on any host."
    )
    failures = serializers.CharField(
        help_text="Where its version failed lately, and when it is tried there again."
    )


class ReplicasView(ManagementView):
    """Live replicas, and those that wait for a slot or failed to load within the last minute."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema("List the replicas", answer=ReplicaSerializer(many=True))
    def get(self, request: Request) -> Response:
        try:
            listing = own_directory().look()
            records = listing.records + listing.refused
            views = read_views(redis_client())
            versions = {record.version_id for record in records}
            restarts = read_restarts(redis_client(), versions)
            failures = failure_texts(redis_client(), versions)
        except redis.RedisError as error:
            raise Unavailable("The directory of replicas is in Redis, which is away.") from error
        if bound_to(request) is not None:
            visible = set(models_for(request).values_list("name", flat=True))
            records = [record for record in records if record.model in visible]
        ordered = sorted(records, key=lambda record: (record.model, record.version, record.id))
        rows = [
            _row(record, views=views)
            | {
                "restarts": restarts[record.version_id].total
                if record.version_id in restarts
                else 0,
                "failures": failures.get(record.version_id, ""),
            }
            for record in ordered
        ]
        return Response(ReplicaSerializer(rows, many=True).data)


def _row(record: ReplicaRecord, *, views: Sequence[WebView]) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(record),
        "reached_by": sum(view.has_proven(record.id) for view in views),
        "unreachable_from": [
            {"web": view.name, "reason": link.reason}
            for _, view, link in obstacles([record], views=views)
        ],
    }
