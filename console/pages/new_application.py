"""A new application, of a model or its file, and the page that leads to its first answer."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from console.access import VIEW, actor, application_for, may, page_with, tab_of
from console.drop_zone import DropZone, artifact_kinds, recognised
from core.errors import ClipperError
from core.names import validate_name, validate_not_reserved
from core.redis.redis_client import redis_client
from core.specs import FEEDBACK, PREDICT
from registry.models import Application, Model, ModelVersion, Release
from registry.models.settable_columns import InputType
from registry.services import (
    Actor,
    RouteRequest,
    create_api_key,
    create_application,
    create_model,
    create_version,
    delete_model,
    deploy,
)
from registry.services.versions import REMOTE
from registry.versions.extensions import extensions
from selection.models import Feedback, SelectionSnapshot
from serving.endpoints.management.application_schema import first_known
from serving.metrics.published import read_published

ADD_KEY = "registry.add_apikey"
UPLOAD = ("registry.add_model", "registry.add_modelversion", "registry.change_model")
FILE = ("artifact", "runtime", "allow_pickle")
OF_FILES = (*FILE, "input_type")
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
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label="Choose one",
        help_text="It answers first; more can join later, and compete.",
    )
    artifact = forms.FileField(
        required=False,
        label="Or a new model's file",
        widget=DropZone(attrs={"data-kinds": artifact_kinds()}),
        help_text="The model gets the application's name, and goes live if its check passes.",
    )
    runtime = forms.ChoiceField(
        required=False,
        choices=lambda: [
            ("", "as the file says"),
            *((name, name) for name in extensions.runtime_names() if name != REMOTE),
        ],
        widget=UnfoldAdminSelectWidget(
            attrs={"data-alone": REMOTE, "data-its": "", "data-others": ""}
        ),
    )
    input_type = forms.ChoiceField(
        required=False, label="It takes", choices=InputType.choices, widget=UnfoldAdminSelectWidget
    )
    allow_pickle = forms.BooleanField(
        required=False,
        label="It may be a pickle",
        widget=UnfoldBooleanSwitchWidget,
        help_text=ModelVersion._meta.get_field("allow_pickle").help_text,
    )
    slo_ms = forms.FloatField(
        label="Answer within, ms",
        min_value=1,
        initial=100,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="The latency objective: who asks gets an answer by then, whatever models do.",
    )

    def __init__(self, *args: Any, without: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in without:
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        file, model = given.get("artifact"), given.get("model")
        if bool(file) == bool(model):
            both = "Expected one of the two, got a model and a file."
            self.add_error("model", both if file else "This field is required.")
        if Application.objects.filter(name=given.get("name")).exists():
            self.add_error("name", f"Application {given['name']} exists already.")
        if file and not getattr(file, "fault", None):
            given["runtime"], problems = recognised(file, runtime=given["runtime"])
            for field, problem in problems.items():
                self.add_error(field, problem)
        return given


def new_application(request: HttpRequest) -> HttpResponse:
    """Ask for the fields; then lead on to the application's first answer."""
    if not may(request, "registry.add_application"):
        raise PermissionDenied
    may_upload = may(request, *UPLOAD)
    pickle = () if may(request, "registry.run_code") else ("allow_pickle",)
    form = NewApplicationForm(
        request.POST or None,
        request.FILES or None,
        initial={"model": request.GET.get("model")},
        without=pickle if may_upload else OF_FILES,
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = _made(form.cleaned_data, by=actor(request))
        except ClipperError as error:
            form.add_error(None, error.message)
        else:
            return HttpResponseRedirect(reverse("console-start", args=[made.name]))
    return page_with(request, "new_application", title="New application", form=form)


def _made(chosen: Mapping[str, Any], *, by: Actor) -> Application:
    """Return the new application, with a new model if it comes with a file; or leave nothing."""
    name, known, version = chosen["name"], chosen["model"], None
    model = known or create_model(name=name, input_type=chosen["input_type"] or "doubles", by=by)
    try:
        if not known:
            said = {key: chosen[key] for key in FILE if key in chosen}
            version = create_version(model=model, version="1", by=by, **said)
        made = create_application(
            name=name,
            input_type=model.input_type,
            slo_ms=chosen["slo_ms"],
            routes=[RouteRequest(model=model.name)],
            by=by,
        )
    except ClipperError:
        if not known:
            delete_model(model=model, by=by)
        raise
    if version:
        deploy(version=version, by=by, reason=f"The first version, for a new application {model}")
    return made


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
    found = steps(application)
    response = tab_of(
        request,
        application,
        "first_steps_list" if part else "first_steps",
        title=f"{application}: first steps",
        key=key,
        may_make_key=may(request, ADD_KEY),
        steps=found,
        is_live=found[0].is_done,
        snippets=() if part else snippets(request, application, key=key or NO_KEY),
    )
    if found[0].is_done and "waits" in request.GET:
        response["HX-Refresh"] = "true"  # now there is an input to show
    response["Cache-Control"] = "no-store"
    return response


class Step(NamedTuple):
    title: str
    is_done: bool
    url: str


def steps(application: Application) -> list[Step]:
    """Return what leads to an application that learns, whether each is done, and its page."""
    published = read_published(redis_client())
    counts = [document["applications"].get(application.name, {}) for document in published]
    asked = any(each.get("queries") or each.get("trials") for each in counts)
    labelled = Feedback.objects.filter(application=application).exists()
    trial = reverse("console-try", args=[application.name])
    settings = reverse("console-application-page", args=[application.name, "settings"])
    routes, has_default = application.routes.all(), bool(application.default_output)
    kept = SelectionSnapshot.objects.filter(application=application).exists()
    return [
        _live(application),
        Step("Ask it a question", asked or kept, trial),
        Step("Say whether an answer was right", labelled, trial),
        Step("Give it a default output, for when no model answers", has_default, settings),
        Step("Route a second model, so that it can choose", len(routes) > 1, settings),
    ]


def _live(application: Application) -> Step:
    models = [route.model for route in application.routes.all()]
    if any(model.live_version_id for model in models):
        return Step("Have a model that is live", True, "")
    release = Release.objects.filter(model__in=models).with_versions().first()
    if release is not None:
        page = reverse("admin:registry_release_change", args=[release.pk])
        state = release.get_state_display()
        return Step(f"Have a model that is live: {release.arm} is {state}", False, page)
    page = reverse("admin:registry_model_change", args=[models[0].pk]) if models else ""
    return Step("Deploy a version of its model", False, page)


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
