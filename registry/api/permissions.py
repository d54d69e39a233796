"""What a caller of the management API may do, and under which name it is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import User
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from registry.errors import Forbidden, Unauthenticated
from registry.models import ApiKey, Application
from registry.services import Actor
from registry.specs import MANAGE

if TYPE_CHECKING:
    from rest_framework.views import APIView

    from registry.api.views.base import ManagementView


class MayManage(BasePermission):
    """Keys need the scope `manage`; people must be staff, with the console's permission to write.

    A key bound to applications reaches only the views of one application (`for_bound_keys`), and
    there `check_application` keeps it to its own. A view's `permissions` name, by method, the
    Django permission that a person needs for it.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        managing = cast("ManagementView", view)
        if isinstance(request.auth, ApiKey):
            _check_key(request.auth, view=managing)
        elif isinstance(request.user, User):
            _check_person(request.user, request=request, view=managing)
        else:
            raise Unauthenticated(
                "Expected the header `Authorization: Api-Key <key>`, or a staff session."
            )
        return True


def actor_of(request: Request) -> Actor:
    """Whom the history names for what this request does."""
    if isinstance(request.auth, ApiKey):
        return Actor.of_key(request.auth)
    if isinstance(request.user, User):
        return Actor.of_user(request.user)
    raise Unauthenticated("Expected a key or a staff session.")


def bound_to(request: Request) -> frozenset[int] | None:
    """The applications that the caller's key is bound to; None where it is bound to none."""
    key = request.auth
    if not (isinstance(key, ApiKey) and key.bound):
        return None
    return frozenset(key.applications.values_list("pk", flat=True))


def check_application(request: Request, *, application: Application) -> None:
    """Raise Forbidden where the caller's key is bound to other applications."""
    allowed = bound_to(request)
    if allowed is not None and application.pk not in allowed:
        raise Forbidden(f"This key isn't bound to the application {application.name}.")


def _check_key(key: ApiKey, *, view: ManagementView) -> None:
    if MANAGE not in key.scopes:
        granted = ", ".join(sorted(key.scopes)) or "none"
        raise Forbidden(
            f"Expected a key with the scope {MANAGE}, got one with {granted}.",
            required=MANAGE,
            scopes=sorted(key.scopes),
        )
    method = (view.request.method or "").upper()
    if key.bound and method not in view.for_bound_keys:
        raise Forbidden("This key is bound to applications and manages nothing else.")


def _check_person(user: User, *, request: Request, view: ManagementView) -> None:
    if not (user.is_active and user.is_staff):
        raise Forbidden(f"Expected a member of the staff, got {user.get_username()}.")
    if request.method in SAFE_METHODS:
        return
    needed = view.permissions.get(request.method or "")
    if needed is not None and not user.has_perm(needed):
        raise Forbidden(f"{user.get_username()} lacks the permission {needed}.", permission=needed)
