"""Captured queries: named sets of them, which retention leaves alone, and their erasure."""

from typing import Any, ClassVar

from django.db.models import Count, Max, Min
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest, NotFound
from registry.api.fields import Body, Text
from registry.api.permissions import Permissions, actor_of
from registry.api.timestamps import PastMoment, check_period
from registry.api.views.management_view import ManagementView, find_application, schema
from serving.capture.models import CapturedInput, chosen_rows
from serving.capture.services import drop_set, erase_captured, keep_as_set

SEE, CHANGE = "capture.view_capturedinput", "capture.change_capturedinput"
WHOSE = [
    OpenApiParameter("key", str, description="All that this key asked."),
    OpenApiParameter("context", str, description="All of this context."),
]


class KeptSet(Body):
    name = Text(max_length=63, help_text="Name of the set; it takes more rows if there is one.")
    since = PastMoment(required=False, help_text="Rows from then on.")
    until = PastMoment(required=False, help_text="Rows before.")
    context = Text(required=False, help_text="Rows of this context alone.")  # type: ignore[assignment]  # (declared fields leave the class)


class SetOut(serializers.Serializer[Any]):
    name = serializers.CharField(source="set_name")
    rows = serializers.IntegerField()
    first = serializers.DateTimeField()
    last = serializers.DateTimeField()


class CountOut(serializers.Serializer[Any]):
    rows = serializers.IntegerField()


class CapturedSetsView(ManagementView):
    for_bound_keys = ("GET", "POST")
    permissions: ClassVar[Permissions] = {"GET": (SEE,), "POST": (SEE, CHANGE)}

    @schema("List an application's named sets of captured queries", answer=SetOut(many=True))
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        rows = CapturedInput.objects.filter(application=found).exclude(set_name="")
        sets = rows.order_by("set_name").values("set_name")
        counted = sets.annotate(rows=Count("pk"), first=Min("at"), last=Max("at"))
        return Response(SetOut(counted, many=True).data)

    @schema("Keep captured queries as a named set", body=KeptSet, answer=CountOut, status=201)
    def post(self, request: Request, application: str) -> Response:
        found, body = find_application(request, name=application), self.body(KeptSet)
        since, until = body.get("since"), body.get("until")
        check_period(since=since, until=until)
        rows = chosen_rows(found.pk, since=since, until=until)
        if context := body.get("context", ""):
            rows = rows.filter(context=context)
        kept = keep_as_set(found, rows, name=body["name"], by=actor_of(request))
        return Response({"rows": kept}, status=201)


class CapturedSetView(ManagementView):
    for_bound_keys = ("DELETE",)
    permissions: ClassVar[Permissions] = {"DELETE": (SEE, CHANGE)}

    @schema("Leave a set's rows to retention again", answer=CountOut)
    def delete(self, request: Request, application: str, name: str) -> Response:
        found = find_application(request, name=application)
        left = drop_set(found, name=name, by=actor_of(request))
        if not left:
            raise NotFound(f"{found.name} has no set {name}.", set=name)
        return Response({"rows": left})


class CapturedView(ManagementView):
    for_bound_keys = ("DELETE",)
    permissions: ClassVar[Permissions] = {"DELETE": ("capture.delete_capturedinput",)}

    @schema("Erase captured queries of a key or context", answer=CountOut, parameters=WHOSE)
    def delete(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        key, context = (request.query_params.get(name, "") for name in ("key", "context"))
        if bool(key) == bool(context):
            raise BadRequest("Expected either key or context.")
        gone = erase_captured(found, key=key, context=context, by=actor_of(request))
        return Response({"rows": gone})
