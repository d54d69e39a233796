"""Registers, uploads and deploys what the demo lacks, and makes its administrator and its key."""

from __future__ import annotations

import io
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from core.specs import SCOPES
from registry import services
from registry.models import ApiKey, Application, Model, Release

if TYPE_CHECKING:
    from registry.demo.classifiers import DemoVersion

Say = Callable[[str], object]

BY = services.Actor.of_command("seed_demo")
MODELS = {
    "svm-linear": "Linear support vector machine",
    "svm-rbf": "Support vector machine with a radial kernel",
    "knn": "Nearest neighbours",
    "mlp": "Small neural network",
    "naive-bayes": "Gaussian naive Bayes, the weakest of the five",
}
APPLICATIONS = {
    "digits": ("exp4", "Which digit is this? All five classifiers vote, by what they got right."),
    "digits-single": ("exp3", "Which digit is this? One classifier answers, chosen by its record."),
}


def seed(*, say: Say) -> bool:
    """Make what is missing, applications last; return whether anything was."""
    made: list[bool] = []
    if Application.objects.filter(name__in=APPLICATIONS).count() < len(APPLICATIONS):
        made += [_ensure_model(name, say=say) for name in MODELS]
        say("Loading scikit-learn …")
        from registry.demo.classifiers import VERSIONS

        made += [_ensure_version(wanted, say=say) for wanted in VERSIONS]
        made += [_ensure_application(name, say=say) for name in APPLICATIONS]
    made += [_ensure_live(model, say=say) for model in Model.objects.filter(name__in=MODELS)]
    return any(made)


def open_releases() -> list[Release]:
    """Return the demo's releases under way, oldest first."""
    rows = Release.objects.open().filter(model__name__in=MODELS).with_versions()
    return list(rows.order_by("id"))


def _ensure_model(name: str, *, say: Say) -> bool:
    if Model.objects.filter(name=name).exists():
        return False
    services.create_model(name=name, input_type="doubles", description=MODELS[name], by=BY)
    say(f"Registered the model {name}.")
    return True


def _ensure_version(wanted: DemoVersion, *, say: Say) -> bool:
    model = Model.objects.get(name=wanted.model)
    if model.versions.filter(version=wanted.version).exists():
        return False
    from registry.demo.digits import held_out  # scikit-learn takes a second to load

    began = time.monotonic()
    artifact, accuracy = wanted.train()
    version = services.create_version(
        model=model,
        version=wanted.version,
        runtime="sklearn",
        artifact=io.BytesIO(artifact),
        example=json.dumps(held_out()[0][0].tolist()),
        by=BY,
        notes=f"{wanted.notes} Gets {accuracy:.1%} of the held-out digits right.",
    )
    seconds = time.monotonic() - began
    say(f"Trained {version} in {seconds:.1f} s: {accuracy:.1%} of held-out digits right.")
    return True


def _ensure_live(model: Model, *, say: Say) -> bool:
    """Deploy the first version if none is live or on its way."""
    first = model.versions.filter(version="1").first()
    if (
        first is None
        or model.live_version_id
        or Release.objects.open().filter(model=model).exists()
    ):
        return False
    services.deploy(version=first, by=BY, reason="the demo's first version")
    say(f"Deploying {first}.")
    return True


def _ensure_application(name: str, *, say: Say) -> bool:
    if Application.objects.filter(name=name).exists():
        return False
    policy, description = APPLICATIONS[name]
    services.create_application(
        name=name,
        input_type="doubles",
        slo_ms=50.0,
        default_output=-1,
        policy=policy,
        capture_rate=0.1,
        description=description,
        by=BY,
        routes=[services.RouteRequest(model=model) for model in MODELS],
    )
    say(f"Created the application {name}: {policy} over {', '.join(MODELS)}.")
    return True


ADMIN_NAME, KEY_NAME = "admin", "demo"


def access_file() -> Path:
    folder: Path = settings.CLIPPER_VAR
    return folder / "demo.json"


def ensure_access(*, say: Say) -> bool:
    """Make the administrator, the key and their file; return whether any was missing."""
    known, url = _read(), f"http://{settings.CLIPPER_HOST}:{settings.CLIPPER_PORT}"
    if _is_true(known):
        if known.get("url") != url:
            _write(known | {"url": url})
        return False
    with transaction.atomic():
        password = _set_password(say=say)
        _write(
            {
                "url": url,
                "admin_user": ADMIN_NAME,
                "admin_password": password,
                "api_key": _make_key(say=say),
                "applications": list(APPLICATIONS),
                "models": list(MODELS),
            }
        )
    return True


def _read() -> dict[str, Any]:
    try:
        content = json.loads(access_file().read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(content: dict[str, Any]) -> None:
    """Replace the file, readable by its owner alone."""
    folder = access_file().parent
    folder.mkdir(parents=True, exist_ok=True)
    # Temporary files are private (mode 0600) from the start.
    handle, name = tempfile.mkstemp(dir=folder, prefix=".demo-")
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    Path(name).replace(access_file())


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
        say(f"Set a new password for {ADMIN_NAME}, as {access_file()} tells none.")
    return password


def _make_key(*, say: Say) -> str:
    for lost in ApiKey.objects.filter(name=KEY_NAME, revoked_at__isnull=True):
        services.revoke_api_key(key=lost, by=BY)
    _, text = services.create_api_key(name=KEY_NAME, scopes=SCOPES, by=BY, can_run_code=True)
    say("Created an API key that may do everything.")
    return text
