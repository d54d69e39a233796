"""`manage.py create_api_key NAME`: make a key and print it, the only time it can be seen."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from core.errors import BadRequest
from core.specs import FEEDBACK, JOIN, PREDICT, SCOPES
from registry import services
from registry.management.clipper_command import ClipperCommand
from registry.models import Application
from registry.versions.extensions import code_runtimes


class Command(ClipperCommand):
    help = "Create an API key and print it. It is kept as a digest only: it can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="whose or what for")
        parser.add_argument(
            "--scopes",
            default=f"{PREDICT},{FEEDBACK}",
            help=f"some of {','.join(SCOPES)}; {PREDICT},{FEEDBACK} if left out. Or {JOIN}: by it "
            "another host may join (`clipper worker`), for a day unless --expires-days is given",
        )
        parser.add_argument(
            "--hosts", type=int, default=1, metavar="N", help=f"how many may {JOIN} by it (1)"
        )
        parser.add_argument(
            "--application",
            action="append",
            default=[],
            metavar="NAME",
            help="only for this application; may be given several times",
        )
        parser.add_argument("--expires-days", type=float, metavar="N", help="never, if left out")
        parser.add_argument(
            "--run-code",
            action="store_true",
            help="may upload and first deploy versions that run code: "
            f"{', '.join(code_runtimes())}, pickle",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        days: float | None = options["expires_days"]
        if days is not None and not 0 < days <= 36_500:
            raise BadRequest(f"Expected from 0 to 36500 days, got {days:g}.")
        _, text = services.create_api_key(
            name=options["name"],
            scopes=scopes,
            applications=[Application.objects.named(name) for name in options["application"]],
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
            can_run_code=options["run_code"],
            joins=options["hosts"],
            by=services.Actor.of_command("create_api_key"),
        )
        self.stdout.write(text)
        self.stderr.write("Keep it now: it can't be shown again.")
