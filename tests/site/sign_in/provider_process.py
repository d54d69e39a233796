"""An OpenID Connect provider: allauth's own, in a small Django project that lies when it is bidden.

It signs in whoever says a name, and is told by POST what it says of people.
"""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import django
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from tests.site.sign_in.serving import serve

PAGES = "tests.site.sign_in.provider_pages"
CLIENT, SECRET = "clipper", "the-secret-of-the-client"
# Claims of people by their names, and lies by what is falsified.
TOLD: dict[str, Any] = {"people": {}, "lies": {}}
SEEN: dict[str, Any] = {}


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY, OTHER_KEY = new_key(), new_key()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@csrf_exempt
def told(request: HttpRequest) -> HttpResponse:
    """Take what is to be said from now on; tell the last request for authorization."""
    if request.method == "POST":
        TOLD.update(json.loads(request.body))
    return JsonResponse(SEEN)


def person(request: HttpRequest, name: str) -> HttpResponse:
    """Sign somebody in here."""
    from django.contrib.auth import login
    from django.contrib.auth.models import User

    user, _ = User.objects.get_or_create(username=name)
    login(request, user)
    return HttpResponse(name)


def lying(get_response: Any) -> Any:
    def respond(request: HttpRequest) -> HttpResponse:
        if "authorize" in request.path:
            SEEN.update(request.GET.dict())
        response: HttpResponse = get_response(request)
        for what, lie in TOLD["lies"].items():
            if request.path.endswith(PATHS[what]) and response.status_code == 200:
                body = json.loads(response.content)
                if what in ("token", "key"):
                    body["id_token"] = false_token(body["id_token"], lie)
                elif what == "keep":
                    time.sleep(lie)
                else:
                    body.update(lie)
                response.content = json.dumps(body).encode()
        return response

    return respond


PATHS = {
    **{"token": "/token", "key": "/token", "keep": "/token", "userinfo": "/userinfo"},
    "discovery": "/openid-configuration",
}


def false_token(token: str, lie: Any) -> str:
    """Sign other claims, or the same ones by another key or none."""
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = {"kid": header["kid"]}
    if lie == "other":
        return jwt.encode(claims, OTHER_KEY, algorithm="RS256", headers=kid)
    if lie == "none":
        return jwt.encode(claims, "", algorithm="none", headers=kid)
    if lie == "secret":  # the client's secret as that of HS256
        return jwt.encode(claims, SECRET, algorithm="HS256", headers=kid)
    if lie == "damaged":
        head, _, signature = token.split(".")
        body = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "1"}).encode())
        return f"{head}.{body.decode().rstrip('=')}.{signature}"
    changed = {name: value for name, value in {**claims, **lie}.items() if value is not None}
    return jwt.encode(changed, KEY, algorithm="RS256", headers=kid)


def main(folder: Path, *, port: int, redirect: str) -> None:
    settings.configure(
        SECRET_KEY="p" * 50,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=PAGES,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "provider.sqlite3",
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            }
        },
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
            *("django.contrib.messages", "allauth", "allauth.account", "allauth.idp.oidc"),
        ],
        MIDDLEWARE=[
            f"{__name__}.lying",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        SESSION_COOKIE_NAME="provider",
        USE_TZ=True,
        IDP_OIDC_PRIVATE_KEY=PEM,
        IDP_OIDC_ADAPTER=f"{PAGES}.Adapter",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from allauth.idp.oidc.models import Client

    client = Client(id=CLIENT, name="Clipper", redirect_uris=redirect, skip_consent=True)
    client.set_scopes(["openid", "profile", "email"])
    client.set_secret(SECRET)
    client.save()
    serve(get_wsgi_application(), port=port)


if __name__ == "__main__":
    # Under its own name, by which settings and URLs find what it was told.
    from tests.site.sign_in import provider_process

    provider_process.main(Path(sys.argv[1]), port=int(sys.argv[2]), redirect=sys.argv[3])
