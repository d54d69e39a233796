"""GET /api/v1/applications/{app}/selection/history: weights, rewards and misses over a period."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import Permissions
from registry.api.serializers import ErrorBody
from registry.api.timestamps import EXPECTED_IN_A_PERIOD, check_period, moment_in
from registry.api.views.management_view import ManagementView, find_application
from selection.evaluation.monitoring.history import history
from selection.policies.best_arm_proof import STATES

PARAMETERS = ("since", "until")


class EstimateOut(serializers.Serializer[Any]):
    """A number with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class ArmOut(serializers.Serializer[Any]):
    weight = serializers.FloatField(allow_null=True)
    probability = serializers.FloatField(allow_null=True)
    asked = serializers.IntegerField()
    answered = serializers.IntegerField()
    late = serializers.IntegerField()
    failed = serializers.IntegerField()
    refused = serializers.IntegerField()
    feedback = serializers.IntegerField()


class ArmTotalOut(ArmOut):
    """The totals of one arm over the period."""

    model = serializers.CharField()
    version = serializers.CharField()
    routed = serializers.BooleanField()
    recent_reward = serializers.FloatField(allow_null=True)
    share = serializers.FloatField(allow_null=True)
    mean_reward = serializers.FloatField(allow_null=True)
    reward = EstimateOut(allow_null=True)


class ArmPointOut(ArmOut):
    """One arm at the end of a point's stretch, and what happened within."""

    reward = serializers.FloatField(allow_null=True)
    reward_interval = EstimateOut(allow_null=True)


class PointOut(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    at = serializers.DateTimeField()
    policy = serializers.CharField()
    feedback = serializers.IntegerField()
    earned = serializers.FloatField(allow_null=True)
    arms = serializers.DictField(child=ArmPointOut())


class RecommendationOut(serializers.Serializer[Any]):
    """The arm that leads at the end of the period, and how sure it is that it's the best."""

    arm = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    confidence = serializers.FloatField()
    since = serializers.DateTimeField(allow_null=True)
    labels = serializers.IntegerField()


class HoldoutSideOut(serializers.Serializer[Any]):
    """The rewards of one side; `people` of equal weight would tell as much."""

    feedback = serializers.IntegerField()
    mean = serializers.FloatField(allow_null=True)
    people = serializers.IntegerField()


class HoldoutOut(serializers.Serializer[Any]):
    """The gain of the policy over the keys held out of it, since the experiment began."""

    gain = EstimateOut(allow_null=True)
    policy = HoldoutSideOut()
    held_out = HoldoutSideOut()


class HistoryOut(serializers.Serializer[Any]):
    """An application's selection over a period."""

    application = serializers.CharField()
    policy = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_s = serializers.IntegerField()
    points = PointOut(many=True)
    arms = ArmTotalOut(many=True)
    feedback = serializers.IntegerField()
    mean_earned = serializers.FloatField(allow_null=True)
    recommendation = RecommendationOut(allow_null=True)
    holdout = HoldoutOut(allow_null=True)


class HistoryView(ManagementView):
    """Out of snapshots, which are taken every ten seconds and kept for thirty days."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_application",)}

    @extend_schema(
        summary="Read how an application's selection went over a period",
        parameters=[
            OpenApiParameter(
                "since", str, description=f"{EXPECTED_IN_A_PERIOD}; an hour before the end."
            ),
            OpenApiParameter("until", str, description=f"{EXPECTED_IN_A_PERIOD}; now."),
        ],
        responses={200: HistoryOut, "default": ErrorBody},
    )
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        since, until = period_of(request.query_params)
        return Response(history(found, since=since, until=until))


def period_of(parameters: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Return `since` and `until`, by default the last hour."""
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise BadRequest(f"Expected only {' and '.join(PARAMETERS)}, got {', '.join(unknown)}.")
    until = moment_in(parameters, "until") or datetime.now(UTC)
    # The period if none is given.
    since = moment_in(parameters, "since") or until - timedelta(hours=1)
    check_period(since=since, until=until)
    return since, until
