"""Users and groups, in the console's look."""

from typing import Any, cast

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from console.access import actor
from console.admin.audited import AuditedForm
from console.admin.base import ModelAdmin
from registry.services import audited

# Powers over others; superusers alone hand them out.
POWERS = ("is_superuser", "is_staff", "groups", "user_permissions")

admin.site.unregister(User)
admin.site.unregister(Group)
# Where a provider is set, allauth would have its tables edited here, among them providers.
for app in ("account", "socialaccount"):
    if apps.is_installed(f"allauth.{app}"):
        for table in filter(admin.site.is_registered, apps.get_app_config(app).get_models()):
            admin.site.unregister(table)


@admin.register(User)
class PeopleAdmin(AuditedForm, UserAdmin[User], ModelAdmin[User]):
    form = UserChangeForm
    change_form_after_template = "console/history.html"
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    compressed_fields = True
    warn_unsaved_form = True

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        # Whoever may edit people would otherwise make anybody, themselves too, anything.
        shown = super().get_readonly_fields(request, obj)
        return shown if _is_superuser(request) else (*shown, *POWERS)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        person = self.get_object(request, unquote(id))
        if person is None:
            return super().user_change_password(request, id, form_url)
        with audited(person, by=actor(request)):
            return super().user_change_password(request, id, form_url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _reaches(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _reaches(request, obj)


@admin.register(Group)
class TeamAdmin(AuditedForm, GroupAdmin, ModelAdmin[Group]):
    list_display = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        shown = super().get_readonly_fields(request, obj)
        return shown if _is_superuser(request) else (*shown, "permissions")


def own_password(request: HttpRequest) -> HttpResponseBase:
    """The page where people change their own password, recorded like any other change."""
    person = User.objects.get(pk=cast(User, request.user).pk)
    with audited(person, by=actor(request)):
        return admin.site.password_change(request)


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and bool(getattr(request.user, "is_superuser", False))


def _reaches(request: HttpRequest, person: User | None) -> bool:
    """Return whether the caller may change this person: a superuser only another one may."""
    return person is None or not person.is_superuser or _is_superuser(request)
