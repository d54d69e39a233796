"""GET /api/v1/applications/{app}/plan: how long an A/B test takes to show a gain."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.fields import Body, Number
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, find_application, schema
from registry.models.settable_columns import between

STATES = ("planned", "too_small", "no_traffic")


class QueryNumber(Number):
    """A number in a query parameter, from `low` to `high`."""

    def __init__(self, low: float, high: float, help_text: str) -> None:
        super().__init__(required=False, validators=between(low, high), help_text=help_text)

    def to_internal_value(self, data: Any) -> float:
        try:
            return super().to_internal_value(float(data))
        except ValueError as error:
            raise serializers.ValidationError(f"Expected a number, got {data!r}.") from error


class PlanIn(Body):
    """The gain to plan for, and assumptions in place of what was measured."""

    gain = QueryNumber(1e-4, 1.0, "The smallest gain of interest, in reward: 0.02 is 2 points.")
    days = QueryNumber(0.01, 365.0, "How long the test may take; 7, 14 and 28 if left out.")
    share = QueryNumber(0.001, 0.999, "The second arm's share of the labels.")
    labels_per_day = QueryNumber(1.0, 1e9, "Assumed labels a day.")
    mean = QueryNumber(0.001, 0.999, "Assumed mean reward.")
    people = QueryNumber(2.0, 1e9, "Assumed number of different people.")
    likeness = QueryNumber(0.0, 1.0, "Assumed correlation of two labels of one person.")


class TrafficOut(serializers.Serializer[Any]):
    """The labels that the plan rests on."""

    labels_per_day = serializers.FloatField()
    mean = serializers.FloatField()
    variance = serializers.FloatField()
    labels_per_person = serializers.FloatField(help_text="At the end of the longest period.")
    likeness = serializers.FloatField()


class SmallestGainOut(serializers.Serializer[Any]):
    """The smallest gain that shows within some days; null if none does."""

    days = serializers.FloatField()
    gain = serializers.FloatField(allow_null=True)


class PlanOut(serializers.Serializer[Any]):
    """The plan of an A/B test; labels and days are null unless the gain shows within a year."""

    application = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    explanation = serializers.CharField()
    gain = serializers.FloatField(allow_null=True)
    chance = serializers.FloatField(help_text="The chance with which it shows in time.")
    labels = serializers.IntegerField(allow_null=True)
    days = serializers.FloatField(allow_null=True)
    smallest = SmallestGainOut(many=True)
    split = serializers.ListField(child=serializers.FloatField())
    traffic = TrafficOut(allow_null=True)


class PlanView(ManagementView):
    """Reads the labels of the last seven days; changes nothing."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_application",)}

    @schema(
        "Plan an A/B test: the days until a gain shows, and the smallest gains that will",
        answer=PlanOut,
        parameters=[PlanIn],
    )
    def get(self, request: Request, application: str) -> Response:
        # NumPy only where it is asked for.
        from selection.evaluation.planning.experiment_plan import Assumptions, plan_of

        found = find_application(request, name=application)
        given = dict(self.validated(PlanIn, request.query_params.dict()).validated_data)
        gain, days = given.pop("gain", None), given.pop("days", None)
        limits = {} if days is None else {"days": (days,)}
        plan = plan_of(
            found, gain=gain, assumed=Assumptions(**given), now=datetime.now(UTC), **limits
        )
        return Response(plan)
