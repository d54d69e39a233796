"""GET /api/v1/applications/{app}/health: whether its experiment can be believed."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.permissions import Permissions
from registry.api.serializers import ErrorBody
from registry.api.views.management_view import ManagementView, find_application
from selection.evaluation.health.finding import ALARM, GOOD, NOT_APPLICABLE, UNKNOWN
from selection.evaluation.health.health_checks import CHECKS
from selection.evaluation.health.watching import health_of

STATES = f"{GOOD}, {ALARM} or {UNKNOWN}; of a check also {NOT_APPLICABLE}."


class HealthCheckOut(serializers.Serializer[Any]):
    """The state of one check, since when, and why."""

    check = serializers.ChoiceField(choices=tuple(CHECKS))
    state = serializers.CharField(help_text=STATES)
    value = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)


class GuardrailOut(serializers.Serializer[Any]):
    """A mean by arm beside the reward, with its interval where it lies between 0 and 1."""

    metric = serializers.CharField()
    arm = serializers.CharField()
    number = serializers.IntegerField()
    mean = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class HealthOut(serializers.Serializer[Any]):
    """An experiment's health: an alarm where any check raises one."""

    application = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    at = serializers.DateTimeField(allow_null=True)
    experiment_since = serializers.DateTimeField(allow_null=True)
    checks = HealthCheckOut(many=True)
    guardrails = GuardrailOut(many=True)


class HealthView(ManagementView):
    """Looked at every ten seconds in which something changed."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_application",)}

    @extend_schema(
        summary="Read whether an application's experiment can be believed",
        responses={200: HealthOut, "default": ErrorBody},
    )
    def get(self, request: Request, application: str) -> Response:
        return Response(health_of(find_application(request, name=application)))
