"""Base of Clipper's commands: one clear line if something is wrong, exit code 1."""

from __future__ import annotations

import time
from typing import Any, NoReturn

import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from core.errors import ClipperError
from registry.models import Model, ModelVersion, Release
from registry.releases.progress import what_it_waits_for


class OneLineParser(CommandParser):
    """Reports wrong arguments in one line with exit code 1."""

    def error(self, message: str) -> NoReturn:
        if self.called_from_command_line:
            self.exit(1, f"{self.prog}: {message} (--help shows what is expected)\n")
        raise CommandError(message)


class ClipperCommand(BaseCommand):
    """A command that calls services and reports what they raise as one line."""

    # Whether the settings are right: pages and URLs, which take longer to load than most commands
    # to run, are none of its business.
    requires_system_checks = ("settings",)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django makes the parser itself and has no setting for its class.
        parser.__class__ = OneLineParser
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ClipperError as error:
            raise CommandError(error.message) from error
        except (redis.RedisError, OSError) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        except DatabaseError as error:
            # PostgreSQL's messages go on for several lines: with the statement, and where in it.
            first, _, _ = str(error).partition("\n")
            raise CommandError(
                f"The database can't be used (has `manage.py migrate` run?): {first}"
            ) from error

    def wait_until_live(self, release: Release, *, seconds: float) -> None:
        """Return when the release is live. Raises CommandError."""
        deadline, said = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            release.refresh_from_db()
            progress = what_it_waits_for(release)
            if progress not in ("", said):
                self.stdout.write(f"  {release.arm}: {progress}")
                said = progress
            if release.state == Release.State.LIVE:
                self.stdout.write(f"{release.arm} is live.")
                return
            if not release.is_open:
                failed = release.state == Release.State.FAILED
                ended = f"failed: {release.error}" if failed else "was superseded by another one"
                raise CommandError(f"Release {release.pk} of {release.arm} {ended}")
            time.sleep(0.2)
        raise CommandError(
            f"Release {release.pk} of {release.arm} is still {release.state} after "
            f"{seconds:.3g} s: {what_it_waits_for(release)}."
        )


def add_waiting(parser: CommandParser) -> None:
    """Add the options of commands that start a release."""
    parser.add_argument("--reason", default="", help="why; kept in the history")
    parser.add_argument("--wait", action="store_true", help="return only when it is live")
    parser.add_argument(
        "--timeout", type=float, default=180.0, metavar="S", help="how long to wait (180 s)"
    )


def named_model(name: str) -> Model:
    return Model.objects.with_live_version().named(name)


def named_version(model: Model, *, version: str) -> ModelVersion:
    rows = ModelVersion.objects.filter(model=model).select_related("model")
    return rows.named(version, of=model.name)
