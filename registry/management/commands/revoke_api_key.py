"""`manage.py revoke_api_key WHICH`: make a key useless, at once."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q

from core.errors import NotFound
from registry import services
from registry.management.clipper_command import ClipperCommand
from registry.models import ApiKey
from registry.models.api_key import PREFIX_LENGTH


class Command(ClipperCommand):
    help = "Revoke an API key: it is useless at once, and stays in the list for the record."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", help="its number, its name, or how it begins")

    def handle(self, *args: Any, **options: Any) -> None:
        which: str = options["which"]
        # What is longer than the prefix may be the whole key.
        meant = Q(name=which) | Q(prefix=which[:PREFIX_LENGTH])
        if which.isascii() and which.isdigit():
            meant |= Q(pk=int(which))
        found = list(ApiKey.objects.filter(meant, revoked_at=None))
        if len(found) != 1:
            numbers = ", ".join(str(key.pk) for key in found) or "none"
            raise NotFound(f"Expected one key called {which!r} that isn't revoked, got {numbers}.")
        (key,) = found
        services.revoke_api_key(key=key, by=services.Actor.of_command("revoke_api_key"))
        self.stdout.write(f"{key.name} ({key.prefix}...) is revoked.")
