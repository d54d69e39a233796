"""Reads the settings of sign-in by OpenID Connect."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from clipper_site.settings.env import Environment
from registry.security.identity_provider import IdentityProvider, RoleRule, is_secure

_RULE = re.compile(r"(.+)=(viewer|operator|approver|deployer|admin)(?::([\w.+-]+))?")
_ROLES = "roles of claim values such as ops=operator,team-a=deployer:digits+letters"


def identity_provider(env: Environment) -> IdentityProvider | None:
    """Return the provider, None if no issuer is named."""
    issuer = env.parsed(
        "CLIPPER_OIDC_ISSUER",
        default="",
        parse=_issuer,
        expected="an https URL (http on this machine) of at most 200 characters",
    )
    rules: tuple[RoleRule, ...] = env.parsed(
        "CLIPPER_OIDC_ROLES", default=(), parse=_rules, expected=_ROLES
    )
    provider = IdentityProvider(
        issuer=issuer,
        name=env.text("CLIPPER_OIDC_NAME") or urlsplit(issuer).hostname or "",
        client_id=env.text("CLIPPER_OIDC_CLIENT_ID"),
        plain_secret=env.text("CLIPPER_OIDC_CLIENT_SECRET"),
        secret_file=env.text("CLIPPER_OIDC_CLIENT_SECRET_FILE"),
        scopes=["openid", *env.names("CLIPPER_OIDC_SCOPES", default="profile,email")],
        claim=env.text("CLIPPER_OIDC_CLAIM", "groups"),
        rules=rules,
        domains=[name.lower() for name in env.names("CLIPPER_OIDC_DOMAINS", default="")],
        session=timedelta(hours=env.whole("CLIPPER_OIDC_HOURS", default=12, at_least=1)),
    )
    if not issuer:
        return None
    if not provider.client_id:
        env.reject("CLIPPER_OIDC_CLIENT_ID", expected="the id of a client at CLIPPER_OIDC_ISSUER")
    if not env.given("CLIPPER_OIDC_ROLES"):
        env.reject("CLIPPER_OIDC_ROLES", expected=_ROLES)
    return provider


def _issuer(text: str) -> str:
    place = urlsplit(text)
    if not is_secure(text) or len(text) > 200 or place.query or place.fragment or place.username:
        raise ValueError(text)
    return text


def _rules(text: str) -> tuple[RoleRule, ...]:
    rules = []
    for part in filter(None, map(str.strip, text.split(","))):
        if (found := _RULE.fullmatch(part)) is None:
            raise ValueError(text)
        value, role, applications = found.groups(default="")
        rules.append(RoleRule(value, role, tuple(filter(None, applications.split("+")))))
    return tuple(rules)
