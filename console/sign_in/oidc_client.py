"""The client of the OpenID Connect provider: allauth's, with bounded answers and strict tokens."""

import json
from collections.abc import Mapping
from io import BytesIO
from secrets import token_urlsafe
from time import monotonic
from typing import Any, cast

import jwt
import requests
import urllib3
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from core.errors import Forbidden
from registry.security.identity_provider import IdentityProvider, is_secure

ANSWER_S, ANSWER_BYTES = 5.0, 256 << 10
ALGORITHMS = [f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)]
LEEWAY_S = 60
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class BoundedSession(requests.Session):
    """Asks secure addresses only, follows no redirect, and reads a JSON object of bounded size."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if not is_secure(request.url):
            raise requests.exceptions.InvalidURL("Expected an https address.")
        ends = monotonic() + ANSWER_S
        options |= {"timeout": ANSWER_S, "stream": True, "allow_redirects": False}
        body = bytearray()
        with super().send(request, **options) as response:
            try:
                while part := response.raw.read1(1 << 14, decode_content=True):
                    body += part
                    if len(body) > ANSWER_BYTES or monotonic() > ends:
                        raise requests.Timeout("Expected a short answer.")
                if not isinstance(json.loads(body), dict):
                    raise requests.exceptions.InvalidJSONError("Expected a JSON object.")
            except (urllib3.exceptions.HTTPError, ValueError, RecursionError) as error:
                raise requests.exceptions.ContentDecodingError("Expected JSON.") from error
        response.raw = BytesIO(body)
        response.headers["content-type"] = "application/json"
        return response


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # it carries no types
    """Gives allauth the session for all that it asks."""

    def get_requests_session(self) -> requests.Session:
        return BoundedSession()


class ClientAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # it carries no types
    """Knows the provider's endpoints and where it sends the browser back to."""

    def get_provider(self) -> "ProviderClient":
        return ProviderClient(self.request)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return request.build_absolute_uri(reverse("console-signed-in"))

    @property
    def openid_config(self) -> dict[str, Any]:
        found: dict[str, Any] = super().openid_config
        issuer = str(found.get("issuer"))
        if issuer.rstrip("/") != provider().issuer.rstrip("/"):
            raise Forbidden(f"Expected the issuer {provider().issuer}, found another one there.")
        if not all(is_secure(found.get(name)) for name in ENDPOINTS):
            raise Forbidden(f"Expected https addresses of {' and '.join(ENDPOINTS)}.")
        return found


class ProviderClient(OpenIDConnectProvider):  # type: ignore[misc]  # it carries no types
    """One sign-in: the way to the provider, and the claims about who comes back."""

    oauth2_adapter_class = ClientAdapter
    state: dict[str, str]

    def __init__(self, request: HttpRequest) -> None:
        known = provider()
        place = {"server_url": known.issuer.rstrip("/"), "scope": known.scopes}
        app = SocialApp(
            provider=self.id,
            provider_id="clipper",
            client_id=known.client_id,
            secret=known.secret,
            settings={**place, "oauth_pkce_enabled": True},
        )
        super().__init__(request, app=app)

    def begin(self, *, next_url: str) -> HttpResponseBase:
        """Return the way to the provider; `state` is then what its answer has to match."""
        nonce = token_urlsafe()
        way: HttpResponseBase = self.redirect(
            self.request, "login", next_url=next_url, nonce=nonce, auth_params={"nonce": nonce}
        )
        return way

    def stash_redirect_state(
        self, request: HttpRequest, process: str, next_url: str, data: None, **parts: str
    ) -> str:
        self.state = {"state": token_urlsafe(), "next": next_url, **parts}
        return self.state["state"]

    def claims(self, code: str, *, state: Mapping[str, str]) -> dict[str, Any]:
        """Return what the provider says of whoever has brought this code."""
        adapter = self.get_oauth2_adapter(self.request)
        config, client = adapter.openid_config, adapter.get_client(self.request, self.app)
        answer = client.get_access_token(code, pkce_code_verifier=state["pkce_code_verifier"])
        with BoundedSession() as session:
            keys = session.get(config["jwks_uri"]).json()
            claims = self._verified(answer.get("id_token"), keys=keys, issuer=config["issuer"])
            if claims["nonce"] != state["nonce"]:
                raise Forbidden("The ID token belongs to another sign-in (nonce).")
            if "userinfo_endpoint" not in config:
                return claims
            bearer = {"Authorization": f"Bearer {answer['access_token']}"}
            person = session.get(config["userinfo_endpoint"], headers=bearer)
            person.raise_for_status()
            more: dict[str, Any] = person.json()
        if more.get("sub") != claims["sub"]:
            raise Forbidden("The user info is about somebody else than the ID token (sub).")
        return more | claims

    def _verified(self, token: Any, *, keys: dict[str, Any], issuer: str) -> dict[str, Any]:
        """Return the claims of an ID token, however it came: its signature counts always."""
        kid = jwt.get_unverified_header(token).get("kid")
        fit = [key for key in jwt.PyJWKSet.from_dict(keys).keys if kid in (None, key.key_id)]
        if len(fit) != 1:
            raise jwt.InvalidKeyError("Expected one key of this id")
        client_id = self.app.client_id
        options: Any = {"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]}
        claims = jwt.decode(
            token,
            fit[0],
            algorithms=ALGORITHMS,
            **{"audience": client_id, "issuer": issuer, "leeway": LEEWAY_S, "options": options},
        )
        if claims.get("azp", client_id) != client_id:
            raise jwt.InvalidAudienceError("Authorized party doesn't match")
        return claims


def provider() -> IdentityProvider:
    """Return the provider; the URLs that lead here exist where there is one."""
    return cast(IdentityProvider, settings.CLIPPER_OIDC)
