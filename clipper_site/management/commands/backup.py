"""`manage.py backup DIR`: all that a stack can't make again, in a folder."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from clipper_site.backups.backup_folder import back_up
from registry.management.clipper_command import ClipperCommand


class Command(ClipperCommand):
    help = (
        "Copy the database, Redis, artifacts and secrets into an empty folder, readable by its "
        "owner alone. The stack may run and be loaded meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", type=Path, help="made if it is missing; else it must be empty"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        back_up(options["folder"], say=self.stdout.write)
