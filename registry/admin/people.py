"""Users and groups, in the console's look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
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


@admin.register(Group)
class TeamAdmin(_Team):
    list_display = ("name",)
