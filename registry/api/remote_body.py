"""The body that registers a version whose model lives behind HTTP already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework import serializers

from registry.api.fields import Number, NumberOrAuto, SecretText, Text, Whole
from registry.api.model_body import ModelBody
from registry.api.serializers import BATCH_WAIT_HELP
from registry.models import ModelVersion
from registry.services.remote import CONFIGURATION
from registry.services.versions import CONFIGURABLE, REMOTE


class NewRemoteVersion(ModelBody):
    """A version whose model lives behind HTTP already: JSON in the place of a form."""

    version = Text()
    runtime = Text(help_text="remote")
    url = Text(help_text="Of the model: http or https, without credentials.")
    protocol = Text(help_text="One of open-inference, mlflow, openai, json.")
    secret = SecretText(
        required=False, allow_blank=True, help_text="Kept sealed, and shown to nobody again."
    )
    secret_header = Text(
        required=False, allow_blank=True, help_text="Where it goes. Left out: as a bearer."
    )
    timeout_ms = Number(required=False, help_text="For one request with all its retries: 5000.")
    concurrency = Whole(
        required=False, allow_null=True, help_text="Requests of a replica under way at once."
    )
    template = serializers.JSONField(
        required=False, allow_null=True, help_text='The body, with "$input" or "$inputs" in it.'
    )
    output = Text(
        required=False, allow_blank=True, help_text="Which part of an answer is the output."
    )
    example = serializers.JSONField(
        required=False, allow_null=True, help_text="An input. Each check has it answered."
    )
    signature = serializers.JSONField(
        required=False, allow_null=True, help_text="What its inputs are."
    )
    batch_wait_ms = NumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)

    class Meta:
        model = ModelVersion
        columns = CONFIGURABLE
        help_texts: Mapping[str, str] = {}

    def told(self) -> dict[str, Any]:
        """The body as `create_remote_version` takes it."""
        given = dict(self.validated_data)
        del given["runtime"]
        for name in ("example", "signature"):
            if name in given:
                value = given.pop(name)
                given[name] = "" if value is None else msgspec.json.encode(value).decode()
        given["configuration"] = {name: given.pop(name, None) for name in CONFIGURATION}
        return given

    def validate_runtime(self, runtime: str) -> str:
        if runtime != REMOTE:
            raise serializers.ValidationError(
                f"Expected {REMOTE} in a JSON body; others come as a multipart form with their "
                f"artifact, got {runtime!r}."
            )
        return runtime
