"""Authentication of the management API by API keys; people have the session of the console."""

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from core.errors import CHALLENGE, KEY_SCHEME, Unauthenticated
from core.redis.key_uses import note_use
from core.redis.redis_client import redis_client
from registry.models import ApiKey
from registry.security.throttle import BY_KEYS, LATE_S, WORKED, address_of, answer_late

EXPECTED = f"Expected the header `Authorization: {KEY_SCHEME} <key>`"


class ApiKeyAuthentication(BaseAuthentication):
    """Asks the database each time, so a revoked key is useless at once."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if scheme.lower() != KEY_SCHEME.lower().encode():
            return None
        digest = ApiKey.digest_of(text.strip().decode("latin-1"))
        address = address_of(request)
        if digest not in WORKED and BY_KEYS.wait_s(address) > 0:
            answer_late(request, seconds=LATE_S)
            BY_KEYS.check(address, what="keys that aren't known")
        key = ApiKey.objects.filter(digest=digest).first()
        if key is None:
            BY_KEYS.add(address)
            raise Unauthenticated(f"{EXPECTED}, got a key that isn't known.")
        if not key.is_active:
            raise Unauthenticated(f"{EXPECTED}, got one that is {key.state}: {key.name}.")
        WORKED.add(digest)
        note_use(redis_client(), key.pk)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class _ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base
    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`{KEY_SCHEME} <key>`, a key with the scope manage.",
        }
