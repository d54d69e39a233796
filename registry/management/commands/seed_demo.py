"""`manage.py seed_demo`: the demo's models, applications and access, each made if it is missing."""

import time
from typing import Any

from django.core.management.base import CommandParser

from registry.demo import seed
from registry.management.clipper_command import ClipperCommand


class Command(ClipperCommand):
    help = "Set up the demo: digit classifiers, two applications, an admin and an API key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-wait", action="store_true", help="don't wait for live models")
        parser.add_argument(
            "--timeout", type=float, default=180.0, metavar="S", help="how long to wait (180 s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        seeded = seed.seed(say=self.stdout.write)
        secrets_made = seed.ensure_access(say=self.stdout.write)
        if not (seeded or secrets_made):
            self.stdout.write("The demo is seeded already; everything was kept.")
        if not options["no_wait"]:
            deadline = time.monotonic() + options["timeout"]
            for release in seed.open_releases():
                self.wait_until_live(release, seconds=max(0.1, deadline - time.monotonic()))
        self.stdout.write(f"The demo's address, password and key are in {seed.access_file()}.")
