"""Bodies that register a version."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from rest_framework import serializers

from registry.api.fields import (
    FORM,
    FormNumberOrAuto,
    ModelBody,
    Number,
    NumberOrAuto,
    SecretText,
    Text,
    Upload,
    Whole,
    one_of,
)
from registry.api.serializers import BATCH_WAIT_HELP
from registry.models import ModelVersion
from registry.services.versions import CONFIGURABLE, CONFIGURATION, REMOTE, UPLOADED
from registry.versions.extensions import extensions


class NewVersion(ModelBody):
    """A multipart form, where every value is text; an empty number is one not given."""

    kinds = FORM
    needs_artifact: ClassVar[bool] = True

    version = Text()
    runtime = Text(
        help_text=one_of(lambda: [name for name in extensions.runtime_names() if name != REMOTE])
    )
    artifact = Upload(
        max_length=255, required=False, help_text="The file; none where it was sent in pieces."
    )
    sha256 = Text(
        required=False,
        allow_blank=True,
        help_text="The digest of the file, in hexadecimal. Another file is refused.",
    )
    requires_python = Text(
        required=False,
        allow_blank=True,
        max_length=255,
        help_text="The Pythons that it runs on, such as >=3.12: one that is here is chosen.",
    )
    example = Text(required=False, allow_blank=True, help_text="An input, as JSON.")
    signature = Text(
        required=False, allow_blank=True, help_text="The shape of its inputs, as JSON."
    )
    batch_wait_ms = FormNumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)

    class Meta:
        model = ModelVersion
        columns = (*UPLOADED, *CONFIGURABLE)
        help_texts = {"allow_pickle": "Needs the permission to run code."}

    def validate_runtime(self, runtime: str) -> str:
        if runtime == REMOTE:
            raise serializers.ValidationError(
                f"Expected {REMOTE} in a JSON body, with url and protocol, got it in a form."
            )
        return runtime

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.needs_artifact and not given.get("sha256") and "artifact" not in given:
            raise serializers.ValidationError({"artifact": "Expected a file, got none."})
        return given


class TriedVersion(NewVersion):
    """The same form, whose artifact stays where it is: `digest` says which one it would be."""

    needs_artifact = False

    digest = Text(required=False)


class NewRemoteVersion(ModelBody):
    """A version whose model lives behind HTTP already: JSON in the place of a form."""

    version = Text()
    runtime = Text(help_text=REMOTE)
    url = Text(help_text="http or https, without credentials.")
    protocol = Text(help_text="One of open-inference, mlflow, openai, json.")
    secret = SecretText(
        required=False, allow_blank=True, help_text="Kept sealed, and shown to nobody again."
    )
    secret_header = Text(
        required=False, allow_blank=True, help_text="Where it goes. Left out: as a bearer."
    )
    template = serializers.JSONField(
        required=False, allow_null=True, help_text='The body, with "$input" or "$inputs" in it.'
    )
    output = Text(
        required=False, allow_blank=True, help_text="The part of an answer that is the output."
    )
    timeout_ms = Number(required=False, help_text="For one request with all its retries: 5000.")
    concurrency = Whole(
        required=False, allow_null=True, help_text="Requests of a replica under way at once."
    )
    example = serializers.JSONField(
        required=False, allow_null=True, help_text="An input. Each check has it answered."
    )
    signature = serializers.JSONField(
        required=False, allow_null=True, help_text="The shape of its inputs."
    )
    batch_wait_ms = NumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)

    class Meta:
        model = ModelVersion
        columns = CONFIGURABLE
        help_texts: Mapping[str, str] = {}

    def validate_runtime(self, runtime: str) -> str:
        if runtime != REMOTE:
            raise serializers.ValidationError(
                f"Expected {REMOTE} in a JSON body; others come as a multipart form with their "
                f"artifact, got {runtime!r}."
            )
        return runtime

    def wanted(self) -> dict[str, Any]:
        """Return the body as `create_remote_version` takes it."""
        given = dict(self.validated_data)
        del given["runtime"]
        given["configuration"] = {name: given.pop(name, None) for name in CONFIGURATION}
        for name in given.keys() & {"example", "signature"}:
            value = given[name]
            given[name] = "" if value is None else msgspec.json.encode(value).decode()
        return given
