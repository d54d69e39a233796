"""Rights of callers of the management API."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from django.contrib.auth.models import User
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core.errors import Forbidden, Unauthenticated
from core.specs import JOIN, MANAGE, READ
from registry.models import ApiKey, AuditEntry
from registry.security.grants import grant_of
from registry.security.throttle import address_of
from registry.services import Actor

if TYPE_CHECKING:
    # REST framework reads its settings, which name this module, when its views are imported.
    from rest_framework.views import APIView

# The Django permissions that a person needs, by method.
Permissions = Mapping[str, tuple[str, ...]]


# The verb of Django's own permissions for each method.
VERBS = {"GET": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


def needs(rows: str, **verbs: str) -> dict[str, tuple[str, ...]]:
    """Return Django's permissions on these rows by method, with another verb where one is given."""
    return {method: (f"registry.{verb}_{rows}",) for method, verb in (VERBS | verbs).items()}


class Guarded(Protocol):
    """A view of the management API that is handling a request."""

    request: Request
    http_method_names: Sequence[str]
    for_bound_keys: Collection[str]
    only_reads: Collection[str]
    permissions: Permissions


class MayManage(BasePermission):
    """Keys need the scope `manage`, or `read` for GET and a view's `only_reads`.

    People must be staff with the permissions that the view names for the method; a method without
    any is refused to everybody. Keys and people that are bound to applications reach only the
    methods in `for_bound_keys`, and `registry.api.visibility` keeps them to their own.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        guarded = cast("Guarded", view)
        if isinstance(request.auth, ApiKey):
            _check_key(request.auth, view=guarded)
        elif isinstance(request.user, User):
            if not (request.user.is_active and request.user.is_staff):
                raise Forbidden(
                    f"Expected a member of the staff, got {request.user.get_username()}."
                )
            check_person(request, needed=needed_of(guarded))
            if grant_of(request.user).applications is not None:
                _check_bound(guarded, who="You are")
        else:
            raise Unauthenticated(
                "Expected the header `Authorization: Api-Key <key>`, or a staff session."
            )
        return True


class MayJoin(BasePermission):
    """Only a join token, which may do nothing else."""

    message = "Expected a join token."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApiKey) and JOIN in request.auth.scopes


def actor_of(request: Request) -> Actor:
    """Return the caller as services record it."""
    if isinstance(request.auth, ApiKey):
        return Actor.of_key(request.auth, address=address_of(request))
    if isinstance(request.user, User):
        return Actor.of_user(
            request.user, channel=AuditEntry.Channel.REST, address=address_of(request)
        )
    raise Unauthenticated("Expected a key or a staff session.")


def _check_key(key: ApiKey, *, view: Guarded) -> None:
    method = _method_of(view)
    reads = method == "GET" or method in view.only_reads
    if not key.scopes & ({MANAGE, READ} if reads else {MANAGE}):
        granted = ", ".join(sorted(key.scopes)) or "none"
        raise Forbidden(
            f"Expected a key with the scope {f'{READ} or ' if reads else ''}{MANAGE}, "
            f"got one with {granted}.",
            required=READ if reads else MANAGE,
            scopes=sorted(key.scopes),
        )
    needed_of(view)
    if key.bound:
        _check_bound(view, who="This key is")


def _check_bound(view: Guarded, *, who: str) -> None:
    if _method_of(view) not in view.for_bound_keys:
        raise Forbidden(f"{who} bound to applications and may manage nothing else.")


def check_person(request: Request, *, needed: Sequence[str]) -> None:
    """Raise Forbidden for a person without these permissions; keys need none."""
    user = request.user
    for permission in needed if isinstance(user, User) else ():
        if not user.has_perm(permission):
            raise Forbidden(
                f"{user.get_username()} lacks the permission {permission}.", permission=permission
            )


def needed_of(view: Guarded) -> tuple[str, ...]:
    """Return the method's permissions, none if it isn't there. Raises Forbidden if it has none."""
    method = _method_of(view)
    if method.lower() not in view.http_method_names or not hasattr(view, method.lower()):
        return ()
    needed = view.permissions.get(method, ())
    if not needed:
        raise Forbidden(f"Nobody is permitted {method} here: the view declares no permission.")
    return needed


def _method_of(view: Guarded) -> str:
    method = (view.request.method or "").upper()
    return "GET" if method == "HEAD" else method
