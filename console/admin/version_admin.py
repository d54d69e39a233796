"""Versions: uploaded once, never changed, deployed from here."""

from typing import Any

import msgspec
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.decorators import action
from unfold.enums import ActionVariant

from console.access import actor
from console.admin.base import (
    NOTHING,
    ConsoleAdmin,
    Fieldsets,
    code,
    column,
    page_of,
    row_or_404,
    time_column,
    with_the_rest,
)
from console.admin.forms.release_forms import DeployForm, change_to
from console.admin.forms.upload_form import REMOTE_FIELDS, UploadForm, remote_text
from console.admin.model_admin import version_badge
from console.pages.environments import environment_text
from console.words import formats
from console.words.comparison import side_by_side
from console.words.signature_words import input_lines, output_line
from core.errors import CheckFailed, ClipperError
from registry.models import ModelVersion, VersionCheck
from registry.models.rollouts.rollout_plans import AT_ONCE
from registry.services import (
    check_not_live,
    configure_version,
    create_remote_version,
    create_version,
    delete_version,
    deploy,
)
from registry.services.version_checks import failed_check
from registry.services.versions import CONFIGURABLE, REMOTE, UPLOADED

LIVE = "Can be changed while it serves, without a new deploy."
# How a version runs, on its own page and in the form that uploads one.
GROUPS: Fieldsets = (
    (
        "Replicas",
        {
            "fields": ("replicas", ("min_replicas", "max_replicas")),
            "description": f"Between bounds, Clipper finds the number itself. {LIVE}",
        },
    ),
    (
        "Batching",
        {
            "fields": ("batching", ("max_batch_size", "batch_wait_ms")),
            "description": f"Left alone, Clipper finds the size itself. {LIVE}",
        },
    ),
    (
        "Limits",
        {
            "fields": (("memory_limit_mb", "threads"), "load_timeout_s"),
            "description": "A change holds for replicas that start afterwards.",
        },
    ),
    (
        "Cost",
        {
            "fields": ("cost",),
            "description": f"Where an application sets a price on it. {LIVE}",
        },
    ),
)
TAKES = ("example", "signature", "allow_stale_libraries")
RUNNING = with_the_rest(GROUPS, columns=(name for name in CONFIGURABLE if name != "notes"))


def _signature(version: ModelVersion) -> dict[str, Any]:
    return msgspec.json.decode(version.signature, type=dict) if version.signature else {}


def _check_of(version: ModelVersion) -> VersionCheck | None:
    """The last check of a version; None where there was none since it is there."""
    return getattr(version, "last_check", None)


def _lives(version: ModelVersion) -> str:
    if version.remote is None:
        return NOTHING
    return remote_text(version.remote) + (", with a secret" if version.secret else "")


def _takes(version: ModelVersion) -> SafeString | str:
    lines = [(line,) for line in input_lines(_signature(version))]
    return format_html_join(mark_safe("<br>"), "{}", lines) or NOTHING


def _as_tabs(groups: Fieldsets) -> Fieldsets:
    return tuple((title, {**options, "classes": ("tab",)}) for title, options in groups)


