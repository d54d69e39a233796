"""GET .../versions/{v}/rollout-history: when a rollout's gates would have stopped a version."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import Permissions
from registry.api.views.management_view import (
    ManagementView,
    find_application,
    find_version,
    schema,
)
from registry.models import Model, Release
from selection.evaluation.gates.gate import Gate, GateSeen
from selection.evaluation.gates.two_rates import NoWorse
from selection.inference import ALPHA
from selection.models import Feedback

# The reward's share of the chance that a rollout of equal versions is ever stopped.
SHARE = ALPHA / 4.0
# The newest rows: 40 microseconds each.
MARGIN, MOST_ROWS = 0.02, 50_000
ASKED = [
    OpenApiParameter("application", str, required=True, description="Whose labels count."),
    OpenApiParameter(
        "against", str, description="Another version; left out: that which was live before it."
    ),
]


class Retrospect(NamedTuple):
    """Labels of both versions up to the end or the verdict, and when that was, if ever."""

    labels: int
    others: int
    worse_at: datetime | None


class RetrospectOut(serializers.Serializer[Any]):
    application = serializers.CharField()
    version = serializers.CharField()
    against = serializers.CharField()
    labels = serializers.IntegerField(help_text="Of the version, until then.")
    others = serializers.IntegerField(help_text="Of the one it is compared with.")
    worse_at = serializers.DateTimeField(allow_null=True, help_text="When it was proved worse.")
    words = serializers.CharField()


def retrospect(
    rows: Iterable[Mapping[str, Any]], *, arm: str, against: str, alpha: float = SHARE
) -> Retrospect:
    """Run the gate of rewards over stored feedback, in its order."""
    gate = Gate(margin=MARGIN, by_failures=False, no_worse=[NoWorse(MARGIN)])
    wanted, labels, others = -math.log(alpha), 0, 0
    for row, seen in _seen(rows, arm=arm, against=against):
        gate.note(seen)
        labels, others = labels + seen.canary, others + (not seen.canary)
        if gate.log_evidence >= wanted:
            return Retrospect(labels, others, row["received_at"])
    return Retrospect(labels, others, None)


def _seen(
    rows: Iterable[Mapping[str, Any]], *, arm: str, against: str
) -> Iterator[tuple[Mapping[str, Any], GateSeen]]:
    """Yield what rows say that had a known chance to ask either; a coin picks one of both asked."""
    for row in rows:
        found = {one["arm"]: one for one in row["arms"] if one.get("loss") is not None}
        mine, other = found.get(arm), found.get(against)
        if mine and other:
            taken = int(row["nonce"][-1:] or "0", 16) % 2 == 0
            yield row, GateSeen(taken, 0.5, (mine if taken else other)["loss"])
        elif mine or other:
            one: Any = mine or other
            chance = one["propensity"] if mine else 1.0 - one["propensity"]
            # With a third version the chance of the other one isn't kept.
            if {*row["routed"], one["arm"]} <= {arm, against} and 0.0 < chance < 1.0:
                yield row, GateSeen(mine is not None, chance, one["loss"])


class RolloutHistoryView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {
        "GET": ("registry.view_modelversion", "selection.view_feedback")
    }

    @schema("When gates would have stopped a version", answer=RetrospectOut, parameters=ASKED)
    def get(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version)
        application = find_application(request, name=request.query_params.get("application", ""))
        named = request.query_params.get("against") or _before(found.model, version=version)
        against = find_version(request, model=model, version=named.removeprefix(f"{model}:"))
        arm, other = str(found), str(against)
        rows = Feedback.objects.filter(application=application, forced=False)
        newest = rows.order_by("-position", "-id")[:MOST_ROWS].values(
            "arms", "routed", "nonce", "received_at"
        )
        seen = retrospect(reversed(newest), arm=arm, against=other)
        words = f"{arm} beside {other} in {application.name}: " + (
            f"never proved worse in {seen.labels + seen.others:,} labels"
            if seen.worse_at is None
            else f"proved worse on {seen.worse_at:%Y-%m-%d at %H:%M} UTC, after {seen.labels:,} "
            f"labels of it and {seen.others:,} of the other"
        )
        answer = {"application": application.name, "version": arm, "against": other, "words": words}
        return Response(RetrospectOut({**answer, **seen._asdict()}).data)


def _before(model: Model, *, version: str) -> str:
    """Return the version that was live before this one. Raises BadRequest."""
    releases = Release.objects.filter(model=model, version_name=version)
    before = releases.exclude(previous_version_name="").order_by("-pk").first()
    if before is None:
        raise BadRequest("against: Expected a version to compare with: none was live before it.")
    return str(before.previous_version_name)
