"""Plans of rollouts: those that come with Clipper, and one's own."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.api.fields import Body
from registry.api.permissions import actor_of, needs
from registry.api.views.management_view import ManagementView, schema
from registry.models import OwnPlan
from registry.models.rollouts.rollout_plans import PLANS, definition_of

PLAN_HELP = "How a version goes live: steps, margin, shadow, gates (docs/how-to/rollouts.md)."


class PlanOfOne(Body):
    """Has the fields of a plan, which the plan itself checks."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return {"definition": data}


class OwnPlanOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    own = serializers.BooleanField(help_text="False for those that come with Clipper.")
    definition = serializers.DictField(help_text=PLAN_HELP)


class OwnPlansView(ManagementView):
    permissions = needs("model")

    @schema("List the plans of rollouts", answer=OwnPlanOut(many=True))
    def get(self, request: Request) -> Response:
        rows = [
            {"name": name, "own": False, "definition": definition_of(plan)}
            for name, plan in PLANS.items()
        ]
        rows += [_shown(plan) for plan in OwnPlan.objects.all()]
        return Response(OwnPlanOut(rows, many=True).data)


class OwnPlanView(ManagementView):
    permissions = needs("model", PUT="change", DELETE="change")

    @schema("Read a plan of one's own", answer=OwnPlanOut)
    def get(self, request: Request, plan: str) -> Response:
        return Response(OwnPlanOut(_shown(OwnPlan.objects.named(plan))).data)

    @schema("Make or change a plan", body=PlanOfOne, answer=OwnPlanOut, created=True)
    def put(self, request: Request, plan: str) -> Response:
        definition = self.body(PlanOfOne)["definition"]
        saved, is_new = services.save_plan(name=plan, definition=definition, by=actor_of(request))
        return Response(OwnPlanOut(_shown(saved)).data, status=201 if is_new else 200)

    @schema("Delete a plan", status=204)
    def delete(self, request: Request, plan: str) -> Response:
        services.delete_plan(OwnPlan.objects.named(plan), by=actor_of(request))
        return Response(status=204)


def _shown(plan: OwnPlan) -> dict[str, Any]:
    return {"name": plan.name, "own": True, "definition": plan.definition}
