"""Short passes of people who are signed in to the console, in place of an API key."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable
from time import time

import msgspec

from core.errors import UnknownKey
from core.specs import ApiKeySpec

SCHEME = b"pass "
# A pass outlives the rights of its person by so long.
LIFE_S = 60.0


class PersonPass(msgspec.Struct, frozen=True, array_like=True):
    person: str
    application_id: int
    scopes: tuple[str, ...]
    until: float


def issue_pass(secret: bytes, *, person: str, application_id: int, scopes: Iterable[str]) -> str:
    """Return a pass to one application, signed with the secret of receipts."""
    body = msgspec.json.encode(PersonPass(person, application_id, tuple(scopes), time() + LIFE_S))
    return urlsafe_b64encode(_mac(secret, body) + body).decode()


def is_pass(authorization: bytes | None) -> bool:
    return authorization is not None and authorization[: len(SCHEME)].lower() == SCHEME


def key_of_pass(authorization: bytes, *, secret: bytes) -> ApiKeySpec:
    """Return what the pass of an Authorization header allows. Raises UnknownKey."""
    try:
        raw = urlsafe_b64decode(authorization[len(SCHEME) :].strip())
        mac, body = raw[:32], raw[32:]
        if hmac.compare_digest(mac, _mac(secret, body)):
            found = msgspec.json.decode(body, type=PersonPass)
            if found.until > time():
                return ApiKeySpec(
                    id=0,
                    name=found.person,
                    digest="",
                    scopes=frozenset(found.scopes),
                    application_ids=frozenset((found.application_id,)),
                    expires_at=found.until,
                )
    except (Error, msgspec.DecodeError):
        pass
    raise UnknownKey("This pass is unknown or expired: reload the page.")


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"clipper.person-pass:" + body, "sha256")
