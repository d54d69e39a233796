"""The OpenID Connect provider that people may sign in with, and the roles that its claims give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from core.errors import Forbidden


class RoleRule(NamedTuple):
    """A claim's value, the role that it gives and the applications it is for, () for all."""

    value: str
    role: str
    applications: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """The provider as an operator has configured it."""

    issuer: str
    name: str
    client_id: str
    secret_file: str
    plain_secret: str = field(repr=False)
    scopes: Sequence[str]
    claim: str
    rules: Sequence[RoleRule]
    domains: Sequence[str]
    session: timedelta

    @property
    def secret(self) -> str:
        """Read the client's secret; a file is read anew, so that it can be changed. OSError."""
        return Path(self.secret_file).read_text().strip() if self.secret_file else self.plain_secret

    def rule_for(self, claims: Mapping[str, Any]) -> RoleRule | None:
        """Return the first rule that a person's claims meet, None for no role. Raises Forbidden.

        Applications of further rules for the same role are added to its own.
        """
        verified = claims.get("email_verified") in (True, "true")
        email = str(claims.get("email") or "") if verified else ""
        if self.domains and email.rpartition("@")[2].lower() not in self.domains:
            raise Forbidden(
                f"Expected a verified e-mail address at {', '.join(self.domains)} from {self.name}."
            )
        found = email if self.claim == "email" else self.claimed(claims)
        values = [] if found is None else [found] if isinstance(found, str) else found
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise Forbidden(
                f"Expected a text or a list of texts in the claim {self.claim} of {self.name}."
            )
        met = [rule for rule in self.rules if rule.value in values]
        same = [rule for rule in met if rule.role == met[0].role]
        if not met or not all(rule.applications for rule in same):
            return met[0]._replace(applications=()) if met else None
        names = [name for rule in same for name in rule.applications]
        return met[0]._replace(applications=tuple(dict.fromkeys(names)))

    def claimed(self, claims: Mapping[str, Any]) -> Any:
        """Return the claim that names the role, by its name or by a path such as `a.b`."""
        if self.claim in claims:
            return claims[self.claim]
        inner: Any = claims
        for step in self.claim.split("."):
            inner = inner.get(step) if isinstance(inner, dict) else None
        return inner


def is_secure(url: object) -> bool:
    """Say whether this is an https address, or one of this machine."""
    try:
        place = urlsplit(str(url))
        host = place.hostname or ""
        near = host == "localhost" or (place.scheme == "http" and ip_address(host).is_loopback)
    except ValueError:
        return False
    return bool(host) and (place.scheme == "https" or (place.scheme == "http" and near))
