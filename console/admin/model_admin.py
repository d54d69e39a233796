"""Models: what is live, its versions, rolling back and scaling."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.safestring import SafeString
from unfold.decorators import action
from unfold.enums import ActionVariant

from console.access import actor
from console.admin.base import (
    NOTHING,
    ConsoleAdmin,
    column,
    link_to,
    page_of,
    row_or_404,
    shortened,
    when,
)
from console.admin.forms.release_forms import RollBackForm, ScaleForm, change_back
from core.errors import ClipperError
from registry.api.visibility import applications_for, bound_to
from registry.models import Model, ModelVersion, Release, Route
from registry.security.grants import within
from registry.services import (
    configure_version,
    create_model,
    delete_model,
    live_version_of,
    may_go_back,
    roll_back,
    update_model,
)

# How a model stands, by the colour of its badge.
BADGES = {
    "good": "live",
    "late": "starting",
    **dict.fromkeys(("stopped", "failing", "overloaded"), "failed"),
}


def badge(state: str, *, text: str) -> SafeString:
    """Draw a state as the lists do, for places where the theme draws no labels."""
    return format_html('<span class="clp-badge" data-state="{}">{}</span>', state, text)


def version_badge(version: ModelVersion) -> SafeString:
    """Say in one word how a version stands."""
    if version.is_live:
        return badge("live", text="live")
    if version.is_warm:
        return badge("starting", text="warm")
    if version.load_error:
        return badge("failed", text="failed to load")
    return badge("", text="idle")


def _asked_by(model: Model) -> str:
    names = {str(route.application) for route in model.routes.all()}
    return f"asked by {', '.join(sorted(names)) or 'no application'}"


def _state(model: Model) -> SafeString:
    """Draw how the model stands now, with what is wrong with it."""
    now = getattr(model, "standing", None) or {"state": "", "text": {"state": "Unknown"}}
    drawn = badge(BADGES.get(now["state"], ""), text=now["text"]["state"])
    if problem := now.get("problem"):
        line = '{}<br><span class="clp-problem">{}</span>'
        return format_html(line, drawn, shortened(problem, at=60))
    return drawn


def _now(title: str, key: str) -> Any:
    """Return a column with a figure of this moment, as `get_changelist_instance` reads them."""
    return column(title, lambda model: (model.standing or {"text": {}})["text"].get(key, NOTHING))


@admin.register(Model)
class ModelConsole(ConsoleAdmin[Model]):
    list_display = ("title", "state", "live", "rate", "failing", "p99", "ready", "released")
    list_filter = ("input_type",)
    search_fields = ("name", "description")
    change_form_outer_before_template = "console/model_page.html"
    actions_detail = ("upload_version", "scale", "roll_back")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        newest = Release.objects.filter(model=OuterRef("pk")).order_by("-pk")[:1]
        seen = within(Route.objects.select_related("application"), own=bound_to(request))
        rows: QuerySet[Model] = (
            super()
            .get_queryset(request)
            .select_related("live_version__model")
            .prefetch_related(Prefetch("routes", queryset=seen))
            .annotate(
                last_release_at=Subquery(newest.values("created_at")),
            )
        )
        return rows

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        shown = super().get_changelist_instance(request)
        now = import_string("console.live.model_page.standings")()
        for model in shown.result_list:
            model.standing = now.get(model.name)
        return shown

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        may_deploy = self.permits(request, "registry.change_model", pk=object_id)
        extra = {**(extra_context or {}), "may_deploy": may_deploy}
        if (model := self.get_object(request, object_id)) is not None:
            extra |= import_string("console.live.model_page.model_context")(
                model, applications=applications_for(request).filter(routes__model=model).distinct()
            )
        return super().change_view(request, object_id, form_url, extra)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (("name", "input_type"), "description")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> tuple[str, ...]:
        # Routes, receipts and selection state know a model by its name and its input type.
        return ("name", "input_type") if obj else ()

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        allowed = super().get_actions_detail(request, object_id)  # type: ignore[misc]  # the theme's
        model = self.get_object(request, object_id)
        hidden = set()
        if model is None or model.live_version_id is None:
            hidden.add("registry_model_scale")
        if model is None or not may_go_back(model):
            hidden.add("registry_model_roll_back")
        return [button for button in allowed if button.action_name not in hidden]

    # Permissions by their full names would have the theme's checks ask the database for them.
    def has_roll_back_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.permits(request, "registry.roll_back_model", pk=object_id)

    def has_scale_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.permits(request, "registry.scale_modelversion", pk=object_id)

    def has_upload_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.permits(request, "registry.add_modelversion", pk=object_id)

    @action(
        description="Upload version",
        url_path="upload",
        icon="upload",
        permissions=("upload",),
        attrs={"data-testid": "upload-version"},
    )
    def upload_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        model = row_or_404(Model.objects.all(), pk=object_id)
        return HttpResponseRedirect(
            f"{reverse('admin:registry_modelversion_add')}?model={model.pk}"
        )

    @action(
        description="Roll back",
        url_path="rollback",
        icon="undo",
        permissions=("roll_back",),
        variant=ActionVariant.WARNING,
        attrs={"data-testid": "rollback"},
    )
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would change, ask why, then make an earlier version live again."""
        model = row_or_404(Model.objects.with_live_version(), pk=object_id)
        try:
            change = change_back(model)
            versions = [card.version for card in change.choices]
            asked = [row for row in versions if str(row.pk) == request.GET.get("to")]
            form = RollBackForm(
                request.POST or None,
                versions=versions,
                initial={"to": asked[0] if asked else change.suggested},
            )
            if request.method == "POST" and form.is_valid():
                release = roll_back(model=model, by=actor(request), **form.cleaned_data)
                return HttpResponseRedirect(page_of(release))
        except ClipperError as error:
            return self.refuse(request, error, back_to=page_of(model))
        title, template = f"Roll back {model}", "console/confirm_rollback.html"
        return self.page(request, template, row=model, title=title, change=change, form=form)

    @action(
        description="Scale",
        url_path="scale",
        icon="stacks",
        permissions=("scale",),
        attrs={"data-testid": "scale"},
    )
    def scale(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set how many replicas of the live version run."""
        model = row_or_404(Model.objects.with_live_version(), pk=object_id)
        try:
            version = live_version_of(model)
            form = ScaleForm(request.POST or None, version=version)
            if request.method == "POST" and form.is_valid():
                configure_version(version=version, by=actor(request), **form.cleaned_data)
                self.log_change(request, model, f"Scaled {version} to {version.replicas} replicas.")
                messages.success(request, f"{version} is to have {version.replicas} replicas.")
                return HttpResponseRedirect(page_of(model))
        except ClipperError as error:
            return self.refuse(request, error, back_to=page_of(model))
        title, template = f"Scale {version}", "console/scale.html"
        return self.page(request, template, row=model, title=title, version=version, form=form)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if change:
            # Not the whole row: a release may have moved its live version meanwhile.
            update_model(model=obj, description=obj.description, by=actor(request))
            return
        row = create_model(
            name=obj.name,
            input_type=obj.input_type,
            description=obj.description,
            by=actor(request),
        )
        # The admin goes on with its own instance: make it the row that the service wrote.
        obj.__dict__.update(row.__dict__)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        delete_model(model=obj, by=actor(request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Only routes protect a model; its own pointer to its live version goes with it."""
        rows, counts, missing, _ = super().get_deleted_objects(objs, request)
        routes = Route.objects.filter(model__in=list(objs)).select_related("application", "model")
        return rows, counts, missing, [f"Route: {route}" for route in routes]

    title = column(
        "model", lambda model: [model.name, _asked_by(model)], ordering="name", header=True
    )
    state = column("state", _state)
    live = column(
        "live version",
        lambda model: link_to(model.live_version, text=getattr(model.live_version, "version", "")),
    )
    rate = _now("queries", "rate")
    failing = _now("failed", "failing")
    p99 = _now("in the model, p99", "model")
    ready = _now("replicas ready", "ready")
    released = column(
        "last release",
        lambda model: when(model.last_release_at) if model.last_release_at else "never",
    )
