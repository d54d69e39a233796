"""The provider's URLs, and what it says of people: what it was told to say."""

from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.contrib.auth.models import User
from django.urls import include, path

from tests.site.sign_in.provider_process import TOLD, person, told


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]  # it carries no types
    def get_claims(self, purpose: str, user: User, *args: Any, **options: Any) -> dict[str, Any]:
        claims: dict[str, Any] = super().get_claims(purpose, user, *args, **options)
        return claims | TOLD["people"].get(user.username, {})


urlpatterns = [
    path("told/", told),
    path("as/<str:name>/", person),
    path("", include("allauth.idp.urls")),
]
