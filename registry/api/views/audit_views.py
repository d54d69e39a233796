"""GET /api/v1/audit/: who changed what."""

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import needs
from registry.api.timestamps import EXPECTED_IN_A_PERIOD, moment_in
from registry.api.views.management_view import ManagementView, schema
from registry.api.visibility import bound_to, models_for
from registry.models import AuditEntry, Route
from registry.models.audit_entry import AuditEntryQuerySet

# What can be asked for: fields, and moments that `at` is compared with.
EXACT = ("kind", "name", "by", "action", "channel")
MOMENTS = {"since": "at__gte", "until": "at__lt"}
PAGING = ("limit", "offset")


class AuditEntryOut(serializers.ModelSerializer[AuditEntry]):
    """One change: `changes` has the old and the new value of each field."""

    class Meta:
        model = AuditEntry
        exclude = ("user_id", "object_id", "application_id", "model_id")


class AuditView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("auditentry")

    @schema(
        "List the changes, newest first",
        answer=AuditEntryOut(many=True),
        paged=True,
        parameters=[
            *(OpenApiParameter(name, str) for name in EXACT),
            *(OpenApiParameter(name, str, description=EXPECTED_IN_A_PERIOD) for name in MOMENTS),
        ],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params.dict()
        known = (*EXACT, *MOMENTS, *PAGING)
        if unknown := sorted(asked.keys() - set(known)):
            raise BadRequest(f"Expected only {', '.join(known)}, got {', '.join(unknown)}.")
        rows = _visible(request)
        for name in asked.keys() & set(EXACT):
            rows = rows.filter(**{name: asked[name].replace("\0", "")})
        for name in asked.keys() & MOMENTS.keys():
            rows = rows.filter(**{MOMENTS[name]: moment_in(asked, name)})
        return self.listing(rows, shape=AuditEntryOut)


def _visible(request: Request) -> AuditEntryQuerySet:
    """Return all entries, or those of a bound key's applications and the models only they ask."""
    rows = AuditEntry.objects.all()
    own = bound_to(request)
    if own is None:
        return rows
    others = Route.objects.exclude(application__in=own).values("model")
    models = models_for(request).exclude(pk__in=others).values("pk")
    return rows.filter(Q(application_id__in=own) | Q(model_id__in=models))