@admin.register(ModelVersion)
class VersionAdmin(ConsoleAdmin[ModelVersion]):
    search_fields = ("version", "model__name", "notes", "digest")
    autocomplete_fields = ("model",)
    change_form_outer_before_template = "console/version_check.html"
    actions_detail = ("deploy",)
    listed_at = "admin:registry_model_changelist"  # on whose pages versions are

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).select_related("model", "created_by", "last_check")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the number after those of the model's versions, as a name for the next."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        chosen = initial.get("model") or ""
        if chosen.isascii() and chosen.isdigit() and len(chosen) < 19:
            names = ModelVersion.objects.filter(model=int(chosen)).values_list("version", flat=True)
            numbers = [int(name) for name in names if name.isdigit()]
            initial["version"] = max(numbers, default=0) + 1
        return initial

    def get_form(
        self, request: HttpRequest, obj: ModelVersion | None = None, change: bool = False, **kw: Any
    ) -> type[forms.ModelForm[ModelVersion]]:
        if obj is None:
            kw["form"] = UploadForm
        return super().get_form(request, obj, change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: ModelVersion | None = None) -> Any:
        # Pickle can run any code: only those who may run code are offered it.
        may_allow = request.user.has_perm("registry.run_code")
        pickle = ("allow_pickle",) if may_allow or obj is not None else ()
        environment = ("environment",) if request.user.has_perm("registry.view_stack") else ()
        if obj is None:
            more = ("notes", ("device", *pickle), "method", *TAKES, "requirements", "python")
            running = tuple(row for _, group in RUNNING for row in group["fields"])
            return (
                (None, {"fields": ("artifact", ("model", "version"), "runtime")}),
                ("Where it lives", {"fields": REMOTE_FIELDS}),
                ("More", {"fields": (*more, *running), "classes": ("collapse",)}),
            )
        groups = (
            *RUNNING,
            (
                "Artifact",
                {"fields": ("artifact", ("weight", "device"), ("method", "lives"), *pickle)},
            ),
            (
                "What it takes",
                {"fields": (("takes", "gives"), ("width", "allow_stale_libraries"), "example")},
            ),
            ("What it needs", {"fields": ("requirements", ("python", *environment))}),
        )
        first = (("model", "version"), ("state", "runtime"), ("uploaded", "created_by"), "notes")
        return ((None, {"fields": first}), *_as_tabs(groups))

    def get_readonly_fields(
        self, request: HttpRequest, obj: ModelVersion | None = None
    ) -> tuple[str, ...]:
        if obj is None:
            return ()
        shown = ("state", "artifact", "weight", "width", "uploaded", "created_by", "takes", "gives")
        return (*shown, "environment", "lives", "model", *UPLOADED)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "replicas":
            # Autoscaling may move it while somebody edits the notes: the form sends along what it
            # showed, so that only a number which a person really changed is written.
            kwargs["show_hidden_initial"] = True
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ModelVersion, form: Any, change: bool) -> None:
        given = form.cleaned_data
        configuration = {name: given[name] for name in CONFIGURABLE if name in given}
        if change:
            # Only what was changed here: the rest may be newer in the database than in this form.
            changed = configuration.keys() & set(form.changed_data)
            configure_version(
                version=obj, by=actor(request), **{name: configuration[name] for name in changed}
            )
            return
        said = {name: given[name] for name in UPLOADED if name in given}
        common = {"model": obj.model, "by": actor(request), **configuration}
        if said["runtime"] == REMOTE:
            of_it = {name: said[name] for name in ("version", "example", "signature")}
            row = create_remote_version(**common, **of_it, **form.remote)
        else:
            row = create_version(artifact=given["artifact"], **common, **said)
        # The admin goes on with its own instance: make it the row that the service wrote.
        obj.__dict__.update(row.__dict__)

    def response_add(
        self, request: HttpRequest, obj: ModelVersion, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        messages.success(
            request, f"{obj} is stored, and is tried out now. Nothing asks it until it is deployed."
        )
        return HttpResponseRedirect(page_of(obj))

    def delete_model(self, request: HttpRequest, obj: ModelVersion) -> None:
        delete_version(version=obj, by=actor(request))

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        allowed = super().get_actions_detail(request, object_id)  # type: ignore[misc]  # the theme's
        version = self.get_object(request, object_id)
        return [] if version is not None and version.is_live else list(allowed)

    def has_deploy_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.permits(request, "registry.change_model", pk=object_id)

    @action(
        description="Deploy",
        url_path="deploy",
        icon="rocket_launch",
        permissions=("deploy",),
        variant=ActionVariant.PRIMARY,
        attrs={"data-testid": "deploy"},
    )
    def deploy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would change, ask why, then ask for the version to go live."""
        versions = ModelVersion.objects.select_related("model__live_version__model", "created_by")
        version = row_or_404(versions, pk=object_id)
        plan = request.GET.get("rollout", AT_ONCE)
        form = DeployForm(request.POST or None, initial={"rollout": plan})
        try:
            check_not_live(version, model=version.model)
            if request.method == "POST" and form.is_valid():
                release = deploy(version=version, by=actor(request), **form.cleaned_data)
                return HttpResponseRedirect(page_of(release))
        except CheckFailed:
            form.add_error("anyway", "It failed its check: tick this, or upload another version.")
        except ClipperError as error:
            return self.refuse(request, error, back_to=page_of(version))
        return self.page(
            request,
            "console/confirm_deploy.html",
            row=version,
            title=f"Deploy {version}",
            change=change_to(version),
            table=side_by_side([*filter(None, [version.model.live_version]), version]),
            check=_check_of(version),
            failed=failed_check(version),
            form=form,
        )

    state = column("state", version_badge)
    artifact = column("sha256", lambda version: code(version.digest))
    lives = column("lives at", _lives)
    weight = column("size", lambda version: formats.size(version.size), ordering="size")
    environment = column("environment", environment_text)
    width = column(
        "numbers in an input",
        lambda version: "not known, or any" if version.n_features is None else version.n_features,
    )
    takes = column("inputs", _takes)
    gives = column("outputs", lambda version: output_line(_signature(version)) or NOTHING)
    uploaded = time_column("uploaded", "created_at")
