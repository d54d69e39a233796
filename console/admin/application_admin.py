"""Applications: the question, its objective, the models it asks and how answers are chosen."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import JSONField, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.access import actor
from console.admin.audited import AuditedForm
from console.admin.base import (
    ConsoleAdmin,
    Fieldsets,
    StackedInline,
    TabularInline,
    code,
    column,
    link_to,
    row_or_404,
    shortened,
    time_column,
    with_the_rest,
)
from console.admin.forms.application_form import ApplicationForm, ShallowDecoder
from console.admin.model_admin import badge
from core.errors import Forbidden
from registry.models import ApiKey, Application, ModelVersion, Route, ServiceLevelObjective
from registry.models.settable_columns import settable
from registry.services import arms_agreeing, delete_application
from registry.services.actor import check_may_pin
from selection.policies import POLICIES

# Policies that feedback teaches have a colour of their own.
LEARNING = {name: "info" for name, policy in POLICIES.items() if policy.learns}


FIELDSETS: Fieldsets = (
    (None, {"fields": (("name", "input_type"), "description")}),
    (
        "How answers are chosen",
        {
            "fields": (
                "policy",
                "policy_params",
                ("combine", "confidence_threshold"),
                ("max_wrong_share", "promise_confidence"),
                "cascade_below",
                "holdout_share",
            )
        },
    ),
    ("When no model answers in time", {"fields": ("default_output",)}),
    (
        "Feedback",
        {
            "fields": (
                ("loss", "loss_scale"),
                "loss_expression",
                ("missing_loss", "default_reward"),
                ("lateness_price", "cost_price"),
                ("feedback_window_s", "keep_outputs_s"),
                "keep_feedback_s",
            ),
            "description": "How answers are judged, and what is learned where none is given.",
        },
    ),
    (
        "Contexts",
        {
            "fields": (("context_ttl_s", "max_contexts"),),
            "description": "Users, sessions or dialects that learn for themselves.",
        },
    ),
    (
        "Cache and priority",
        {
            "fields": (("cache", "cache_ttl_s"), "priority"),
            "description": "Can be changed at any time: the next query knows.",
        },
    ),
    ("Checks of new versions", {"fields": ("keep_inputs",)}),
    (
        "Captured inputs",
        {
            "fields": (("capture_rate", "capture_redact"), ("capture_days", "capture_bytes")),
            "description": "Inputs may be personal: name the columns that nobody is to see.",
        },
    ),
    ("Access", {"fields": (("public", "bound_keys"), "allowed_origins")}),
)


class ObjectiveInline(StackedInline[ServiceLevelObjective, Application]):
    model = ServiceLevelObjective
    can_delete = False
    min_num = max_num = 1
    extra = 0
    hide_title = True
    fields = ("latency_ms", ("target", "window"))
    verbose_name_plural = "service level objective"

    def has_add_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        # Whoever may add an application states its objective: there is none without.
        return obj is None or super().has_add_permission(request, obj)

    def get_formset(
        self, request: HttpRequest, obj: Application | None = None, **kwargs: Any
    ) -> Any:
        return super().get_formset(request, obj, **{"validate_min": True, **kwargs})


class RouteInline(TabularInline[Route, Application]):
    model = Route
    extra = 0
    hide_title = True
    autocomplete_fields = ("model", "pinned_version")
    fields = ("model", "pinned_version", "role", "weight")
    verbose_name_plural = "routes: the models this application asks"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        return super().get_queryset(request).select_related("model", "pinned_version__model")

    def get_formset(
        self, request: HttpRequest, obj: Application | None = None, **kwargs: Any
    ) -> Any:
        return super().get_formset(request, obj, form=_route_form(request), **kwargs)


def _route_form(request: HttpRequest) -> type[forms.ModelForm[Route]]:
    """Return the form for whoever asks: a pin may have code run, which not everybody may."""

    class RouteForm(forms.ModelForm[Route]):
        def clean_pinned_version(self) -> ModelVersion | None:
            version: ModelVersion | None = self.cleaned_data["pinned_version"]
            if version is not None:
                try:
                    check_may_pin(version, by=actor(request))
                except Forbidden as error:
                    raise ValidationError(error.message, code=error.code) from error
            return version

    return RouteForm


def _asks(application: Application) -> SafeString:
    routes = application.routes.all()
    if not routes:
        return badge("failed", text="no model")
    undeployed = [r for r in routes if not (r.pinned_version_id or r.model.live_version_id)]
    text = f"{len(routes)} model{'s' if len(routes) > 1 else ''}"
    if undeployed:
        return badge("starting", text=f"{text}, {len(undeployed)} not deployed")
    return badge("live", text=text)


def _default(application: Application) -> SafeString | str:
    if not application.default_output:
        return "none: it fails"
    return code(shortened(application.default_output, at=40))


def _bound_keys(application: Application | None) -> SafeString:
    """The keys bound to it; keys for every application aren't listed."""
    add = format_html(
        '<a class="clp-link" href="{}">Make a key</a>', reverse("admin:registry_apikey_add")
    )
    if application is None or application.pk is None:
        return add
    bound = ApiKey.objects.filter(bound=True, applications=application, revoked_at=None)
    links = format_html_join(", ", "{}", ((link_to(key),) for key in bound))
    return format_html("{} · {}", links or "None is bound to it alone", add)


