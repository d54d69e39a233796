"""Settings of sign-in: what is read of them, and that nothing is there without them."""

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import NoReverseMatch, reverse

from clipper_site.settings.env import Environment
from clipper_site.settings.sign_in import identity_provider
from core.errors import Forbidden
from registry.models.application import ROLES
from registry.security.identity_provider import IdentityProvider, RoleRule
from tests.site import manage

ISSUER = "https://id.example.com/realms/a"


def provider(**more: str) -> IdentityProvider:
    given = {"ISSUER": ISSUER, "CLIENT_ID": "clipper", "ROLES": "ops=operator"} | more
    env = Environment(source={f"CLIPPER_OIDC_{name}": text for name, text in given.items()})
    found = identity_provider(env)
    assert found is not None
    assert not env.wrong
    return found


@pytest.mark.django_db
def test_without_an_issuer_there_is_no_trace_of_it(client: Client) -> None:
    assert not any("allauth" in name for name in [*settings.INSTALLED_APPS, *settings.MIDDLEWARE])
    with pytest.raises(NoReverseMatch):
        reverse("console-sign-in")
    assert "Sign in with" not in client.get("/admin/login/").content.decode()


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.com",
        "id.example.com",
        "https://",
        "https://u@h/",
        "https://h/?q=1",
        "ftp://h",
    ],
)
def test_an_issuer_is_an_https_address(tmp_path: Path, issuer: str) -> None:
    said = manage.checked(var=tmp_path, CLIPPER_OIDC_ISSUER=issuer)
    assert f"CLIPPER_OIDC_ISSUER is {issuer!r}; expected an https URL" in said


def test_a_provider_without_client_or_roles_is_an_error(tmp_path: Path) -> None:
    said = manage.checked(
        var=tmp_path, CLIPPER_OIDC_ISSUER=ISSUER, CLIPPER_OIDC_CLIENT_SECRET="hush-hush"
    )
    assert "CLIPPER_OIDC_CLIENT_ID is ''" in said
    assert "CLIPPER_OIDC_ROLES is ''" in said
    assert "hush-hush" not in said


def test_roles_are_those_of_the_registry() -> None:
    text = ",".join(f"cn=x ou=y={role}" for role in ROLES)
    assert [rule.role for rule in provider(ROLES=text).rules] == list(ROLES)
    env = Environment(source={"CLIPPER_OIDC_ROLES": "ops=superuser"})
    identity_provider(env)
    assert [wrong.name for wrong in env.wrong] == ["CLIPPER_OIDC_ROLES"]


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        ("ops", RoleRule("ops", "operator")),
        (["x", "ops", "a"], RoleRule("a", "deployer", ("digits",))),
        (["a", "b"], RoleRule("a", "deployer", ("digits", "letters"))),
        (["a", "all"], RoleRule("a", "deployer")),
        (["none"], None),
        ([], None),
    ],
)
def test_the_first_rule_that_fits_counts(groups: object, rule: RoleRule | None) -> None:
    roles = "a=deployer:digits,b=deployer:letters,all=deployer,ops=operator"
    assert provider(ROLES=roles).rule_for({"groups": groups}) == rule


def test_a_claim_may_lie_in_an_object() -> None:
    known = provider(CLAIM="realm_access.roles")
    assert known.rule_for({"realm_access": {"roles": ["ops"]}}) == RoleRule("ops", "operator")
    assert known.rule_for({"realm_access.roles": ["ops"]}) == RoleRule("ops", "operator")
    assert known.rule_for({"realm_access": ["roles"]}) is None


def test_an_address_counts_if_it_is_verified() -> None:
    known = provider(CLAIM="email", ROLES="ada@example.com=viewer", DOMAINS="Example.com")
    ada = {"email": "ada@example.com"}
    assert known.rule_for(ada | {"email_verified": True}) == RoleRule("ada@example.com", "viewer")
    with pytest.raises(Forbidden):
        known.rule_for(ada | {"email_verified": False})
    with pytest.raises(Forbidden):
        known.rule_for({"email": "ada@example.com.evil.org", "email_verified": True})


def test_a_secret_is_read_anew_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("first\n")
    known = provider(CLIENT_SECRET_FILE=str(tmp_path / "secret"), CLIENT_SECRET="plain-one")
    assert known.secret == "first"
    (tmp_path / "secret").write_text("second\n")
    assert known.secret == "second"
    assert "plain-one" not in repr(known)
