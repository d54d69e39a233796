"""`manage.py scale MODEL N`: how many replicas serve a model's live version."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from registry import services
from registry.management.base import ClipperCommand, named_model, named_version


class Command(ClipperCommand):
    help = "Set how many replicas serve a model's live version."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model")
        parser.add_argument("replicas", type=int, metavar="N")
        parser.add_argument("--of", metavar="VERSION", help="this version, not the live one")

    def handle(self, *args: Any, **options: Any) -> None:
        model = named_model(options["model"])
        version = (
            named_version(model, version=options["of"])
            if options["of"]
            else services.live_version_of(model)
        )
        services.scale(version=version, replicas=options["replicas"])
        self.stdout.write(f"{version} is to have {options['replicas']} replicas.")
