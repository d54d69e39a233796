"""Applications: the question, its objective, the models it asks and how answers are chosen."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import JSONField, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.access import actor
from console.admin.base import (
    ConsoleAdmin,
    Fieldsets,
    StackedInline,
    TabularInline,
    WithinReach,
    code,
    column,
    link_to,
    row_or_404,
    shortened,
    time_column,
    with_the_rest,
)
from console.admin.forms.application_form import (
    PARAMETER,
    PARAMETERS,
    ApplicationForm,
    ShallowDecoder,
)
from console.admin.model_admin import badge
from console.admin.settings_review import changes_shown, is_confirmed, review
from console.words import formats
from core.errors import Forbidden
from registry.following.recording import registry_write
from registry.models import (
    ApiKey,
    Application,
    AuditEntry,
    ModelVersion,
    Route,
    ServiceLevelObjective,
)
from registry.models.settable_columns import settable
from registry.services import arms_agreeing, audited, delete_application
from registry.services.actor import check_may_pin
from selection.policies import POLICIES

# Policies that feedback teaches have a colour of their own.
KEYS = "bound_keys"
LEARNING = {name: "info" for name, policy in POLICIES.items() if policy.learns}


FIELDSETS: Fieldsets = (
    (
        "Answers",
        {
            "fields": (
                "policy",
                *(f"{PARAMETER}{name}" for name in PARAMETERS),
                ("combine", "default_output"),
                ("confidence_threshold", "cascade_below"),
                ("max_wrong_share", "promise_confidence"),
                "holdout_share",
            )
        },
    ),
    (
        "Feedback and contexts",
        {
            "fields": (
                ("loss", "loss_scale"),
                "loss_expression",
                ("missing_loss", "default_reward"),
                ("lateness_price", "cost_price"),
                ("feedback_window_s", "keep_outputs_s"),
                "keep_feedback_s",
                ("context_ttl_s", "max_contexts"),
            )
        },
    ),
    (
        "Cache, checks and capture",
        {
            "fields": (
                ("cache", "cache_ttl_s"),
                ("priority", "keep_inputs"),
                # Inputs may be personal.
                ("capture_rate", "capture_redact"),
                ("capture_days", "capture_bytes"),
            )
        },
    ),
    (
        "Name and access",
        {
            "fields": (
                ("name", "input_type"),
                "description",
                "public",
                KEYS,
                "allowed_origins",
            )
        },
    ),
)


def _summaries(application: Application) -> dict[str, str]:
    """Return what is set in each section, in a line."""
    a, slo = application, application.slo
    routes = [f"{route.model} {route.weight:g}" for route in a.routes.all()]
    judged = "a formula" if a.loss == "expression" else a.loss
    params = [f"{name} {value:g}" for name, value in a.policy_params.items()]
    return {
        "Models": formats.listed(*routes) or "none: nothing is answered",
        "Objective": f"{slo.target * 100:g} % within {slo.latency_ms:g} ms over {slo.window}",
        "Answers": formats.listed(
            a.policy,
            *params,
            a.combine,
            f"default {shortened(a.default_output, at=40)}" if a.default_output else "no default",
        ),
        "Feedback and contexts": f"judged by {judged}, taken for {a.feedback_window_s:,} s",
        "Cache, checks and capture": formats.listed(
            "cached" if a.cache else "not cached",
            f"{a.priority} priority",
            f"{formats.share(a.capture_rate)} of inputs captured" if a.capture_rate else "",
        ),
        "Name and access": f"{a.input_type}, {'public' if a.public else 'by API key'}",
    }


class ObjectiveInline(StackedInline[ServiceLevelObjective, Application]):
    model = ServiceLevelObjective
    can_delete = False
    min_num = max_num = 1
    extra = 0
    hide_title = True
    fields = ("latency_ms", ("target", "window"))
    verbose_name_plural = "Objective"

    def get_formset(
        self, request: HttpRequest, obj: Application | None = None, **kwargs: Any
    ) -> Any:
        return super().get_formset(request, obj, **{"validate_min": True, **kwargs})


class RouteInline(WithinReach, TabularInline[Route, Application]):
    model = Route
    extra = 0
    hide_title = True
    autocomplete_fields = ("model", "pinned_version")
    fields = ("model", "pinned_version", "role", "weight")
    verbose_name_plural = "Models"

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


def _bound_keys(application: Application) -> SafeString:
    """The keys bound to it; keys for every application aren't listed."""
    add = format_html(
        '<a class="clp-link" href="{}">Make a key</a>', reverse("admin:registry_apikey_add")
    )
    bound = ApiKey.objects.filter(bound=True, applications=application, revoked_at=None)
    links = format_html_join(", ", "{}", ((link_to(key),) for key in bound))
    return format_html("{} · {}", links or "None is bound to it alone", add)


@admin.register(Application)
class ApplicationAdmin(ConsoleAdmin[Application]):
    form = ApplicationForm
    formfield_overrides = {JSONField: {"decoder": ShallowDecoder}}
    list_display = ("heading", "policy_name", "objective", "asks", "fallback", "access", "changed")
    list_filter = ("policy", "public", "input_type")
    list_select_related = ("slo",)
    search_fields = ("name", "description")
    inlines = (RouteInline, ObjectiveInline)
    goes_along = frozenset({"service level objective", "feedback", "state reset"})
    conditional_fields = {
        "loss_expression": "loss == 'expression'",
        **{PARAMETER + name: f"{list(uses)}.includes(policy)" for name, uses in PARAMETERS.items()},
    }
    warn_unsaved_form = False  # a review comes before anything is saved
    change_form_template = "console/settings.html"
    fieldsets = with_the_rest(FIELDSETS, columns=settable(Application, but=("policy_params",)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        return super().get_queryset(request).prefetch_related("routes__model")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the form with the three fields that an application needs."""
        return redirect("console-new-application")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to the application's hub, which has this form as a tab."""
        application = row_or_404(self.get_queryset(request), pk=object_id)
        if request.method == "GET":
            return redirect("console-application-page", application.name)
        return super().change_view(request, object_id, form_url, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show what a change would do, and save it once that is confirmed."""
        view = super().changeform_view
        row = Application.objects.with_everything().filter(pk=object_id or 0).first()
        if row is None:
            return view(request, object_id, form_url, extra_context)
        extra = {"summaries": _summaries(row), **(extra_context or {})}
        if request.method != "POST":
            return view(request, object_id, form_url, extra)
        entries = AuditEntry.objects.of(row)
        with registry_write:
            last = entries.order_by("-id").values_list("id", flat=True).first() or 0
            with audited(row, by=actor(request), reason=request.POST.get("reason", "")[:500]):
                answer = view(request, object_id, form_url, extra)
            entry = entries.filter(id__gt=last).first()
            if entry is None:  # refused, or the same as before
                return answer
            changes = changes_shown(entry.changes)
            if not is_confirmed(request, changes):
                transaction.set_rollback(True)
                return review(request, row, changes=changes)
        messages.success(request, "Saved. Queries follow within a second.")
        return answer

    def response_change(self, request: HttpRequest, obj: Application) -> HttpResponseRedirect:
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
        return (KEYS, "name", "input_type")

    def get_fieldsets(self, request: HttpRequest, obj: Application | None = None) -> Any:
        may_add = request.user.has_perm("registry.add_apikey")
        return [
            (title, {**options, "fields": [f for f in options["fields"] if may_add or f != KEYS]})
            for title, options in super().get_fieldsets(request, obj)
        ]

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
