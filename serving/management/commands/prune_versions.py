"""`manage.py prune_versions`: delete versions that nothing asks any more."""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.clipper_command import ClipperCommand
from registry.services import Actor
from serving.cluster.control.releases.retention import prune_old_versions


class Command(ClipperCommand):
    help = "Delete old versions with their artifacts, as CLIPPER_VERSIONS_KEPT has control do."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--kept", type=int, metavar="N", help="newest versions of each model that stay"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say which would go")

    def handle(self, *args: Any, **options: Any) -> None:
        by, dry_run = Actor.of_command("prune_versions"), options["dry_run"]
        versions = prune_old_versions(kept=options["kept"], by=by, dry_run=dry_run)
        for version in versions:
            self.stdout.write(f"{version}, {version.size:,} bytes, of {version.created_at:%F}")
        self.stdout.write(f"{len(versions)} {'would go' if dry_run else 'deleted'}.")
