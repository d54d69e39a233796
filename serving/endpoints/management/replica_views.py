"""GET /api/v1/replicas/: the replicas there are, as the live directory knows them."""

from typing import Any, ClassVar

import redis
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Unavailable
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, schema
from registry.api.visibility import bound_to, models_for
from serving.cluster.membership.directory import own_directory


class ReplicaSerializer(serializers.Serializer[Any]):
    """One replica; `batch_size`, `in_flight`, `memory_bytes` are of its latest heartbeat."""

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
    memory_bytes = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField(allow_null=True)
    preparing = serializers.CharField(
        help_text="What it waits for on its host before it loads, such as its artifact."
    )
    address = serializers.CharField()


class ReplicasView(ManagementView):
    """Live replicas, and those that wait for a slot or failed to load within the last minute."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema("List the replicas", answer=ReplicaSerializer(many=True))
    def get(self, request: Request) -> Response:
        try:
            listing = own_directory().look()
        except redis.RedisError as error:
            raise Unavailable("The directory of replicas is in Redis, which is away.") from error
        records = listing.records + listing.refused
        if bound_to(request) is not None:
            visible = set(models_for(request).values_list("name", flat=True))
            records = [record for record in records if record.model in visible]
        rows = sorted(records, key=lambda record: (record.model, record.version, record.id))
        return Response(ReplicaSerializer(rows, many=True).data)
