"""Users and groups, in the console's look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from registry.admin.theme import ModelAdmin

if TYPE_CHECKING:
    from django.contrib.auth.admin import GroupAdmin as _Team
    from django.contrib.auth.admin import UserAdmin as _People
else:

    class _People(UserAdmin, ModelAdmin):
        pass

    class _Team(GroupAdmin, ModelAdmin):
        pass


# What makes a person more than they were; superusers alone hand it out.
POWERS = ("is_superuser", "is_staff", "groups", "user_permissions")

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PeopleAdmin(_People[User]):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    compressed_fields = True
    warn_unsaved_form = True

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        # Whoever may edit people would otherwise make anybody, themselves too, anything.
        shown = super().get_readonly_fields(request, obj)
        return shown if _is_superuser(request) else (*shown, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _reaches(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _reaches(request, obj)


@admin.register(Group)
class TeamAdmin(_Team):
    list_display = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        shown = super().get_readonly_fields(request, obj)
        return shown if _is_superuser(request) else (*shown, "permissions")


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and bool(getattr(request.user, "is_superuser", False))


def _reaches(request: HttpRequest, person: User | None) -> bool:
    """Whether the caller may change this person: of a superuser only another one may."""
    return person is None or not person.is_superuser or _is_superuser(request)
