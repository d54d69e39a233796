"""`manage.py restore DIR`: a backup as the state of a new stack."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from clipper_site.backups.backup_folder import restore
from clipper_site.stack.environment import without_another_stack
from registry.management.clipper_command import ClipperCommand


class Command(ClipperCommand):
    help = (
        "Restore a backup into CLIPPER_VAR, and DATABASE_URL if it is set, which must be empty. "
        "Each file is checked before anything is written. A stack on that folder goes on from it."
    )
    # There is no secret key yet.
    requires_system_checks: Sequence[str] = ()  # type: ignore[assignment]  # of one, there

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="which the command backup has written")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        own_redis = not without_another_stack(os.environ).get("REDIS_URL")
        restore(options["folder"], own_redis=own_redis, say=self.stdout.write)
        var = settings.CLIPPER_VAR
        self.stdout.write(f"Restored into {var}.")
        if not own_redis:
            self.stdout.write(
                f"Give {var}/redis.rdb to the Redis of REDIS_URL as its appendonly.aof."
            )
