"""Access of keys to applications, from memory."""

import hashlib
from collections.abc import Callable
from functools import partial
from time import time

from core.errors import Forbidden, NotFound, Unauthenticated, UnknownKey
from core.specs import ApiKeySpec, ApplicationSpec, Snapshot
from core.suggest import meant
from serving.endpoints.person_pass import is_pass, key_of_pass
from serving.http.asgi import Scope, header
from serving.web.runtime import Runtime

SCHEME = b"api-key "


KeyIn = Callable[[Snapshot], ApiKeySpec]


async def application_of(runtime: Runtime, scope: Scope, *, needs: str) -> ApplicationSpec:
    """Return the application of a request's path, where its key may do what it `needs` there."""
    name = scope["url_route"]["kwargs"]["app"]
    authorization = header(scope, b"authorization")
    key_in: KeyIn = partial(key_of, authorization)
    known: ApiKeySpec | None = None
    if authorization is not None and is_pass(authorization):
        known = key_of_pass(authorization, secret=runtime.spec.receipt_secret)
        key_in = partial(_known, known)

    found = await runtime.found(partial(application_named, name=name, needs=needs, key_in=key_in))
    if not found.public and known is None:
        runtime.key_uses.count(key_in(runtime.snapshot))
    return found


def application_named(
    snapshot: Snapshot, *, name: str, needs: str, key_in: KeyIn
) -> ApplicationSpec:
    """Return the application; a public one needs no key.

    Raises Unauthenticated, NotFound or Forbidden.
    """
    application = snapshot.applications.get(name)
    if application is not None and application.public:
        return application
    key = key_in(snapshot)
    if application is None:
        seen = (
            known.name
            for known in snapshot.applications.values()
            if key.allows(scope=needs, application_id=known.id)
        )
        hint = meant(name, seen)
        if key.application_ids is None and any(m.name == name for m in snapshot.models.values()):
            hint = "; it is a model, which an application has to ask"
        raise NotFound(f"There is no application named {name!r}{hint}.", application=name)
    if not key.allows(scope=needs, application_id=application.id):
        raise Forbidden(f"This key may not {needs} at {name}.", application=name, scope=needs)
    return application


def _known(key: ApiKeySpec, _: Snapshot) -> ApiKeySpec:
    return key


def key_of(authorization: bytes | None, snapshot: Snapshot) -> ApiKeySpec:
    """Return the key of an Authorization header, or raise Unauthenticated."""
    if authorization is None:
        raise Unauthenticated("Expected the header 'Authorization: Api-Key <key>', got none.")
    if authorization[: len(SCHEME)].lower() != SCHEME:
        raise Unauthenticated("Expected the header 'Authorization: Api-Key <key>'.")
    return key_named(authorization[len(SCHEME) :].strip(), snapshot)


def key_named(text: bytes, snapshot: Snapshot) -> ApiKeySpec:
    key = snapshot.keys.get(hashlib.sha256(text).hexdigest())
    if key is None or (key.expires_at is not None and key.expires_at <= time()):
        raise UnknownKey("This API key is unknown, revoked or expired.")
    return key
