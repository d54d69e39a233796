"""POST /api/v1/applications/{app}/what-if: what others would have earned on kept feedback."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from core.specs import ApplicationSpec
from registry.api.fields import Body, Flag, Object, Text, Whole
from registry.api.permissions import Permissions
from registry.api.timestamps import PastMoment, check_period
from registry.api.views.management_view import ManagementView, find_application, schema
from registry.following.reading import application_spec
from selection.context_names import fault_of
from selection.evaluation.monitoring.history_api import EstimateOut
from selection.evaluation.offpolicy.intervals import Verdict
from selection.evaluation.what_if.feedback_span import MOST_ROWS, USUAL_ROWS, Span
from selection.evaluation.what_if.targets import MOST_TARGETS, WhatIfTarget, policy_target


class TargetIn(Body):
    """Either an arm, asked alone, or a policy."""

    arm = Text(required=False, help_text="`model:version`, asked alone.")
    policy = Text(required=False, help_text="A selection policy, or `uniform`: all arms alike.")
    params = Object(
        required=False,
        help_text="Of the policy; left out, the application's own where it is its policy.",
    )


class WhatIfIn(Body):
    targets = TargetIn(
        many=True,
        required=False,
        help_text=f"At most {MOST_TARGETS}. Left out: each arm, all alike, the routes' weights, "
        "and the application's own policy.",
    )
    rows = Whole(
        required=False,
        min_value=1,
        max_value=MOST_ROWS,
        help_text=f"Latest pieces of feedback to look at; {USUAL_ROWS} if left out.",
    )
    inputs = Flag(
        required=False,
        help_text="true: look at labelled inputs, instead of queries; they are never mixed.",
    )
    context = Text(  # type: ignore[assignment]  # a field's name, not the serializer's own context
        required=False, allow_blank=True, help_text="Only feedback in this context."
    )
    since = PastMoment(required=False, help_text="Feedback that came then or later.")
    until = PastMoment(required=False, help_text="Feedback that came before then.")


class EarnedOut(serializers.Serializer[Any]):
    """The mean reward of the answers given."""

    value = EstimateOut(allow_null=True)
    rows = serializers.IntegerField()
    recombined = serializers.IntegerField(
        help_text="Of those: made of several outputs, and combined again to be judged."
    )


class WhatIfEstimateOut(serializers.Serializer[Any]):
    """The estimate of one target, and how far to trust it."""

    target = serializers.DictField(source="target.described")
    name = serializers.CharField(source="target.name")
    current = serializers.BooleanField(help_text="Whether it is the application's own policy.")
    verdict = serializers.ChoiceField(
        [str(verdict) for verdict in Verdict], source="estimate.verdict"
    )
    explanation = serializers.CharField(source="estimate.explanation")
    method = serializers.ChoiceField(
        ["direct", "doubly_robust"], allow_null=True, source="estimate.method"
    )
    estimate = EstimateOut(allow_null=True, source="estimate.best")
    gain = EstimateOut(allow_null=True, help_text="More than the arms' answers earned, row by row.")
    rows = serializers.IntegerField(source="estimate.rows")
    effective_rows = serializers.FloatField(source="estimate.effective_rows")
    largest_weight = serializers.FloatField(source="estimate.largest_weight")
    mean_weight = serializers.FloatField(source="estimate.mean_weight")
    without_overlap = serializers.FloatField(source="estimate.without_overlap")
    trained_on = serializers.IntegerField(
        allow_null=True,
        source="estimate.trained_on",
        help_text="Rows that it could learn from as it went.",
    )


class WhatIfOut(serializers.Serializer[Any]):
    """`since` and `until` are the times of the first and the last feedback that was looked at."""

    application = serializers.CharField()
    policy = serializers.CharField()
    context = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # a field's name
    rows = serializers.IntegerField()
    whole = serializers.IntegerField(
        help_text="Further ones: rewards of whole answers, which tell nothing of one arm."
    )
    more = serializers.BooleanField(help_text="Whether older feedback was left out.")
    inputs = serializers.BooleanField(help_text="Whether these are labelled inputs.")
    others = serializers.BooleanField(
        help_text="Whether there is feedback of the other kind (queries, labelled inputs)."
    )
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    earned = EarnedOut()
    estimates = WhatIfEstimateOut(many=True, source="results")
    seconds = serializers.FloatField()


class WhatIfView(ManagementView):
    """Reads the latest feedback; changes nothing."""

    for_bound_keys = ("POST",)
    permissions: ClassVar[Permissions] = {
        "POST": ("registry.view_application", "selection.view_feedback")
    }

    @schema(
        "Estimate what other policies or single arms would have earned",
        body=WhatIfIn,
        answer=WhatIfOut,
    )
    def post(self, request: Request, application: str) -> Response:
        # NumPy only where it is asked for.
        from selection.evaluation.what_if.evaluation import what_if

        found = find_application(request, name=application)
        fields = self.body(WhatIfIn)
        given, spec = fields.pop("targets", None), application_spec(found)
        # What else there is names what a span has.
        span = Span(**fields)
        if span.context is not None and (fault := fault_of(span.context)) is not None:
            raise BadRequest(fault)
        check_period(since=span.since, until=span.until)
        targets = [_target(spec, given=each, place=i) for i, each in enumerate(given or ())]
        outlook = what_if(found, span=span, targets=targets, usual=given is None)
        return Response(WhatIfOut(outlook).data)


def _target(spec: ApplicationSpec, *, given: Mapping[str, Any], place: int) -> WhatIfTarget:
    if ("arm" in given) == ("policy" in given):
        raise BadRequest(f"targets.{place}: expected exactly one of arm and policy")
    if "policy" in given:
        try:
            return policy_target(spec, **given)
        except BadRequest as error:
            raise type(error)(f"targets.{place}.{error.message}") from error
    if len(given) > 1:
        raise BadRequest(f"targets.{place}: expected nothing but arm beside it")
    return WhatIfTarget(arm=given["arm"])
