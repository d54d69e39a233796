"""`manage.py deploy MODEL VERSION`: make an uploaded version live."""

from typing import Any

from django.core.management.base import CommandParser

from registry import services
from registry.management.clipper_command import (
    ClipperCommand,
    add_waiting,
    named_model,
    named_version,
)
from registry.models import Release


class Command(ClipperCommand):
    help = "Make a version of a model live. `clipper deploy` uploads one, too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("version", help="its name, such as 2")
        add_waiting(parser)
        parser.add_argument(
            "--allow-signature-change",
            action="store_true",
            help="also where it takes or gives something else than what it replaces",
        )
        parser.add_argument(
            "--anyway", action="store_true", help="also where it failed its check, made once more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        version = named_version(named_model(options["model"]), version=options["version"])
        release = services.deploy(
            version=version,
            by=services.Actor.of_command("deploy"),
            reason=options["reason"],
            allow_signature_change=options["allow_signature_change"],
            anyway=options["anyway"],
        )
        self.stdout.write(f"Release {release.pk} of {version} is {release.state}.")
        if options["wait"] or release.state == Release.State.FAILED:
            self.wait_until_live(release, seconds=options["timeout"])
