"""Roles of people: their groups, and giving and taking them."""

import secrets
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group, Permission, User

from core.errors import BadRequest, Conflict, Forbidden
from registry.following.recording import registry_write
from registry.models import Application
from registry.models.application import ROLES
from registry.security.grants import group_of, is_global
from registry.services.actor import Actor
from registry.services.audit_trail import audited, record_created, record_deleted
from registry.services.row_writes import checked

APPS = frozenset({"registry", "selection", "traffic", "alerts", "capture"})
OPERATING = frozenset(
    {
        *("registry.roll_back_model", "registry.scale_modelversion", "registry.reset_application"),
        *("alerts.change_alert", "selection.add_feedback"),
    }
)
# What people ask for, and the permission that it takes.
ACTS = {
    "See applications, models, releases, alerts, the timeline": "registry.view_application",
    "See captured inputs": "capture.view_capturedinput",
    "Mute alerts": "alerts.change_alert",
    "Label answers": "selection.add_feedback",
    "Roll back, call off a release": "registry.roll_back_model",
    "Approve rollouts of others": "registry.approve_model",
    "Scale": "registry.scale_modelversion",
    "Reset what was learned": "registry.reset_application",
    "Upload a version": "registry.add_modelversion",
    "Deploy": "registry.change_model",
    "Change, revert settings": "registry.change_application",
    "Delete an application": "registry.delete_application",
    "Add applications and models": "registry.add_application",
    "Set up channels of alerts": "alerts.add_channel",
    "Allow code of artifacts to run": "registry.run_code",
    "Make and revoke keys": "registry.add_apikey",
    "Add people, give roles": "auth.add_user",
}


def belongs(permission: str, *, role: str) -> bool:
    """Say whether a role has this permission when its group is made."""
    app, _, code = permission.partition(".")
    if app == "auth" or code.endswith("_apikey") or code == "run_code":
        return role == "admin" and code.endswith(("_user", "_apikey", "run_code"))
    if app not in APPS or code.startswith("role_"):
        return False
    if code.startswith("view_"):
        return True
    if permission in OPERATING:
        return role != "viewer"
    approves = permission == "registry.approve_model" and role == "approver"
    return approves or role in ("deployer", "admin")


def who_may() -> list[tuple[str, list[bool], bool]]:
    """Return each act, which roles may do it, and if a role for chosen applications may, too."""
    return [
        (act, [belongs(needed, role=role) for role in ROLES], not is_global(needed))
        for act, needed in ACTS.items()
    ]


def make_groups(*, using: str = "default", **options: Any) -> None:
    """Make a group for each role with the permissions that belong to it."""
    rows = [
        (row, f"{row.content_type.app_label}.{row.codename}")
        for row in Permission.objects.using(using).select_related("content_type")
    ]
    for role in ROLES:
        group, _ = Group.objects.using(using).get_or_create(name=group_of(role))
        group.permissions.set([row for row, name in rows if belongs(name, role=role)])


@registry_write
def add_person(
    *, name: str, role: str, by: Actor, applications: Sequence[Application] | None = None
) -> User:
    """Create somebody with a role who has no password yet; a name may be an e-mail address."""
    if User.objects.filter(username__iexact=name).exists():
        raise Conflict(f"There is somebody called {name} already.")
    person = User(username=name, email=name if "@" in name else "")
    person.set_unusable_password()
    checked(person)
    person.save()
    give_role(person, role=role, applications=applications)
    record_created(person, by=by)
    return person


@registry_write
def set_role(
    *, person: User, role: str, by: Actor, applications: Sequence[Application] | None = None
) -> None:
    """Give somebody this role and no other one, "" for none. Raises Forbidden, BadRequest."""
    check_over(person, by=by)
    with audited(person, by=by):
        give_role(person, role=role, applications=applications)


@registry_write
def set_password(*, person: User, by: Actor) -> str:
    """Give somebody a new password, which ends their sessions, and return it. Raises Forbidden."""
    check_over(person, by=by)
    made = secrets.token_urlsafe(15)
    with audited(person, by=by):
        person.set_password(made)
        person.save(update_fields=["password"])
    return made


@registry_write
def set_active(*, person: User, active: bool, by: Actor) -> None:
    """Let somebody sign in, or sign them out everywhere. Raises Forbidden."""
    check_over(person, by=by)
    with audited(person, by=by):
        person.is_active = active
        person.save(update_fields=["is_active"])


@registry_write
def remove_person(*, person: User, by: Actor) -> None:
    """Delete somebody, who is signed out; what they did stays in the timeline. Raises Forbidden."""
    check_over(person, by=by)
    record_deleted(person, by=by)
    person.delete()


def give_role(
    person: User, *, role: str, applications: Sequence[Application] | None = None
) -> None:
    """Write the rows of a role; `applications` is None for all. Raises BadRequest."""
    from guardian.models import UserObjectPermission  # processes without pages have no guardian
    from guardian.shortcuts import assign_perm

    if role not in ("", *ROLES):
        raise BadRequest(f"Expected a role among {', '.join(ROLES)}, got {role!r}.")
    if applications is not None and not applications:
        raise BadRequest("Expected one application at least, or all of them.")
    person.groups.remove(*Group.objects.filter(name__in=[group_of(name) for name in ROLES]))
    person.user_permissions.clear()
    UserObjectPermission.objects.filter(user=person).delete()
    if role and applications is None:
        person.groups.add(Group.objects.get(name=group_of(role)))
    for application in applications or () if role else ():
        assign_perm(f"registry.role_{role}", person, application)
    person.is_staff = bool(role)
    person.save(update_fields=["is_staff"])
    person.__dict__.pop("_grant", None)


def check_over(person: User, *, by: Actor) -> None:
    """Raise Forbidden unless `by` may decide on this person."""
    if person == by.user:
        raise Forbidden("Nobody changes their own role, or locks themselves out.")
    if person.is_superuser:
        raise Forbidden(f"{person} is a superuser: `manage.py` changes those.")
