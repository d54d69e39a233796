"""Signing in with the provider: the way there, and the way back."""

import logging
from collections.abc import Callable

import jwt
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.contrib.auth import login
from django.core import signing
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from console.sign_in.oidc_client import ProviderClient, provider
from core.errors import BadRequest, ClipperError, Forbidden, TooManyRequests, Unavailable
from registry.api.error_shape import error_page
from registry.models import AuditEntry
from registry.security.throttle import Failures, address_of
from registry.services import Actor, because, record_event
from registry.services.identities import clean_name, person_of

COOKIE = f"clipper_sign_in_{settings.CLIPPER_PORT}"
COOKIE_S = 600
SUBJECT_MOST = 191  # allauth's column
# Of one address, on the way there and refused on the way back.
ATTEMPTS = Failures(most=120, window_s=60.0)
Channel = AuditEntry.Channel
View = Callable[[HttpRequest], HttpResponseBase]

logger = logging.getLogger(__name__)


def refusable(view: View) -> View:
    """Show a refusal as a page, count it in the audit trail and against its address."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        try:
            ATTEMPTS.check(address_of(request), what="attempts to sign in")
            return view(request)
        except (ClipperError, OAuth2Error, jwt.PyJWTError, OSError) as error:
            refusal = refusal_of(error)
        if not isinstance(refusal, TooManyRequests):
            ATTEMPTS.add(address_of(request))
            record_event(action=AuditEntry.Action.REFUSE, kind="sign-in", name=refusal.message)
        page = error_page(request, refusal, title="Sign in", back_to=reverse("admin:login"))
        page.delete_cookie(COOKIE, path=reverse("console-sign-in"))
        return page

    return never_cache(require_GET(answer))


def refusal_of(error: Exception) -> ClipperError:
    """Return the error as ours; texts of OAuth2Error may hold tokens, so nobody sees them."""
    name = provider().name
    if isinstance(error, ClipperError):
        return error
    if isinstance(error, OAuth2Error):
        return Forbidden(f"{name} doesn't confirm this sign-in: begin again.")
    if isinstance(error, jwt.PyJWTError):
        return Forbidden(f"The ID token of {name} can't be trusted: {error}.")
    logger.warning("signing in failed", exc_info=error)
    return Unavailable(f"{name} gives no usable answer now: try again, or ask an admin.")


@refusable
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """Send the browser to the provider, with a signed cookie for when it comes back."""
    ATTEMPTS.add(address_of(request))
    client, asked = ProviderClient(request), request.GET.get("next", "")
    own = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    way = client.begin(next_url=asked if own else reverse("admin:index"))
    way.set_cookie(
        COOKIE,
        signing.dumps(client.state, salt=COOKIE),
        max_age=COOKIE_S,
        path=reverse("console-sign-in"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return way


@refusable
def signed_in(request: HttpRequest) -> HttpResponseBase:
    """Take somebody back from the provider, with the role that its claims give today."""
    state = _state_of(request)
    if "code" not in request.GET:
        raise Forbidden(f"{provider().name} signed nobody in: begin again.")
    claims = ProviderClient(request).claims(request.GET["code"], state=state)
    subject, issuer = claims["sub"], claims["iss"]
    if not subject.isprintable() or not 0 < len(subject) <= SUBJECT_MOST:
        raise Forbidden(f"Expected a subject of at most {SUBJECT_MOST} printable characters.")
    name = str(claims.get("preferred_username") or claims.get("email") or subject)
    rule = provider().rule_for(claims)
    by = Actor(user=None, label="Sign-in", channel=Channel.CONSOLE, address=address_of(request))
    with because(f"{provider().claim}: {rule.value}" if rule else f"no role by {provider().claim}"):
        person = person_of(issuer=issuer, subject=subject, name=name, rule=rule, by=by)
    if person is None:
        values = ", ".join(rule.value for rule in provider().rules)
        raise Forbidden(
            f"Your account {clean_name(name)} has no role in Clipper: ask an admin of"
            f" {provider().name} to add one of {values} ({provider().claim})."
        )
    login(request, person)
    # From now, not from the last change of the session, which would go on and on.
    request.session.set_expiry(timezone.now() + provider().session)
    way = HttpResponseRedirect(state["next"])
    way.delete_cookie(COOKIE, path=reverse("console-sign-in"))
    return way


def _state_of(request: HttpRequest) -> dict[str, str]:
    """Return what this browser began with. Raises BadRequest if the answer is another's."""
    try:
        state: dict[str, str] = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=COOKIE_S
        )
    except signing.BadSignature:
        state = {"state": ""}
    given = request.GET.get("state", "")
    if not given or not constant_time_compare(given, state["state"]):
        raise BadRequest("This answer belongs to no sign-in that this browser began: begin again.")
    return state
