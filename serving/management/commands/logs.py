"""`manage.py logs`: what the replicas of a version wrote, on this host."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from registry.management.clipper_command import ClipperCommand, named_model, named_version
from serving.cluster.failures import output_log


class Command(ClipperCommand):
    help = "Show what the replicas of a model's version wrote: its own prints and errors."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("version", nargs="?", help="left out: the live one")
        parser.add_argument("--replica", metavar="ID", help="left out: the one that wrote last")
        parser.add_argument("--lines", type=int, default=50, metavar="N", help="50")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["lines"] <= output_log.MOST_LINES:
            raise CommandError(f"--lines: expected 1 to {output_log.MOST_LINES}.")
        model, name = named_model(options["model"]), options["version"]
        version = named_version(model, version=name) if name else model.live_version
        if version is None:
            raise CommandError(f"{model.name} has no live version: name one.")
        files = [
            file
            for file in output_log.logs_of_version(
                settings.CLIPPER_REPLICA_LOGS, model=model.name, version=version.version
            )
            if options["replica"] in (None, output_log.replica_of(file))
        ]
        if not files:
            raise CommandError(f"No such replica of {version} has left a log on this host.")
        for line in output_log.last_lines(files[0], lines=options["lines"]):
            self.stdout.write(line)
