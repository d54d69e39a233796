"""A new application in three fields, and the page that leads to its first answer and label."""

import json
import shlex
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from console.access import VIEW, actor, application_for, may, page_with, tab_of
from core.errors import ClipperError
from core.names import validate_name, validate_not_reserved
from core.redis.redis_client import redis_client
from core.specs import FEEDBACK, PREDICT
from registry.models import Application, Model
from registry.services import RouteRequest, create_api_key, create_application
from selection.models import Feedback, SelectionSnapshot
from serving.endpoints.management.application_schema import first_known
from serving.metrics.published import read_published

ADD_KEY = "registry.add_apikey"
# What is shown where a key goes, as long as none was made.
NO_KEY = "clp_…"
PLACEHOLDERS: dict[str, Any] = {
    "strings": "a text",
    "bytes": "aGVsbG8=",
    "json": {},
    "columns": {},
    "tensor": [[0.0]],
}


class NewApplicationForm(forms.Form):
    """The three things that an application can't do without; the rest has defaults."""

    name = forms.CharField(
        validators=(validate_name, validate_not_reserved),
        max_length=63,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "placeholder": "churn"}),
        help_text="Clients ask it by this name: lower-case letters, digits and hyphens.",
    )
    model = forms.ModelChoiceField(
        Model.objects.order_by("name"),
        widget=UnfoldAdminSelectWidget,
        empty_label="Choose one",
        help_text="It answers first; more can join later, and compete.",
    )
    slo_ms = forms.FloatField(
        label="Answer within, ms",
        min_value=1,
        initial=100,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="The latency objective: who asks gets an answer by then, whatever models do.",
    )


def new_application(request: HttpRequest) -> HttpResponse:
    """Ask for the three fields; then lead on to the application's first answer."""
    if not may(request, "registry.add_application"):
        raise PermissionDenied
    form = NewApplicationForm(request.POST or None, initial={"model": request.GET.get("model")})
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        try:
            made = create_application(
                name=chosen["name"],
                input_type=chosen["model"].input_type,
                slo_ms=chosen["slo_ms"],
                routes=[RouteRequest(model=chosen["model"].name)],
                by=actor(request),
            )
        except ClipperError as error:
            form.add_error(None, error.message)
        else:
            return HttpResponseRedirect(reverse("console-start", args=[made.name]))
    return page_with(request, "new_application", title="New application", form=form)


def start(request: HttpRequest, name: str) -> HttpResponse:
    """Show how the application is asked, with a key if one is made, and what is done already."""
    application = application_for(request, name, VIEW)
    key = ""
    if request.method == "POST":
        if not may(request, ADD_KEY):
            raise PermissionDenied
        _, key = create_api_key(
            name=f"{application} start",
            scopes=(PREDICT, FEEDBACK),
            applications=[application],
            by=actor(request),
        )
    part = request.GET.get("part") == "checklist"
    response = tab_of(
        request,
        application,
        "first_steps_list" if part else "first_steps",
        title=f"{application}: first steps",
        key=key,
        may_make_key=may(request, ADD_KEY),
        steps=steps(application),
        snippets=() if part else snippets(request, application, key=key or NO_KEY),
    )
    response["Cache-Control"] = "no-store"
    return response


def steps(application: Application) -> list[tuple[str, bool]]:
    """Return what leads to an application that learns, and whether each is done."""
    published = read_published(redis_client())
    counts = [document["applications"].get(application.name, {}) for document in published]
    asked = any(each.get("queries") or each.get("trials") for each in counts)
    kept = SelectionSnapshot.objects.filter(application=application).exists()
    return [
        ("Ask it a question", asked or kept),
        (
            "Say whether an answer was right",
            Feedback.objects.filter(application=application).exists(),
        ),
        ("Give it a default output, for when no model answers", bool(application.default_output)),
        ("Route a second model, so that it can choose", application.routes.count() > 1),
    ]


def sample_input(application: Application) -> Any:
    """Return an input to try: the example of a routed version, or zeros of its length."""
    version = first_known(application)
    if version is not None and version.example:
        return json.loads(version.example)
    if application.input_type in PLACEHOLDERS:
        return PLACEHOLDERS[application.input_type]
    return [0] * ((version and version.n_features) or 1)


def snippets(request: HttpRequest, application: Application, *, key: str) -> list[tuple[str, str]]:
    """Return how to ask, by language."""
    origin = request.build_absolute_uri("/").rstrip("/")
    url = f"{origin}/api/v1/applications/{application.name}"
    sample = sample_input(application)
    body = json.dumps({"input": sample})
    # Everybody may ask a public application.
    header = "" if application.public else f" \\\n     -H 'Authorization: Api-Key {key}'"
    return [
        ("curl", f"curl -s {url}/predict{header} \\\n     -d {shlex.quote(body)}"),
        (
            "Python",
            "from clipper_client import Client  # pip install ./clients/python\n\n"
            f"client = Client({origin!r}, key={key!r})\n"
            f"answer = client.predict({application.name!r}, {sample!r})\n"
            "client.feedback(answer.query_id, label=answer.output)  # or what was right",
        ),
        (
            "JavaScript",
            f"const answer = await fetch({json.dumps(f'{url}/predict')}, {{\n"
            '  method: "POST",\n'
            f'  headers: {{ "Authorization": "Api-Key {key}" }},\n'
            f"  body: JSON.stringify({body}),\n"
            "}).then((response) => response.json());",
        ),
    ]
