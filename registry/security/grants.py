"""Roles of people, and the rows within the reach of somebody who is bound to applications.

A role for all applications is membership in its group. A role for chosen applications is an object
permission (django-guardian) on each of them, and means that group's permissions, there alone. Keys
that are bound to applications have the same reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db.models import Model as DjangoModel
from django.db.models import Q, QuerySet

from core.errors import Forbidden
from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion, Route
from registry.models.application import ROLES

R = TypeVar("R", bound=DjangoModel)
Own = frozenset[int] | None

# Permissions that whoever has the second one has as well.
IMPLIED = {
    "registry.roll_back_model": "registry.change_model",
    "registry.scale_modelversion": "registry.change_modelversion",
    "registry.reset_application": "registry.change_application",
}
# No role for chosen applications has these: they reach further than an application.
GLOBAL = frozenset(
    {
        *("registry.add_application", "registry.add_model", "registry.delete_model"),
        "registry.run_code",
        "registry.view_stack",
        *(f"registry.{verb}_apikey" for verb in ("view", "add", "change", "delete")),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A person's role, "" for none, and the applications that it is for, None for all."""

    role: str
    applications: Own = None


def group_of(role: str) -> str:
    """Return the name of the group that stands for a role."""
    return f"Clipper {role}"


def grant_of(user: User) -> Grant:
    """Return what this person was granted, read once for each instance."""
    known: Grant | None = user.__dict__.get("_grant")
    if known is None:
        known = user.__dict__["_grant"] = _read_grant(user)
    return known


def _read_grant(user: User) -> Grant:
    from guardian.models import UserObjectPermission  # processes without pages have no guardian

    if user.is_superuser:
        return Grant(role="superuser")
    chosen = UserObjectPermission.objects.filter(
        user=user,
        permission__content_type__app_label="registry",
        permission__codename__in=[f"role_{role}" for role in ROLES],
    ).values_list("permission__codename", "object_pk")
    if chosen:
        least = min((code.removeprefix("role_") for code, _ in chosen), key=ROLES.index)
        return Grant(role=least, applications=frozenset(int(pk) for _, pk in chosen))
    groups = set(user.groups.values_list("name", flat=True))
    return Grant(role=next((role for role in reversed(ROLES) if group_of(role) in groups), ""))


class RoleBackend(ModelBackend):
    """Django's backend, which knows roles for chosen applications too.

    Without an object a permission means somewhere; with one, there: of what others ask as well, to
    see it.
    """

    def get_all_permissions(
        self, user_obj: User | AnonymousUser, obj: DjangoModel | None = None
    ) -> set[str]:
        permissions: set[str] = super().get_all_permissions(user_obj)
        if not isinstance(user_obj, User) or not user_obj.is_active:
            return permissions
        grant = grant_of(user_obj)
        if grant.applications is not None:
            permissions = permissions | _permissions_of(user_obj, role=grant.role)
            permissions = {name for name in permissions if not is_global(name)}
        if obj is None or owns(obj, own=grant.applications):
            return permissions
        views = {name for name in permissions if name.partition(".")[2].startswith("view_")}
        return views if sees(obj, own=grant.applications) else set()

    def has_perm(
        self, user_obj: User | AnonymousUser, perm: str, obj: DjangoModel | None = None
    ) -> bool:
        has = super().has_perm
        return has(user_obj, perm, obj=obj) or (
            perm in IMPLIED and has(user_obj, IMPLIED[perm], obj=obj)
        )


def _permissions_of(user: User, *, role: str) -> set[str]:
    known: set[str] | None = user.__dict__.get("_role_permissions")
    if known is None:
        rows = Permission.objects.filter(group__name=group_of(role))
        names = rows.values_list("content_type__app_label", "codename")
        known = user.__dict__["_role_permissions"] = {f"{app}.{code}" for app, code in names}
    return known


def is_global(permission: str) -> bool:
    """Say whether a permission reaches further than an application."""
    return (
        permission in GLOBAL
        or permission.startswith(("auth.", "guardian."))
        or permission.endswith("_channel")
    )


def within(rows: QuerySet[R], *, own: Own) -> QuerySet[R]:
    """Return the rows that somebody bound to these applications sees, all of them for None.

    Rows of other tables belong to an application or a model by a column of that name.
    """
    if own is None:
        return rows
    table = rows.model
    asked = Route.objects.filter(application__in=own).values("model")
    columns = {field.attname for field in table._meta.concrete_fields}
    if table is Application:
        return rows.filter(pk__in=own)
    if table is Model:
        return rows.filter(pk__in=asked)
    if table is AuditEntry:
        others = Route.objects.exclude(application__in=own).values("model")
        alone = Q(model_id__in=asked) & ~Q(model_id__in=others)
        return rows.filter(Q(application_id__in=own) | alone)
    if table is ApiKey:
        outside = ApiKey.objects.filter(applications__in=Application.objects.exclude(pk__in=own))
        return rows.filter(bound=True).exclude(pk__in=outside.values("pk"))
    if "application_id" in columns:
        return rows.filter(application_id__in=own)
    if "model_id" in columns:
        return rows.filter(model_id__in=asked)
    return rows.none()


def sees(row: DjangoModel, *, own: Own) -> bool:
    """Say whether a row is among those that somebody bound to these applications sees."""
    return own is None or within(type(row)._default_manager.filter(pk=row.pk), own=own).exists()


def shares(models: Iterable[int], *, own: frozenset[int]) -> bool:
    """Say whether an application outside of `own` asks one of these models."""
    routes = Route.objects.filter(model__in=list(models))
    return routes.exclude(application__in=own).exists()


def owns(row: DjangoModel, *, own: Own) -> bool:
    """Say whether a row is theirs to change: others may ask the same model."""
    if own is None or not sees(row, own=own):
        return own is None
    model = row.model_id if isinstance(row, ModelVersion) else row.pk
    return not (isinstance(row, Model | ModelVersion) and shares([model], own=own))


def check_own(row: DjangoModel, *, own: Own, user: User | None) -> None:
    """Raise Forbidden if somebody bound to these applications may not change the row."""
    if row == user or owns(row, own=own):
        return
    if sees(row, own=own):
        raise Forbidden(
            f"{row} is asked by applications that you aren't bound to, so you may only read it."
        )
    raise Forbidden(f"{row} belongs to no application that you are bound to.")
