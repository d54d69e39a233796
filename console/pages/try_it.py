"""Try it: a signed-in person asks an application, and any of its versions, without a key."""

import json
from contextlib import suppress
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from console.access import VIEW, application_for, may, tab_of
from console.pages.new_application import sample_input
from core.specs import FEEDBACK, PREDICT
from registry.models import Application, ModelVersion
from selection.receipts import derive_key
from serving.capture.models import CapturedInput
from serving.capture.segments import body_of
from serving.endpoints.person_pass import issue_pass

SEE, LABEL = "capture.view_capturedinput", "selection.add_feedback"
# Versions of all routed models, the newest; one more is asked by its name over the API.
MOST_VERSIONS = 30


def try_it(request: HttpRequest, name: str) -> HttpResponse:
    """Show the form; its script asks a predict process with a pass."""
    application = application_for(request, name, VIEW)
    routed = ModelVersion.objects.filter(model__routes__application=application).distinct()
    versions = list(routed.select_related("model__live_version").order_by("-pk")[:MOST_VERSIONS])
    live = [version for version in versions if version.model.live_version_id == version.pk]
    example, columns = _example(application, live or versions)
    number = request.GET.get("captured", "")
    if number.isascii() and number.isdigit() and may(request, VIEW, SEE):
        row = CapturedInput.objects.filter(application=application, pk=number).first()
        with suppress(Exception):  # a row that can't be read has no input to show
            example = example if row is None else bytes(body_of(row).input).decode()
    return tab_of(
        request,
        application,
        "try_it",
        title=f"{application}: try it",
        example=example or (json.dumps(sample_input(application)) if live else ""),
        columns=columns,
        versions=[(f"{v.model.name}:{v.version}", v in live) for v in versions],
        may_label=may(request, LABEL),
    )


@require_POST
def give_pass(request: HttpRequest, name: str) -> HttpResponse:
    """Return a pass of a minute to this application."""
    application = application_for(request, name, VIEW)
    return JsonResponse({"pass": new_pass(request, application)})


def new_pass(request: HttpRequest, application: Application) -> str:
    """Return a pass that allows what this person may do: to ask, and to label."""
    return issue_pass(
        derive_key(settings.SECRET_KEY),
        person=cast(User, request.user).get_username(),
        application_id=application.pk,
        scopes=(PREDICT, FEEDBACK) if may(request, LABEL) else (PREDICT,),
    )


def _example(application: Application, versions: list[ModelVersion]) -> tuple[str, list[Any]]:
    """Return an input as JSON, and the columns that it has, by what a version says of itself."""
    for version in versions:
        try:
            inputs = json.loads(version.signature or "{}").get("inputs") or []
        except ValueError:
            inputs = []
        if version.example or inputs:
            named = application.input_type == "columns"
            return version.example, [each for each in inputs if each.get("name")] if named else []
    return "", []
