"""GET /api/v1/applications/{app}/decisions: kept decisions, page by page, for other tools."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.permissions import Permissions
from registry.api.views.base import ManagementView, find_application, schema, whole_number
from registry.errors import BadRequest
from registry.snapshot import application_spec
from selection.evaluation.answer_rule import answer_rule_of
from selection.evaluation.rows import COLUMNS, Outputs, logged
from selection.kinds import INPUT
from selection.models import Feedback

MOST_DECISIONS = 1000
PARAMETERS = [
    OpenApiParameter("after", int, description="The `next` of the page before; 0 to begin."),
    OpenApiParameter("limit", int, description=f"Rows to look at: 1 to {MOST_DECISIONS}."),
]


class DecisionOut(serializers.Serializer[Any]):
    """One arm that was asked, the chance it had, and what it earned (1 - loss)."""

    at = serializers.DateTimeField(help_text="When the query came.")
    context = serializers.CharField()  # type: ignore[assignment]  # a field's name
    features = serializers.ListField(child=serializers.FloatField())
    arms = serializers.ListField(child=serializers.CharField(), help_text="There were to ask.")
    arm = serializers.CharField()
    propensity = serializers.FloatField()
    reward = serializers.FloatField()


class DecisionsOut(serializers.Serializer[Any]):
    """`left_out` of the rows looked at asked several arms, or none that answered."""

    decisions = DecisionOut(many=True)
    left_out = serializers.IntegerField()
    next = serializers.IntegerField(allow_null=True, help_text="null: there are no more.")


class DecisionsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {
        "GET": ("registry.view_application", "selection.view_feedback")
    }

    @schema("Read kept decisions, oldest first", answer=DecisionsOut, parameters=PARAMETERS)
    def get(self, request: Request, application: str) -> Response:
        found = application_spec(find_application(request, name=application))
        _refuse_others(request)
        after = whole_number(request, "after", default=0, low=0, high=2**62)
        limit = whole_number(request, "limit", default=MOST_DECISIONS, low=1, high=MOST_DECISIONS)
        kept = Feedback.objects.filter(application_id=found.id, forced=False, id__gt=after)
        rows = list(
            kept.exclude(kind=INPUT).order_by("id").values("id", "issued_at", *COLUMNS)[:limit]
        )
        outputs, rule = Outputs(), answer_rule_of(found)
        decisions = []
        for row in rows:
            query = logged(row, outputs=outputs, rule=rule)
            if query is None or len(query.asked) > 1:
                continue
            (arm,) = query.asked
            decisions.append(
                {
                    "at": row["issued_at"],
                    "context": query.context,
                    "features": query.features,
                    "arms": list(dict.fromkeys((*query.routed, arm.arm))),
                    "arm": arm.arm,
                    "propensity": arm.propensity,
                    "reward": arm.reward,
                }
            )
        page = {
            "decisions": decisions,
            "left_out": len(rows) - len(decisions),
            "next": rows[-1]["id"] if len(rows) == limit else None,
        }
        return Response(DecisionsOut(page).data)


def _refuse_others(request: Request) -> None:
    """Refuse what would choose among the decisions, and doesn't: `context`, `since` and so on."""
    known = [parameter.name for parameter in PARAMETERS]
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise BadRequest(f"Expected only {' and '.join(known)}, got {', '.join(unknown)}.")
