"""`manage.py errors`: what went wrong lately in the versions of a model."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from registry.management.clipper_command import ClipperCommand, named_model, named_version
from serving.cluster.failures.error_log import KnownError
from serving.endpoints.management.diagnosis import last_errors


class Command(ClipperCommand):
    help = "Show the last errors of a model's versions, each kind once, with where in its code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("version", nargs="?", help="left out: every version")

    def handle(self, *args: Any, **options: Any) -> None:
        model, name = named_model(options["model"]), options["version"]
        versions = [named_version(model, version=name)] if name else model.versions.all()
        for version in versions:
            for known in last_errors(version.pk):
                self.stdout.write(_told(known, arm=f"{model.name}:{version.version}"))


def _told(known: KnownError, *, arm: str) -> str:
    last = datetime.fromtimestamp(known.last_at, tz=UTC)
    often = "once" if known.count == 1 else f"{known.count} times"
    head = f"{arm}  {known.phase}  {often}, last {last:%F %T} UTC"
    return f"{head}\n{known.traceback or known.error}\n"
