"""Attacks on signing in: each ends signed out, with a page that says why and a refusal counted."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.site.sign_in.conftest import Browser, Site
from tests.site.sign_in.console_process import ADMIN, EMAIL
from tests.site.sign_in.provider_process import CLIENT, SECRET

OTHERS = "https://evil.example"
# What the provider says falsely, and what the page says then.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "nonce": ({"token": {"nonce": "another"}}, "belongs to another sign-in"),
    "no nonce": ({"token": {"nonce": None}}, "nonce"),
    "another key": ({"key": "other"}, "Signature verification failed"),
    "changed claims": ({"key": "damaged"}, "Signature verification failed"),
    "no algorithm": ({"key": "none"}, "alg"),
    "a shared secret": ({"key": "secret"}, "alg"),
    "audience": ({"token": {"aud": "another"}}, "Audience"),
    "party": ({"token": {"aud": [CLIENT, "b"], "azp": "b"}}, "Authorized party"),
    "issuer": ({"token": {"iss": OTHERS}}, "issuer"),
    "expired": ({"token": {"exp": 1_000_000_000}}, "expired"),
    "from the future": ({"token": {"iat": 4_000_000_000}}, "not yet valid"),
    "no expiry": ({"token": {"exp": None}}, "exp"),
    "subject of user info": ({"userinfo": {"sub": "2"}}, "somebody else"),
    "huge claims": ({"userinfo": {"groups": ["x" * 100] * 5000}}, "no usable answer"),
    "no text as subject": ({"token": {"sub": 7}}, "can&#x27;t be trusted"),
    "long subject": ({"token": {"sub": "s" * 300}, "userinfo": {"sub": "s" * 300}}, "191"),
    "another provider": ({"discovery": {"issuer": OTHERS}}, "another one there"),
    "plain http": (
        {"discovery": {"token_endpoint": "http://evil.example/token"}},
        "Expected https addresses",
    ),
    "no list of roles": ({"token": {"groups": {"ops": True}}}, "a text or a list of texts"),
    "no texts as roles": ({"token": {"groups": ["ops", 7]}}, "a text or a list of texts"),
    "unknown role": ({"token": {"groups": ["admin", "ADMINS", "Clipper admin"]}}, "has no role"),
}


def refused(site: Site, act: Callable[[], httpx.Response], *, says: str, browser: Browser) -> None:
    """Check that this signs nobody in, and that its page and the audit trail say so."""
    before = site.refusals()
    answer = act()
    assert answer.status_code in (400, 403, 503), answer.text
    assert says in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "no-store" in answer.headers["Cache-Control"]
    assert not browser.is_in()
    assert site.refusals() == before + 1


@pytest.fixture
def ada(site: Site) -> Browser:
    site.say(of="ada", groups=["ops"])
    return Browser(site)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_of_the_provider_is_refused(site: Site, ada: Browser, name: str) -> None:
    lies, says = LIES[name]
    back = ada.begin()
    site.say(of="ada", groups=["ops"], lies=lies)
    refused(site, lambda: ada.http.get(back), says=says, browser=ada)


@pytest.mark.parametrize("state", ["", "&state=", "&state=wrong", "&state=%E2%82%AC"])
def test_a_wrong_or_missing_state_is_refused(site: Site, ada: Browser, state: str) -> None:
    code = parse_qs(urlsplit(ada.begin()).query)["code"][0]
    forged = f"/admin/sign-in/callback/?code={code}{state}"
    refused(site, lambda: ada.http.get(forged), says="no sign-in", browser=ada)


def test_a_callback_of_another_session_is_refused(site: Site, ada: Browser) -> None:
    site.say(of="mallory", groups=["ops"])
    back, fresh = Browser(site, name="mallory").begin(), httpx.Client(base_url=site.console)
    victim = ada  # who has begun nothing
    refused(site, lambda: victim.http.get(back), says="no sign-in", browser=victim)
    victim.begin()  # nor does one that they have begun take it
    refused(site, lambda: victim.http.get(back), says="no sign-in", browser=victim)
    assert fresh.get(back).status_code == 400


def test_a_forged_cookie_is_refused(site: Site, ada: Browser) -> None:
    back = ada.begin()
    name = next(cookie.name for cookie in ada.http.cookies.jar if "sign_in" in cookie.name)
    ada.http.cookies.set(name, f"{ada.http.cookies[name]}x", domain="127.0.0.1", path="/admin/")
    state = {"Cookie": f"{name}=eyJzdGF0ZSI6IiJ9:1aaaaa:forged"}
    forged = lambda: httpx.get(back, headers=state)  # noqa: E731  (one request)
    refused(site, forged, says="no sign-in", browser=ada)


def test_a_code_serves_once(site: Site, ada: Browser) -> None:
    back = ada.begin()
    cookies = {cookie.name: cookie.value or "" for cookie in ada.http.cookies.jar}
    assert ada.http.get(back).status_code == 302
    thief = Browser(site, name="mallory")
    replay = lambda: httpx.get(back, cookies=cookies)  # noqa: E731  (one request)
    refused(site, replay, says="doesn&#x27;t confirm", browser=thief)


def test_a_code_of_another_sign_in_has_another_verifier(site: Site, ada: Browser) -> None:
    mallory = Browser(site, name="mallory")
    stolen = parse_qs(urlsplit(ada.begin()).query)["code"][0]
    own = parse_qs(urlsplit(mallory.begin()).query)["state"][0]
    forged = f"/admin/sign-in/callback/?code={stolen}&state={own}"
    refused(site, lambda: mallory.http.get(forged), says="doesn&#x27;t confirm", browser=mallory)


@pytest.mark.parametrize("verifier", [{}, {"code_verifier": "w" * 64}])
def test_the_provider_gives_no_token_without_the_verifier(
    site: Site, ada: Browser, verifier: dict[str, str]
) -> None:
    asked = {
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(ada.begin()).query)["code"][0],
        "redirect_uri": f"{site.console}/admin/sign-in/callback/",
        **{"client_id": CLIENT, "client_secret": SECRET},
    }
    endpoint = httpx.get(f"{site.provider}/.well-known/openid-configuration").json()
    assert httpx.post(endpoint["token_endpoint"], data=asked | verifier).status_code == 400


@pytest.mark.parametrize(
    "next_url", [OTHERS, "//evil.example/", "https:evil.example", "/\\evil.example", "javascript:1"]
)
def test_nobody_is_sent_to_another_site(site: Site, ada: Browser, next_url: str) -> None:
    answer = ada.sign_in(next_url)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_an_address_like_the_admins_makes_nobody_the_admin(site: Site) -> None:
    site.say(
        of="mallory",
        groups=["ops"],
        email=EMAIL,
        email_verified=True,
        preferred_username=ADMIN.upper(),
    )
    mallory = Browser(site, name="mallory")
    assert mallory.sign_in().status_code == 302
    mine = site.rows("SELECT username, is_superuser FROM auth_user ORDER BY id DESC LIMIT 1")
    assert mine[0][0].startswith("ADMIN-")
    assert mine[0][1] == 0
    admins = site.rows("SELECT username FROM auth_user WHERE is_superuser")
    assert admins == [(ADMIN,)]
    assert not site.rows(
        "SELECT 1 FROM socialaccount_socialaccount s JOIN auth_user u ON u.id = s.user_id"
        " WHERE u.username = ?",
        ADMIN,
    )


def test_an_answer_that_says_no_is_a_page(site: Site, ada: Browser) -> None:
    state = parse_qs(urlsplit(ada.begin()).query)["state"][0]
    back = f"/admin/sign-in/callback/?error=access_denied&state={state}"
    refused(site, lambda: ada.http.get(back), says="signed nobody in", browser=ada)


def test_a_provider_that_is_silent_is_given_up(site: Site, ada: Browser) -> None:
    back = ada.begin()
    site.say(of="ada", groups=["ops"], lies={"keep": 9})
    begun = time.monotonic()
    refused(site, lambda: ada.http.get(back), says="no usable answer", browser=ada)
    assert time.monotonic() - begun < 9


def test_attempts_of_one_address_are_limited(site: Site, ada: Browser) -> None:
    answers = [ada.http.get("/admin/sign-in/callback/").status_code for _ in range(121)]
    assert answers == [400] * 120 + [429]
    assert ada.http.get("/admin/sign-in/").status_code == 429


def test_post_signs_nobody_in(site: Site, ada: Browser) -> None:
    for path in ("/admin/sign-in/", "/admin/sign-in/callback/"):
        assert ada.http.post(path).status_code in (403, 405)
    assert not ada.is_in()


def test_the_secret_and_tokens_are_in_no_log(site: Site, ada: Browser) -> None:
    ada.sign_in()
    for log in site.database.parent.glob("console_process.log"):
        text = log.read_text()
        assert SECRET not in text
        assert "eyJ" not in text
