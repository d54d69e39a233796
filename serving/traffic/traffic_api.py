"""REST views of an application's traffic, and of how it keeps its objective."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry.api.permissions import Permissions
from registry.api.timestamps import EXPECTED_IN_A_PERIOD, check_period, moment_in
from registry.api.views.management_view import (
    ManagementView,
    find_application,
    schema,
    whole_number,
)
from serving.metrics.published import ARM_COUNTERS
from serving.traffic.history import STEPS_S, Point, step_for, traffic
from serving.traffic.objective import WINDOWS, attained
from serving.traffic.outcome_counts import BAD, OutcomeCounts

VIEW: Permissions = {"GET": ("registry.view_application",)}
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


class OutcomesOut(serializers.Serializer[Any]):
    """Queries by outcome; `abstained` ones are good, `invalid` ones aren't in the total."""

    total = serializers.IntegerField()
    good = serializers.IntegerField()
    bad_by_cause = serializers.DictField(
        child=serializers.IntegerField(), help_text=f"{', '.join(BAD)}."
    )
    abstained = serializers.IntegerField()
    invalid = serializers.IntegerField()


class ObjectiveStatusOut(OutcomesOut):
    """How an application keeps its objective in a window that ends now."""

    application = serializers.CharField()
    window = serializers.ChoiceField(choices=[*WINDOWS])
    since = serializers.DateTimeField(help_text="The first query, if that is within the window.")
    until = serializers.DateTimeField()
    latency_ms = serializers.FloatField()
    target = serializers.FloatField()
    attainment = serializers.FloatField(allow_null=True)
    budget_left = serializers.FloatField(allow_null=True, help_text="1: all; below 0: overspent.")
    queries_left = serializers.FloatField(help_text="Queries that may yet be bad.")
    burn_rate = serializers.FloatField(allow_null=True)


class VersionTrafficOut(OutcomesOut):
    """Queries in which a version was asked, with times; `calls` are those of the policy."""

    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)
    calls = serializers.DictField(child=serializers.IntegerField())


class TrafficPointOut(VersionTrafficOut):
    """A step: `gaps` are processes that were killed, with up to a second of their counts."""

    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    rate = serializers.FloatField()
    gaps = serializers.IntegerField()
    versions = serializers.DictField(child=VersionTrafficOut())


class TrafficHistoryOut(serializers.Serializer[Any]):
    """An application's traffic over a period."""

    application = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_s = serializers.IntegerField()
    points = TrafficPointOut(many=True)


class ObjectiveStatusView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = VIEW

    @schema(
        "Read how an application keeps its objective",
        answer=ObjectiveStatusOut,
        parameters=[
            OpenApiParameter(
                "window", str, enum=[*WINDOWS], description="By default the objective's own."
            )
        ],
    )
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        window = request.query_params.get("window", found.slo.window)
        if window not in WINDOWS:
            raise BadRequest(f"window: expected {', '.join(WINDOWS)}, got {window[:20]!r}.")
        status = attained(found, window=window, now=datetime.now(UTC))
        own = ("since", "until", "target", "budget_left", "queries_left", "burn_rate")
        return Response(
            {"application": found.name, "window": window, "latency_ms": found.slo.latency_ms}
            | {name: getattr(status, name) for name in own}
            | {"attainment": status.share, **_outcomes(status.counts)}
        )


class TrafficView(ManagementView):
    """Out of rows that are kept for 90 days, the older the coarser."""

    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = VIEW

    @schema(
        "Read an application's traffic over a period",
        answer=TrafficHistoryOut,
        parameters=[
            OpenApiParameter(
                "since", str, description=f"{EXPECTED_IN_A_PERIOD}; an hour before the end."
            ),
            OpenApiParameter("until", str, description=f"{EXPECTED_IN_A_PERIOD}; now."),
            OpenApiParameter(
                "step_s", int, description="Seconds of a point: by default what gives up to 400."
            ),
        ],
    )
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        until = moment_in(request.query_params, "until") or datetime.now(UTC)
        since = moment_in(request.query_params, "since") or until - timedelta(hours=1)
        check_period(since=since, until=until)
        step_s = whole_number(
            request, "step_s", default=step_for(until - since), low=STEPS_S[0], high=STEPS_S[-1]
        )
        points = traffic(found, since=since, until=until, step_s=step_s)
        return Response(
            {"application": found.name, "since": since, "until": until, "step_s": step_s}
            | {"points": [_point(point) for point in points]}
        )


def _outcomes(counts: OutcomeCounts) -> dict[str, Any]:
    names = ("total", "good", "abstained", "invalid")
    found = {name: getattr(counts, name) for name in names}
    return {**found, "bad_by_cause": counts.bad_by_cause()}


def _timed(counts: OutcomeCounts) -> dict[str, Any]:
    times = {name: counts.quantile_ms(q) for name, q in QUANTILES.items()}
    calls = dict(zip(ARM_COUNTERS, counts.calls, strict=True))
    return {**_outcomes(counts), **times, "calls": calls}


def _point(point: Point) -> dict[str, Any]:
    own = {name: getattr(point, name) for name in ("at", "seconds", "rate", "gaps")}
    versions = {arm: _timed(counts) for arm, counts in point.versions.items()}
    return {**own, **_timed(point.counts), "versions": versions}
