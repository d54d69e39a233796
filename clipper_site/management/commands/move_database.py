"""`manage.py move_database URL`: the rows of the database, in another one."""

import os
import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandParser

from clipper_site.backups.row_copy import add_database, copy_rows
from clipper_site.backups.stopped_stack import stopped_stack
from clipper_site.settings import database_of
from clipper_site.stack.environment import without_another_stack
from core.errors import BadRequest
from registry.management.clipper_command import ClipperCommand

SCHEMES = ("postgres://", "postgresql://", "sqlite://")


class Command(ClipperCommand):
    help = (
        "Copy all rows of a stopped stack into another, empty database, such as from SQLite to "
        "PostgreSQL, and compare both by counts and digests. The old one stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "url", help="as DATABASE_URL: postgres://user@host/name, sqlite:////path"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        config = database_of(options["url"]) if options["url"].startswith(SCHEMES) else {}
        if not config.get("NAME"):
            raise BadRequest("Expected a URL such as postgres://user@host/name or sqlite:////path.")
        began = time.monotonic()
        # The stack's own Redis ends with it.
        needs_redis = bool(without_another_stack(os.environ).get("REDIS_URL"))
        with stopped_stack(needs_redis=needs_redis):
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            add_database("target", config)
            sums = copy_rows("default", target="target", say=self.stdout.write)
        for table, found in sums.items():
            if found.rows:
                self.stdout.write(f"{table}: {found} on both sides")
        seconds = time.monotonic() - began
        self.stdout.write(f"Moved in {seconds:.0f} s. Start with DATABASE_URL set to that URL.")
