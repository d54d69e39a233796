"""The audit trail, to read only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from registry.admin.base import NOTHING, ReadOnlyAdmin, shortened, when
from registry.admin.theme import display
from registry.models import AuditEntry

LONGEST = 300


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("what", "who", "old_and_new", "reason", "origin", "moment")
    list_filter = ("kind", "action", "channel", "at")
    search_fields = ("name", "by", "key_prefix", "address", "reason")
    date_hierarchy = "at"
    show_full_result_count = False
    fields = (
        ("what", "moment"),
        ("who", "key_prefix"),
        ("channel", "address"),
        "old_and_new",
        "reason",
    )

    @display(description="change", header=True)
    def what(self, entry: AuditEntry) -> list[str]:
        return [entry.name, f"{entry.get_action_display()} {entry.kind}"]

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
        lines = (
            (name, _shown(change[0]), _shown(change[1])) for name, change in entry.changes.items()
        )
        return format_html_join("", "<div>{}: {} → {}</div>", lines) or NOTHING

    def has_view_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return request.user.has_perm("registry.view_auditentry")


def _shown(value: object) -> str:
    return NOTHING if value in (None, "", []) else shortened(str(value), at=LONGEST)
