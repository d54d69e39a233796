"""`manage.py deploy MODEL VERSION`: make a version live, registering it first where it is new."""

import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from registry import services
from registry.management.clipper_command import (
    ClipperCommand,
    add_columns,
    add_waiting,
    named_model,
    named_version,
)
from registry.models import Model, ModelVersion, Release
from registry.models.settable_columns import InputType
from registry.services.versions import CONFIGURABLE, CONFIGURATION, UPLOADED
from registry.versions.extensions import extensions

BY = services.Actor.of_command("deploy")


class Command(ClipperCommand):
    help = (
        "Make a version of a model live; with --artifact, upload it as a new version first, "
        "with --url, register one that is asked over HTTP."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("version", help="its name, such as 2")
        add_waiting(parser)
        parser.add_argument(
            "--allow-signature-change",
            action="store_true",
            help="also where it takes or gives something else than what it replaces",
        )
        upload = parser.add_argument_group("to upload a new version")
        upload.add_argument(
            "--artifact", type=Path, metavar="FILE", help="a new version is this file"
        )
        upload.add_argument(
            "--runtime",
            default="sklearn",
            help=f"{', '.join(extensions.runtime_names())} (sklearn)",
        )
        add_columns(upload, ModelVersion, names=COLUMNS)
        _add_remote(parser)
        upload.add_argument(
            "--input-type",
            choices=InputType.values,
            metavar="TYPE",
            help=f"registers the model if it is new: {', '.join(InputType.values)}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        version = self._version(options)
        release = services.deploy(
            version=version,
            by=BY,
            reason=options["reason"],
            allow_signature_change=options["allow_signature_change"],
        )
        self.stdout.write(f"Release {release.pk} of {version} is {release.state}.")
        if options["wait"] or release.state == Release.State.FAILED:
            self.wait_until_live(release, seconds=options["timeout"])

    def _version(self, options: dict[str, Any]) -> ModelVersion:
        if options["url"] is not None:
            return self._remote_version(options)
        if options["artifact"] is None:
            return named_version(named_model(options["model"]), version=options["version"])
        try:
            with options["artifact"].open("rb") as file:
                return services.create_version(
                    model=self._model(options),
                    artifact=file,
                    by=BY,
                    **{name: options[name] for name in UPLOAD_OPTIONS if options[name] is not None},
                )
        except OSError as error:
            raise CommandError(f"Can't read the artifact: {error}") from error

    def _remote_version(self, options: dict[str, Any]) -> ModelVersion:
        if options["artifact"] is not None:
            raise CommandError("Expected either --artifact or --url, got both.")
        given = {name: options[name] for name in CONFIGURABLE if options[name] is not None}
        return services.create_remote_version(
            model=self._model(options),
            version=options["version"],
            configuration={name: options[name] for name in CONFIGURATION},
            secret=_secret(options["secret_file"]),
            by=BY,
            **given,
        )

    def _model(self, options: dict[str, Any]) -> Model:
        known = Model.objects.filter(name=options["model"]).exists()
        if known or options["input_type"] is None:
            return named_model(options["model"])
        return services.create_model(name=options["model"], input_type=options["input_type"], by=BY)


def _add_remote(parser: CommandParser) -> None:
    remote = parser.add_argument_group("to register one that is asked over HTTP")
    remote.add_argument("--url", help="of the model")
    remote.add_argument("--protocol", help="open-inference, mlflow, openai or json")
    remote.add_argument(
        "--secret-file", metavar="FILE", help="holds its secret; - is standard input"
    )
    remote.add_argument("--secret-header", metavar="NAME", help="where the secret goes (a bearer)")
    remote.add_argument("--timeout-ms", type=float, metavar="X", help="for one request (5000)")
    remote.add_argument(
        "--concurrency", type=int, metavar="N", help="requests of a replica under way at once"
    )
    remote.add_argument(
        "--template", type=_json, metavar="JSON", help='the body, with "$input" or "$inputs" in it'
    )
    remote.add_argument("--output", metavar="PATH", help="which part of an answer is the output")


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected JSON: {error}") from error


def _secret(file: str | None) -> str:
    """Read a secret from a file or standard input, without its last line break."""
    if file is None:
        return ""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeError) as error:
        raise CommandError(f"Can't read the secret: {error}") from error
    return text.rstrip("\r\n")


UPLOAD_OPTIONS = (*UPLOADED, *CONFIGURABLE)
COLUMNS = tuple(name for name in UPLOAD_OPTIONS if name not in ("version", "runtime"))
