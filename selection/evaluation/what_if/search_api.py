"""POST /api/v1/applications/{app}/what-if/search: parameters for a policy, by kept feedback."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.fields import Body, Flag, Text, Whole
from registry.api.permissions import Permissions
from registry.api.timestamps import PastMoment
from registry.api.views.base import ManagementView, find_application, schema
from selection.evaluation.offpolicy.verdict import Verdict
from selection.evaluation.what_if.api import IntervalOut, span_of
from selection.evaluation.what_if.window import MOST_ROWS, USUAL_SEARCH_ROWS


class SearchIn(Body):
    policy = Text(help_text="A selection policy that learns.")
    rows = Whole(
        required=False,
        min_value=1,
        max_value=MOST_ROWS,
        help_text=f"Latest pieces of feedback to look at; {USUAL_SEARCH_ROWS} if left out.",
    )
    inputs = Flag(required=False, help_text="true: labelled inputs, instead of queries.")
    context = Text(  # type: ignore[assignment]  # a field's name, not the serializer's own context
        required=False, allow_blank=True, help_text="Of this context only."
    )
    since = PastMoment(required=False, help_text="Feedback that came then or later.")
    until = PastMoment(required=False, help_text="Feedback that came before then.")


class TriedOut(serializers.Serializer[Any]):
    """Parameters, and what they would have earned on the earlier part."""

    params = serializers.DictField()
    estimate = IntervalOut()


class JudgedOut(serializers.Serializer[Any]):
    """What a policy would have earned on the later part."""

    policy = serializers.CharField(source="target.policy")
    params = serializers.DictField(source="target.params")
    name = serializers.CharField(source="target.name")
    verdict = serializers.ChoiceField(
        [str(verdict) for verdict in Verdict], source="estimate.verdict"
    )
    explanation = serializers.CharField(source="estimate.explanation")
    estimate = IntervalOut(allow_null=True, source="estimate.best")


class SearchOut(serializers.Serializer[Any]):
    """Parameters are chosen on the earlier part of the feedback, and judged on the later one."""

    application = serializers.CharField()
    policy = serializers.CharField()
    chosen_on = serializers.IntegerField(help_text="Pieces of feedback that chose.")
    judged_on = serializers.IntegerField(help_text="Later ones, which judged the choice.")
    tried = TriedOut(many=True, help_text="Best first, by the lower end.")
    left_out = serializers.IntegerField(help_text="Not tried, as the time was used up.")
    chosen = JudgedOut(allow_null=True)
    current = JudgedOut(allow_null=True, help_text="What the application does today.")
    gain = IntervalOut(allow_null=True, help_text="Of the choice on the current, later part.")
    conclusion = serializers.CharField()
    seconds = serializers.FloatField()


class WhatIfSearchView(ManagementView):
    """Reads the latest feedback; changes nothing."""

    for_bound_keys = ("POST",)
    permissions: ClassVar[Permissions] = {
        "POST": ("registry.view_application", "selection.view_feedback")
    }

    @schema("Search parameters for a policy on kept feedback", body=SearchIn, answer=SearchOut)
    def post(self, request: Request, application: str) -> Response:
        from selection.evaluation.what_if.search import search  # NumPy only where it is asked for

        found = find_application(request, name=application)
        fields = {"rows": USUAL_SEARCH_ROWS, **self.body(SearchIn)}
        result = search(found, policy=fields["policy"], span=span_of(fields))
        return Response(SearchOut(result).data)
