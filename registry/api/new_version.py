"""Bodies that register a version."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from rest_framework import serializers

from registry.api.fields import (
    FORM,
    Body,
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

OF_REMOTE = (*CONFIGURATION, "secret")
TIMEOUT_HELP = "For one request with all its retries: 5000."
CONCURRENCY_HELP = "Requests of a replica under way at once."


class RemoteFields(Body):
    """Fields of a remote model."""

    url = Text(help_text="For a remote model: http or https, without credentials.", required=False)
    protocol = Text(help_text="One of open-inference, mlflow, openai, json.", required=False)
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

    def remote(self) -> dict[str, Any]:
        """The body as `create_remote_version` takes it."""
        given = dict(self.validated_data)
        del given["runtime"]
        given["configuration"] = {name: given.pop(name, None) for name in CONFIGURATION}
        return given


class NewVersion(RemoteFields, ModelBody):
    """A multipart form, where every value is text; an empty number is one not given."""

    kinds = FORM
    needs_artifact: ClassVar[bool] = True

    version = Text()
    runtime = Text(help_text=one_of(lambda: extensions.runtime_names()))
    artifact = Upload(
        max_length=255,
        required=False,
        help_text="The file; none with the runtime remote, or where it was sent in pieces.",
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
    timeout_ms = serializers.FloatField(required=False, help_text=TIMEOUT_HELP)
    concurrency = serializers.IntegerField(
        required=False, allow_null=True, help_text=CONCURRENCY_HELP
    )

    class Meta:
        model = ModelVersion
        columns = (*UPLOADED, *CONFIGURABLE)
        help_texts = {"allow_pickle": "Needs the permission to run code."}

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        remote = given["runtime"] == REMOTE
        said = sorted(given.keys() & {*OF_REMOTE})
        sent_before = given.get("sha256") or not self.needs_artifact
        if not remote and not sent_before and "artifact" not in given:
            raise serializers.ValidationError({"artifact": "Expected a file, got none."})
        if not remote and said:
            raise serializers.ValidationError(
                {said[0]: f"Expected none with the runtime {given['runtime']}."}
            )
        for name in ("artifact", "sha256"):
            if remote and name in given:
                raise serializers.ValidationError(
                    {name: "Expected none with the runtime remote, which takes a url."}
                )
        return given


class TriedVersion(NewVersion):
    """The same form, whose artifact stays where it is: `digest` says which one it would be."""

    needs_artifact = False

    digest = Text(required=False)


class NewRemoteVersion(RemoteFields, ModelBody):
    """A version whose model lives behind HTTP already: JSON in the place of a form."""

    version = Text()
    runtime = Text(help_text=REMOTE)
    url = Text(help_text="http or https, without credentials.")
    protocol = Text(help_text="One of open-inference, mlflow, openai, json.")
    timeout_ms = Number(required=False, help_text=TIMEOUT_HELP)
    concurrency = Whole(required=False, allow_null=True, help_text=CONCURRENCY_HELP)
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

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        for name in ("example", "signature"):
            if name in given:
                value = given.pop(name)
                given[name] = "" if value is None else msgspec.json.encode(value).decode()
        return given
