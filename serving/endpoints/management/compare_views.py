"""GET the measures of two to four versions of a model side by side."""

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, find_model, schema
from registry.api.visibility import applications_for
from registry.models import Model, ModelVersion
from serving.endpoints.management.version_measures import differences, leader, measures_of

FEWEST, MOST = 2, 4
CHOSEN = OpenApiParameter(
    "v", str, many=True, required=True, description="A version, such as 1 or svm:1; two to four."
)


class RewardSerializer(serializers.Serializer[Any]):
    application = serializers.CharField()
    labels = serializers.IntegerField(help_text="In the last seven days.")
    mean = serializers.FloatField(help_text="Of those; without any, of all labels.")
    low = serializers.FloatField(source="interval.low", default=None)
    high = serializers.FloatField(source="interval.high", default=None)


class MeasuresSerializer(serializers.Serializer[Any]):
    version = serializers.CharField(source="version.version")
    is_live = serializers.BooleanField()
    check = serializers.CharField(
        source="check_state", help_text="`none`, `pending`, `passed` or `failed`."
    )
    check_s = serializers.FloatField(allow_null=True)
    start_s = serializers.FloatField(allow_null=True, help_text="Its replicas' last start.")
    asked = serializers.IntegerField(help_text="Calls in the last seven days.")
    late = serializers.IntegerField()
    failed = serializers.IntegerField()
    missed_share = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True, help_text="In the model.")
    p99_ms = serializers.FloatField(allow_null=True)
    answer_p99_ms = serializers.FloatField(allow_null=True, help_text="Of queries that asked it.")
    served = serializers.BooleanField(help_text="Those times are of queries, not of its check.")
    rewards = RewardSerializer(many=True)
    kept = serializers.JSONField(allow_null=True, help_text="Agreement on kept inputs.")
    replay = serializers.JSONField(
        allow_null=True, help_text="Its newest replay: agreement, gain in reward, matrix, times."
    )
    memory_bytes = serializers.IntegerField(allow_null=True, help_text="Of its largest replica.")
    size = serializers.IntegerField(help_text="Bytes of its artifact.")


class CompareSerializer(serializers.Serializer[Any]):
    versions = MeasuresSerializer(many=True)
    best = serializers.CharField(
        allow_null=True, help_text="The version whose reward is proved highest, if one's is."
    )
    best_in = serializers.CharField(allow_blank=True, help_text="The application compared in.")
    differences = serializers.DictField(
        child=serializers.ListField(child=serializers.JSONField(allow_null=True)),
        help_text="By field, the value of each version.",
    )


class CompareView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_modelversion",)}

    @schema("Compare versions", answer=CompareSerializer, parameters=[CHOSEN])
    def get(self, request: Request, model: str) -> Response:
        found = find_model(request, name=model)
        versions = chosen_versions(found, names=request.query_params.getlist("v"))
        asking = applications_for(request).filter(routes__model=found).distinct()
        measures = measures_of(versions, applications=asking)
        application, best = leader(measures)
        answer = {
            "versions": measures,
            "best": best and best.version.version,
            "best_in": application,
            "differences": differences(versions),
        }
        return Response(CompareSerializer(answer).data)


def chosen_versions(model: Model, *, names: Sequence[str]) -> list[ModelVersion]:
    """Return the versions of these names. Raises BadRequest unless two to four, NotFound."""
    names = list(dict.fromkeys(name.removeprefix(f"{model.name}:") for name in names))
    if not FEWEST <= len(names) <= MOST:
        raise BadRequest(f"v: Expected {FEWEST} to {MOST} versions to compare, got {len(names)}.")
    rows = ModelVersion.objects.filter(model=model).select_related(
        "model", "created_by", "last_check"
    )
    return [rows.named(name, of=model.name) for name in names]