@admin.register(Application)
class ApplicationAdmin(AuditedForm, ConsoleAdmin[Application]):
    form = ApplicationForm
    formfield_overrides = {JSONField: {"decoder": ShallowDecoder}}
    list_display = ("heading", "policy_name", "objective", "asks", "fallback", "access", "changed")
    list_filter = ("policy", "public", "input_type")
    list_select_related = ("slo",)
    search_fields = ("name", "description")
    inlines = (ObjectiveInline, RouteInline)
    goes_along = frozenset({"service level objective", "feedback", "state reset"})
    conditional_fields = {"loss_expression": "loss == 'expression'"}
    change_form_template = "console/settings.html"
    fieldsets = with_the_rest(FIELDSETS, columns=settable(Application))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        return super().get_queryset(request).prefetch_related("routes__model")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to the application's hub, which has this form as a tab."""
        application = row_or_404(Application.objects.all(), pk=object_id)
        if request.method == "GET":
            return redirect("console-application-page", application.name, "settings")
        return super().change_view(request, object_id, form_url, extra_context)

    def response_post_save_change(
        self, request: HttpRequest, obj: Application
    ) -> HttpResponseRedirect:
        return redirect("console-application-page", obj.name, "settings")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        with arms_agreeing(form.instance):
            super().save_formset(request, form, formset, change)

    def delete_model(self, request: HttpRequest, obj: Application) -> None:
        delete_application(application=obj, by=actor(request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Routes have no page of their own, whose permission Django would ask for."""
        rows, counts, missing, protected = super().get_deleted_objects(objs, request)
        routed = Route.objects.filter(application__in=list(objs)).exists()
        if routed and not request.user.has_perm("registry.delete_route"):
            missing.add("route")
        return rows, counts, missing, protected

    def get_readonly_fields(
        self, request: HttpRequest, obj: Application | None = None
    ) -> tuple[str, ...]:
        # Clients know an application by its name and send what its input type says.
        return ("bound_keys", "name", "input_type") if obj else ("bound_keys",)

    heading = column(
        "application",
        lambda application: [
            application.name,
            shortened(application.description) or application.input_type,
        ],
        ordering="name",
        header=True,
    )
    policy_name = column("policy", lambda row: row.policy, ordering="policy", label=LEARNING)
    objective = column(
        "objective",
        lambda row: f"{row.slo.target * 100:g} % in {row.slo.latency_ms:g} ms",
        ordering="slo__latency_ms",
    )
    asks = column("asks", _asks)
    fallback = column("default", _default, ordering="default_output")
    access = column(
        "access",
        lambda row: ("public", "public") if row.public else ("key", "API key"),
        label={"public": "warning", "key": ""},
    )
    changed = time_column("changed", "updated_at")
    bound_keys = column("keys", _bound_keys)
