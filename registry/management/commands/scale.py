"""`manage.py scale MODEL N`: how many replicas serve a model's live version."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry import services
from registry.management.clipper_command import ClipperCommand, named_model, named_version


class Command(ClipperCommand):
    help = (
        "Set how many replicas serve a model's live version; with --max, let Clipper find out "
        "between two bounds (autoscaling)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its name")
        parser.add_argument("replicas", type=int, nargs="?", metavar="N", help="replicas from now")
        parser.add_argument("--of", metavar="VERSION", help="this version, not the live one")
        parser.add_argument(
            "--min", type=int, metavar="N", help="the fewest that autoscaling keeps"
        )
        bounds = parser.add_mutually_exclusive_group()
        bounds.add_argument(
            "--max", type=int, metavar="N", help="turn autoscaling on, with at most N replicas"
        )
        bounds.add_argument("--fixed", action="store_true", help="turn autoscaling off")

    def handle(self, *args: Any, **options: Any) -> None:
        model = named_model(options["model"])
        changes = {
            field: options[option]
            for field, option in OPTIONS.items()
            if options[option] is not None
        }
        if options["fixed"]:
            changes["max_replicas"] = None
        if not changes:
            raise CommandError("Expected a number of replicas, --min, --max or --fixed.")
        version = (
            named_version(model, version=options["of"])
            if options["of"]
            else services.live_version_of(model)
        )
        by = services.Actor.of_command("scale")
        services.configure_version(version=version, by=by, **changes)
        bounds = version.replica_bounds
        kept = "" if bounds is None else f" now, and {bounds[0]} to {bounds[1]} as load asks"
        self.stdout.write(f"{version} is to have {version.replicas} replicas{kept}.")


OPTIONS = {"replicas": "replicas", "min_replicas": "min", "max_replicas": "max"}
