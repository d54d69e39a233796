"""The demo's administrator and API key, and their private file."""

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from core.specs import SCOPES
from registry import services
from registry.demo.seed import APPLICATIONS, BY, MODELS, Say
from registry.models import ApiKey

ADMIN_NAME, KEY_NAME = "admin", "demo"


def path() -> Path:
    folder: Path = settings.CLIPPER_VAR
    return folder / "demo.json"


def ensure(*, say: Say) -> bool:
    """Make the administrator, the key and their file; return whether any was missing."""
    known = read()
    if known is not None and _is_true(known):
        if known.get("url") != url():
            write(known | {"url": url()})
        return False
    with transaction.atomic():
        password = _set_password(say=say)
        write(
            {
                "url": url(),
                "admin_user": ADMIN_NAME,
                "admin_password": password,
                "api_key": _make_key(say=say),
                "applications": list(APPLICATIONS),
                "models": list(MODELS),
            }
        )
    return True


def url() -> str:
    return f"http://{settings.CLIPPER_HOST}:{settings.CLIPPER_PORT}"


def read() -> dict[str, Any] | None:
    try:
        content = json.loads(path().read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(content: dict[str, Any]) -> None:
    """Replace the file, readable by its owner alone."""
    path().parent.mkdir(parents=True, exist_ok=True)
    # Temporary files are private (mode 0600) from the start.
    handle, name = tempfile.mkstemp(dir=path().parent, prefix=".demo-")
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    Path(name).replace(path())


def _is_true(known: dict[str, Any]) -> bool:
    digest = ApiKey.digest_of(str(known.get("api_key")))
    key = ApiKey.objects.filter(digest=digest).first()
    admin = User.objects.filter(username=known.get("admin_user"))
    return key is not None and key.is_active and admin.exists()


def _set_password(*, say: Say) -> str:
    password = secrets.token_urlsafe(12)
    admin = User.objects.filter(username=ADMIN_NAME).first()
    if admin is None:
        admin = User.objects.create_superuser(ADMIN_NAME, password=password)
        services.record_created(admin, by=BY)
        say(f"Created the superuser {ADMIN_NAME}.")
    else:
        with services.audited(admin, by=BY):
            admin.set_password(password)
            admin.save(update_fields=["password"])
        say(f"Set a new password for {ADMIN_NAME}, as {path()} tells none.")
    return password


def _make_key(*, say: Say) -> str:
    for lost in ApiKey.objects.filter(name=KEY_NAME, revoked_at__isnull=True):
        services.revoke_api_key(key=lost, by=BY)
    _, text = services.create_api_key(name=KEY_NAME, scopes=SCOPES, by=BY, can_run_code=True)
    say("Created an API key that may do everything.")
    return text
