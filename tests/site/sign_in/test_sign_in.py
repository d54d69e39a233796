"""Signing in with the provider: roles from its claims, taken anew each time, and given back."""

import httpx
import pytest

from tests.site.sign_in.conftest import Browser, Site
from tests.site.sign_in.console_process import ADMIN, PASSWORD

ROLE_QUERY = """
    SELECT changes FROM registry_auditentry WHERE kind = 'user' AND name = ? ORDER BY id DESC
"""


def groups_of(site: Site, name: str) -> list[str]:
    query = """
        SELECT g.name FROM auth_user_groups m JOIN auth_group g ON g.id = m.group_id
        JOIN auth_user u ON u.id = m.user_id WHERE u.username = ?
    """
    return [name for (name,) in site.rows(query, name)]


def test_somebody_signs_in_with_the_role_of_their_claim(site: Site) -> None:
    site.say(of="ada", groups=["staff", "ops"])
    ada = Browser(site)
    answer = ada.sign_in("/admin/timeline/?q=1")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/timeline/?q=1")
    assert ada.is_in()
    assert groups_of(site, "ada") == ["Clipper operator"]
    assert "operator" in site.rows(ROLE_QUERY, "ada")[0][0]


def test_the_provider_gets_a_challenge_a_nonce_and_no_secret(site: Site) -> None:
    site.say(of="ada", groups="ops")
    first, second = Browser(site), Browser(site)
    first.begin()
    asked = site.asked()
    second.begin()
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    assert asked["redirect_uri"] == f"{site.console}/admin/sign-in/callback/"
    for name in ("code_challenge", "nonce", "state"):
        assert asked[name] != site.asked()[name]
    assert not {"client_secret", "code_verifier"} & asked.keys()


def test_a_role_follows_the_claim_at_each_sign_in(site: Site) -> None:
    site.say(of="grace", groups=["admins"])
    assert Browser(site, name="grace").sign_in().status_code == 302
    assert groups_of(site, "grace") == ["Clipper admin"]
    site.say(of="grace", groups=["team", "others"])
    Browser(site, name="grace").sign_in()
    assert groups_of(site, "grace") == []
    changed = site.rows(ROLE_QUERY, "grace")[0][0]
    assert "admin" in changed
    assert "deployer: digits" in changed


def test_whoever_lost_the_role_is_refused_and_signed_out_everywhere(site: Site) -> None:
    site.say(of="edsger", groups=["ops"])
    before = Browser(site, name="edsger")
    before.sign_in()
    assert before.is_in()
    site.say(of="edsger", groups=[])
    later, refusals = Browser(site, name="edsger"), site.refusals()
    answer = later.sign_in()
    assert answer.status_code == 403
    assert "Your account edsger has no role in Clipper" in answer.text
    assert "admins, ops, team, others" in answer.text
    assert not later.is_in()
    assert not before.is_in()
    assert site.refusals() == refusals + 1


def test_somebody_new_without_a_role_leaves_no_trace(site: Site) -> None:
    site.say(of="mallory", groups=["visitors"])
    mallory = Browser(site, name="mallory")
    assert mallory.sign_in().status_code == 403
    assert not mallory.is_in()
    assert not site.rows("SELECT 1 FROM auth_user WHERE username = 'mallory'")


def test_a_session_ends_hours_after_the_sign_in(site: Site) -> None:
    site.say(of="ada", groups=["ops"])
    Browser(site).sign_in()
    left = site.rows(
        "SELECT (julianday(MAX(expire_date)) - julianday('now')) * 24 FROM django_session"
    )[0][0]
    assert 11.9 < left <= 12.0


def test_the_local_admin_signs_in_by_password(site: Site) -> None:
    with httpx.Client(base_url=site.console) as http:
        page = http.get("/admin/login/")
        assert "Sign in with Example" in page.text
        form = {"username": ADMIN, "password": PASSWORD}
        token = {"csrfmiddlewaretoken": next(iter(http.cookies.jar)).value}
        done = http.post("/admin/login/", data=form | token)
        assert done.status_code == 302
        # Tables of allauth are nobody's to edit, providers least of all.
        for path in ("socialaccount/socialapp", "account/emailaddress"):
            assert http.get(f"/admin/{path}/").status_code == 404


@pytest.mark.parametrize("page", ["login", "signup", "email", "password/reset", "3rdparty"])
def test_no_page_of_allauth_can_be_reached(site: Site, page: str) -> None:
    for prefix in ("accounts", "account", "sign-in"):
        assert httpx.get(f"{site.console}/{prefix}/{page}/").status_code == 404
