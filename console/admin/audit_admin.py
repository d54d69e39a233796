"""The audit trail, to read only."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.admin.base import NOTHING, ReadOnlyAdmin, column, shortened, time_column
from registry.models import AuditEntry


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


def _in_short(entry: AuditEntry) -> SafeString | str:
    """Return a few lines: a new application has twenty fields, and its own page has all."""
    lines = _lines(entry, at=40)
    if len(lines) > 5:
        lines[4:] = [f"and {len(lines) - 4} more"]
    return _listed(lines)


def _origin(entry: AuditEntry) -> str:
    return ", ".join(filter(None, (entry.get_channel_display(), entry.address, entry.key_prefix)))


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
    what = column(
        "change", lambda row: [row.name, f"{row.get_action_display()} {row.kind}"], header=True
    )
    change = column("change", str)
    who = column("by", lambda row: row.by, ordering="by")
    origin = column("from", _origin)
    moment = time_column("at", "at")
    old_and_new = column("old → new", lambda row: _listed(_lines(row, at=300)))
    in_short = column("old → new", _in_short)

    def has_view_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return request.user.has_perm("registry.view_auditentry")
