"""Django's `migrate`, which each start of the stack runs, without loading pages and URLs."""

from typing import Any

from django.core.checks import Tags
from django.core.management.commands import migrate

from clipper_site.checks import OF_SETTINGS

# What a migration may stumble over. The rest takes longer to check than the migrations themselves.
CHECKED = (OF_SETTINGS, Tags.models, Tags.database)


class Command(migrate.Command):
    def check(self, *args: Any, **options: Any) -> None:
        super().check(*args, **{"tags": CHECKED, **options})
