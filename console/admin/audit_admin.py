"""The audit trail, to read only."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.admin.base import NOTHING, ReadOnlyAdmin, shortened, when
from console.admin.decorators import display
from registry.models import AuditEntry

LONGEST = 300
# A new application has twenty fields: the list shows some of them, its own page all.
LONGEST_IN_LIST = 40
LINES_IN_LIST = 4


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("what", "who", "in_short", "reason", "origin", "moment")
    list_filter = ("kind", "action", "channel", "at")
    search_fields = ("name", "by", "key_prefix", "address", "reason")
    date_hierarchy = "at"
    show_full_result_count = False
    fields = (
        ("change", "moment"),
        ("who", "key_prefix"),
        ("channel", "address"),
        "old_and_new",
        "reason",
    )

    @display(description="change", header=True)
    def what(self, entry: AuditEntry) -> list[str]:
        return [entry.name, f"{entry.get_action_display()} {entry.kind}"]

    @display(description="change")
    def change(self, entry: AuditEntry) -> str:
        return str(entry)

    @display(description="by", ordering="by")
    def who(self, entry: AuditEntry) -> str:
        return entry.by

    @display(description="from")
    def origin(self, entry: AuditEntry) -> str:
        return ", ".join(
            part for part in (entry.get_channel_display(), entry.address, entry.key_prefix) if part
        )

    @display(description="at", ordering="at")
    def moment(self, entry: AuditEntry) -> SafeString | str:
        return when(entry.at)

    @display(description="old → new")
    def old_and_new(self, entry: AuditEntry) -> SafeString | str:
        return _listed(_lines(entry, at=LONGEST))

    @display(description="old → new")
    def in_short(self, entry: AuditEntry) -> SafeString | str:
        lines = _lines(entry, at=LONGEST_IN_LIST)
        if (more := len(lines) - LINES_IN_LIST) > 1:
            lines[LINES_IN_LIST:] = [f"and {more} more"]
        return _listed(lines)

    def has_view_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return request.user.has_perm("registry.view_auditentry")


def _listed(lines: list[str]) -> SafeString | str:
    inner = format_html_join("", "<div>{}</div>", ((line,) for line in lines))
    return format_html('<div class="clp-lines">{}</div>', inner) if lines else NOTHING


def _lines(entry: AuditEntry, *, at: int) -> list[str]:
    """Return the changes, a line each; of a row that is new or gone only its values."""
    if entry.action in (AuditEntry.Action.CREATE, AuditEntry.Action.DELETE):
        side = 1 if entry.action == AuditEntry.Action.CREATE else 0
        return [f"{name}: {_shown(change[side], at=at)}" for name, change in entry.changes.items()]
    return [
        f"{name}: {_shown(old, at=at)} → {_shown(new, at=at)}"
        for name, (old, new) in entry.changes.items()
    ]


def _shown(value: object, *, at: int) -> str:
    """A text as it is, everything else as the API has it."""
    if value in (None, "", []):
        return NOTHING
    return shortened(value if isinstance(value, str) else json.dumps(value), at=at)
