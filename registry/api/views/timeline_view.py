"""GET /api/v1/timeline/: who changed what, and what Clipper did by itself."""

from collections.abc import Collection
from typing import cast

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import needs
from registry.api.timestamps import EXPECTED_IN_A_PERIOD, moment_in
from registry.api.views.management_view import (
    ManagementView,
    find_application,
    find_model,
    schema,
)
from registry.api.visibility import bound_to
from registry.models import Application, AuditEntry
from registry.models.audit_entry import SETTINGS, TOPICS, AuditEntryQuerySet
from registry.security.grants import within

# What can be asked for: fields, what an entry is about, moments that `at` is compared with.
EXACT = ("name", "by", "action", "channel")
ABOUT = {
    "application": "The application and the models that it asks.",
    "model": "The model and its versions.",
    "kind": f"{', '.join((*TOPICS, SETTINGS))}, or what is changed, such as `model version`.",
}
MOMENTS = {"since": "at__gte", "until": "at__lt"}
PAGING = ("limit", "offset")


class TimelineEntry(serializers.ModelSerializer[AuditEntry]):
    """One change or event: `changes` has the old and the new value of each field.

    `cause_id` is the entry that this one completes: a release's end has its beginning.
    """

    topic = serializers.ChoiceField(choices=(*TOPICS, SETTINGS), read_only=True)

    class Meta:
        model = AuditEntry
        exclude = ("user_id", "object_id", "application_id", "model_id")


class TimelineView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("auditentry")

    @schema(
        "List changes and events, newest first",
        answer=TimelineEntry(many=True),
        paged=True,
        parameters=[
            *(OpenApiParameter(name, str) for name in EXACT),
            *(OpenApiParameter(name, str, description=text) for name, text in ABOUT.items()),
            *(OpenApiParameter(name, str, description=EXPECTED_IN_A_PERIOD) for name in MOMENTS),
        ],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params.dict()
        known = (*EXACT, *ABOUT, *MOMENTS, *PAGING)
        if unknown := sorted(asked.keys() - set(known)):
            raise BadRequest(f"Expected only {', '.join(known)}, got {', '.join(unknown)}.")
        rows = entries_for(request)
        for name in asked.keys() & set(EXACT):
            rows = rows.filter(**{name: asked[name].replace("\0", "")})
        if "application" in asked:
            application = find_application(request, name=asked["application"])
            rows = rows.touching(**reach_of(application))
        if "model" in asked:
            model = find_model(request, name=asked["model"])
            rows = rows.touching(applications=(), models=[model.pk])
        if "kind" in asked:
            rows = rows.about(asked["kind"].replace("\0", ""))
        for name in asked.keys() & MOMENTS.keys():
            rows = rows.filter(**{MOMENTS[name]: moment_in(asked, name)})
        return self.listing(rows, shape=TimelineEntry)


def entries_for(request: Request | HttpRequest) -> AuditEntryQuerySet:
    """Return the entries within the caller's reach: of their applications and own models."""
    return cast(AuditEntryQuerySet, within(AuditEntry.objects.all(), own=bound_to(request)))


def reach_of(application: Application) -> dict[str, Collection[int]]:
    """Return what the entries of an application's timeline touch."""
    models = {route.model_id for route in application.routes.all()}
    return {"applications": [application.pk], "models": models}
