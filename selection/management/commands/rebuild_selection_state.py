"""`manage.py rebuild_selection_state`: learn again, from the feedback table, what is in Redis."""

from typing import Any

from django.core.management.base import CommandParser

from core.redis.redis_client import redis_client
from registry.management.clipper_command import ClipperCommand
from registry.models import Application, AuditEntry
from registry.services import Actor, record_done
from selection.feedback.rebuild.state_rebuild import RebuildResult, rebuild


class Command(ClipperCommand):
    help = (
        "Replay the feedback table with each application's present policy and put the result in "
        "Redis. The stack may run meanwhile; counts of queries stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--application", metavar="NAME", help="this one; left out: all of them")
        parser.add_argument("--dry-run", action="store_true", help="say what differs, and no more")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["application"]
        found = Application.objects.all() if name is None else [Application.objects.named(name)]
        for application in found:
            rebuilt = rebuild(redis_client(), application, dry_run=options["dry_run"])
            if not options["dry_run"]:
                _record(application, rebuilt)
            said = _result_text(rebuilt, dry_run=options["dry_run"])
            self.stdout.write(f"{application.name}: {said}")


def _record(application: Application, rebuilt: RebuildResult) -> None:
    record_done(
        application,
        by=Actor.of_command("rebuild_selection_state"),
        action=AuditEntry.Action.RESET,
        changes={"learned": ["all contexts", f"replayed {rebuilt.observed} of feedback"]},
    )


def _result_text(rebuilt: RebuildResult, *, dry_run: bool) -> str:
    said = f"replayed {rebuilt.observed} of feedback in {rebuilt.contexts} contexts"
    if not rebuilt.differing:
        return f"{said}; Redis has the same."
    names = [context or "the global one" for context in rebuilt.differing[:5]]
    more = len(rebuilt.differing) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    done = "differ in Redis" if dry_run else "written"
    return f"{said}; {done}: {listed}."
