"""POST /api/v1/applications/{app}/what-if/imported: the same on decisions of another system."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.fields import Body, Text
from registry.api.permissions import Permissions
from registry.api.views.base import ManagementView, find_application, schema
from selection.evaluation.imported.reading import FORMATS, MOST_DECISIONS, read_log
from selection.evaluation.what_if.api import TargetIn, WhatIfOut, targets_of

WORDS = "; ".join(f"{name}: {form.words}" for name, form in FORMATS.items())


class ImportedIn(Body):
    format = Text(help_text=f"{WORDS}.")
    log = Text(help_text=f"The file as it is: at most {MOST_DECISIONS:,} decisions.")
    targets = TargetIn(
        many=True,
        required=False,
        help_text="As of a what-if; arms are those of the log. Left out: each of them, all alike, "
        "and the application's own policy, learning, if it takes as many features as there are.",
    )


class ImportedWhatIfOut(WhatIfOut):
    """What the same policies would have earned on the log, and what is no part of it."""

    left_out = serializers.IntegerField(help_text="Decisions without a label.")


class ImportedWhatIfView(ManagementView):
    """Reads the body alone; changes and keeps nothing."""

    for_bound_keys = ("POST",)
    permissions: ClassVar[Permissions] = {
        "POST": ("registry.view_application", "selection.view_feedback")
    }

    @schema(
        "Estimate on decisions of another system what others would have earned",
        body=ImportedIn,
        answer=ImportedWhatIfOut,
    )
    def post(self, request: Request, application: str) -> Response:
        # NumPy only where it is asked for.
        from selection.evaluation.what_if.imported import (
            check_imported,
            what_if_imported,
            with_features,
        )

        found = find_application(request, name=application)
        fields = self.body(ImportedIn)
        log = read_log(fields["log"], form=fields["format"])
        given = with_features(fields.get("targets", []), log=log, own=found.policy)
        targets = targets_of(found, given=given)
        check_imported(targets)
        outlook = what_if_imported(found, log=log, targets=targets, usual="targets" not in fields)
        return Response(WhatIfOut(outlook).data | {"left_out": log.left_out})
