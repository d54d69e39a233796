"""API keys: shown once when made, revoked at once."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.forms import IntegerField, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from console.access import actor
from console.admin.base import (
    NOTHING,
    ConsoleAdmin,
    code,
    column,
    page_of,
    row_or_404,
    time_column,
)
from console.pages.people import show_key
from core.specs import JOIN
from registry.models import ApiKey
from registry.services import create_api_key, revoke_api_key, update_api_key
from registry.services.api_keys import MOST_HOSTS


class ApiKeyForm(ModelForm[ApiKey]):
    """The fields of a key, named as people say them."""

    hosts = IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_HOSTS,
        widget=UnfoldAdminIntegerFieldWidget,
        label="Hosts that may join",
        help_text="How many other hosts may join this stack as workers by it. It does nothing else "
        "then, and expires after a day unless you give it another time.",
    )

    class Meta:
        model = ApiKey
        fields = "__all__"  # noqa: DJ007  (the admin's fieldsets choose)
        labels = {
            "can_predict": "Predict",
            "can_feedback": "Give feedback",
            "can_read": "Read",
            "can_manage": "Manage",
            "can_run_code": "Run code",
        }
        help_texts = {
            "name": "Who uses it, such as the name of a service.",
            "expires_at": "Empty: it works until it is revoked.",
            "applications": "Choose none to let the key ask every application.",
            "can_predict": "Ask for predictions.",
            "can_feedback": "Say whether predictions were right, which moves the weights.",
            "can_read": "See everything through the REST API, and change nothing.",
            "can_manage": "Create, deploy, roll back and scale through the REST API.",
        }

    def clean_hosts(self) -> int | None:
        hosts: int | None = self.cleaned_data["hosts"]
        others = ("can_read", "can_manage", "can_run_code", "applications")
        if hosts and any(self.cleaned_data.get(name) for name in others):
            raise ValidationError("Expected no other right and no application for a join token.")
        return hosts


def _asked_applications(key: ApiKey) -> str:
    if not key.bound:
        return "every application"
    return ", ".join(str(application) for application in key.applications.all()) or "none"


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin[ApiKey]):
    form = ApiKeyForm
    autocomplete_fields = ("applications",)
    actions_detail = ("revoke",)
    listed_at = "console-people"

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        pickle = ("can_run_code",) if request.user.has_perm("registry.run_code") else ()
        manage = ("can_read", "can_manage") if actor(request).may_grant_manage else ()
        if obj is None:
            return (
                (None, {"fields": ("name", "expires_at")}),
                ("What it may do", {"fields": ("can_predict", "can_feedback", *manage, *pickle)}),
                ("Where", {"fields": ("applications",)}),
                *([("Or a join token", {"fields": ("hosts",)})] if manage else []),
            )
        return (
            (None, {"fields": ("name", "expires_at")}),
            ("What it may do", {"fields": (("may", "for_applications"), *pickle)}),
            ("Record", {"fields": (("starts_with", "status"), ("made", "created_by"))}),
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> tuple[str, ...]:
        shown = ("may", "for_applications", "starts_with", "status", "made", "created_by")
        return () if obj is None else (*shown, "can_run_code")

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool
    ) -> None:
        if change:
            # Only what was changed here: the rest may be newer in the database than in this form.
            changes = {name: form.cleaned_data[name] for name in form.changed_data}
            update_api_key(key=obj, changes=changes, by=actor(request))
            return
        hosts = form.cleaned_data.get("hosts")
        key, text = create_api_key(
            name=obj.name,
            scopes={JOIN} if hosts else obj.scopes,
            by=actor(request),
            applications=list(form.cleaned_data["applications"]),
            expires_at=obj.expires_at,
            can_run_code=obj.can_run_code,
            joins=hosts or 1,
        )
        # The admin goes on with its own instance: make it the row that the service wrote.
        obj.__dict__.update(key.__dict__)
        show_key(request, key, text=text)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        # Revoking does the same at once and keeps the record of who had access.
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("registry.change_apikey")

    @action(
        description="Revoke",
        url_path="revoke",
        icon="key_off",
        permissions=("revoke",),
        variant=ActionVariant.DANGER,
        attrs={"data-testid": "revoke"},
    )
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask first; then the key is refused from its next request on."""
        key = row_or_404(ApiKey.objects.all(), pk=object_id)
        if key.revoked_at is not None:
            messages.info(request, f"{key} has been revoked already.")
            return HttpResponseRedirect(page_of(key))
        if request.method == "POST":
            revoke_api_key(key=key, by=actor(request))
            self.log_change(request, key, "Revoked.")
            messages.success(request, f"{key} is revoked: requests with it are refused from now.")
            return HttpResponseRedirect(page_of(key))
        template = "console/confirm_revoke.html"
        return self.page(request, template, row=key, title=f"Revoke {key}", key=key)

    starts_with = column("starts with", lambda key: code(f"{key.prefix}…"))
    may = column("may", lambda key: ", ".join(sorted(key.scopes)) or NOTHING)
    for_applications = column("asks", _asked_applications)
    status = column(
        "status",
        lambda key: key.state,
        label={"active": "success", "revoked": "danger", "expired": "warning", "used": "info"},
    )
    made = time_column("made", "created_at")
