"""Writes the data of a release for the test that opens it with later code.

Run once at each release, from its tree: `.venv/bin/python -m tests.release.make_data`.
"""

import gzip
import io
import os
import secrets
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from core.version import VERSION

FOLDER = Path(__file__).parent


def fill() -> None:
    """Register something of each kind, through the services."""
    from registry import services
    from registry.services import RouteRequest

    by = services.Actor.of_command("make_data")
    model = services.create_model(name="svm", input_type="doubles", by=by)
    versions = [
        services.create_version(
            model=model,
            version=name,
            runtime="sklearn",
            artifact=io.BytesIO(name.encode()),
            notes=f"version {name}",
            by=by,
        )
        for name in ("1", "2")
    ]
    for version in versions:
        release = services.deploy(version=version, reason="better", by=by)
        services.begin_release(release=release)
        services.complete_release(release=release)
    services.roll_back(model=model, reason="worse", by=by)
    application = services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        policy="exp3",
        default_output=-1,
        routes=[RouteRequest(model="svm"), RouteRequest(model="svm", version="2", weight=0.5)],
        by=by,
    )
    services.create_api_key(name="bound", scopes=["predict"], applications=[application], by=by)
    key, _ = services.create_api_key(name="revoked", scopes=["feedback"], by=by)
    services.revoke_api_key(key=key, by=by)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "clipper.sqlite3"
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(45),
            "DATABASE_URL": f"sqlite:///{database}",
            "CLIPPER_VAR": folder,
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        fill()
        with closing(sqlite3.connect(database)) as connection:
            dump = "\n".join(connection.iterdump())
    path = FOLDER / f"{VERSION}.sql.gz"
    path.write_bytes(gzip.compress(dump.encode(), mtime=0))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
