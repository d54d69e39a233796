"""Performs the recipe for a field of a version: a new column is taken, shown and exported."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: the column has to be there before anything has looked at the model.
PERFORM = """
import io, json
import django
from django.db import connection, models
from django.db.models.signals import class_prepared

def add(sender, **kwargs):
    if sender.__name__ == "ModelVersion" and sender.__module__ == "registry.models.models":
        column = models.CharField(max_length=16, blank=True, help_text="A toy's. Empty: none.")
        column.contribute_to_class(sender, "colour")

class_prepared.connect(add)
django.setup()

from django.core.management import call_command
from registry.models import ModelVersion

call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.add_field(ModelVersion, ModelVersion._meta.get_field("colour"))

from django.test import Client
from clipper_client.declarations.state import exported
from clipper_client.declarations.state import State
from registry import services

by = services.Actor.of_command("test")
_, key = services.create_api_key(name="k", scopes=["manage"], by=by)
client = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": f"Api-Key {key}"})
services.create_model(name="svm", input_type="doubles", by=by)
form = {"version": "1", "runtime": "sklearn", "colour": "red", "artifact": io.BytesIO(b"1")}
uploaded = client.post("/api/v1/models/svm/versions/", form)
path = "/api/v1/models/svm/versions/1/"
changed = client.patch(path, {"colour": "blue"}, content_type="application/json")
model, version = (client.get(p).json() for p in ("/api/v1/models/svm/", path))
state = State(models={"svm": model}, versions={"svm": {"1": version}}, applications={}, keys={})
schema = client.get("/api/v1/schema/", headers={"Accept": "application/json"})
audit = client.get("/api/v1/audit/?kind=model+version&action=change").json()
print(json.dumps({
    "uploaded": uploaded.json().get("colour"),
    "changed": changed.json().get("colour"),
    "exported": exported(state, keys=False)["models"][0]["versions"][0].get("colour"),
    "schema": "colour" in schema.content.decode(),
    "audited": any("colour" in entry["changes"] for entry in audit),
}))
"""


@pytest.mark.timeout(120)
def test_a_new_column_of_a_version_is_everywhere(tmp_path: Path) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(45),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'clipper.sqlite3'}",
        "CLIPPER_VAR": str(tmp_path),
        "CLIPPER_MIN_FREE_BYTES": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", PERFORM],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stdout) == {
        "uploaded": "red",
        "changed": "blue",
        "exported": "blue",
        "schema": True,
        "audited": True,
    }
