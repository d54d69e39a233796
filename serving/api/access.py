"""Who may ask what: the application by name, the key from memory."""

from __future__ import annotations

import hashlib
from time import time

from registry.errors import Forbidden, NotFound, Unauthenticated, UnknownKey
from registry.specs import ApiKeySpec, ApplicationSpec, Snapshot
from serving.api.http import Scope, header

SCHEME = b"api-key "


def authorised_application(
    scope: Scope, *, snapshot: Snapshot, name: str, needs: str
) -> ApplicationSpec:
    """Return the application, where the request's key may do what it `needs` there.

    Raises Unauthenticated, Forbidden or NotFound. A public application needs no key.
    """
    application = snapshot.applications.get(name)
    if application is not None and application.public:
        return application
    return checked_application(
        application, name=name, key=key_of(header(scope, b"authorization"), snapshot), needs=needs
    )


def checked_application(
    application: ApplicationSpec | None, *, name: str, key: ApiKeySpec, needs: str
) -> ApplicationSpec:
    if application is None:
        raise NotFound(f"There is no application named {name!r}.", application=name)
    if not key.allows(scope=needs, application_id=application.id):
        raise Forbidden(f"This key may not {needs} at {name}.", application=name, scope=needs)
    return application


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
