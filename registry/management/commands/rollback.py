"""`manage.py rollback MODEL`: make the version that was live before live again."""

from typing import Any

from django.core.management.base import CommandParser

from registry import services
from registry.management.clipper_command import (
    ClipperCommand,
    add_waiting,
    named_model,
    named_version,
)


class Command(ClipperCommand):
    help = "Make the version of a model that was live before live again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("--to", metavar="VERSION", help="this one rather than the last one")
        add_waiting(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        model = named_model(options["model"])
        to = named_version(model, version=options["to"]) if options["to"] else None
        by = services.Actor.of_command("rollback")
        release = services.roll_back(model=model, to=to, by=by, reason=options["reason"])
        self.stdout.write(f"Release {release.pk} of {release.arm} is {release.state}.")
        if options["wait"] and release.is_open:
            self.wait_until_live(release, seconds=options["timeout"])
