"""Feedback in the console: what was said about which prediction, to read only."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.admin.base import (
    NOTHING,
    ReadOnlyAdmin,
    code,
    column,
    link_to,
    shortened,
    time_column,
)
from console.words.formats import listed
from selection.models import Feedback


def _label(feedback: Feedback) -> SafeString | str:
    if feedback.label:
        return code(shortened(feedback.label, at=60))
    return f"reward {feedback.reward:g}"


def _right(feedback: Feedback) -> str:
    losses = [arm["loss"] for arm in feedback.arms if arm.get("loss") is not None]
    return f"{sum(loss < 0.5 for loss in losses)} of {len(losses)}" if losses else NOTHING


def _answers(feedback: Feedback) -> SafeString:
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (_cells(arm) for arm in feedback.arms),
    )
    return format_html(
        '<table class="clp-facts-table"><thead><tr><th>version</th><th>answered</th>'
        "<th>loss</th><th>of it for</th><th>chance</th></tr></thead><tbody>{}</tbody></table>",
        rows,
    )


def _cells(arm: Mapping[str, Any]) -> tuple[str, SafeString | str, str, str, str]:
    output, loss, chance = arm.get("output"), arm.get("loss"), arm.get("propensity")
    return (
        str(arm.get("arm", NOTHING)),
        "nothing in time" if output is None else code(shortened(str(output), at=60)),
        NOTHING if loss is None else f"{loss:.2f}",
        listed(*(f"{what} {arm[what]:.2f}" for what in ("lateness", "cost") if arm.get(what)))
        or NOTHING,
        NOTHING if chance is None else f"{chance:.0%}",
    )


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin[Feedback]):
    list_display = ("given", "app", "context_name", "kind_badge", "right", "moved", "received")
    list_filter = ("application", "kind", "forced", "held_out", "defaulted")
    list_select_related = ("application",)
    search_fields = ("=nonce", "context", "key", "label")
    date_hierarchy = "received_at"
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {"fields": (("app", "context_name", "key"), ("given", "moved"), "answers", "beside")},
        ),
        ("Record", {"fields": (("received", "issued"), ("kind", "nonce"))}),
    )
    given = column("feedback", _label)
    app = column("application", lambda row: link_to(row.application), ordering="application__name")
    context_name = column("context", lambda row: row.context or "for everyone", ordering="context")
    kind_badge = column(
        "about",
        lambda row: (row.kind, row.get_kind_display()),
        ordering="kind",
        label={"receipt": "info", "input": "primary"},
    )
    right = column("versions right", _right)
    moved = column("moved the weights", lambda row: not row.forced, boolean=True)
    received = time_column("received", "received_at")
    issued = time_column("predicted", "issued_at")
    beside = column(
        "metrics",
        lambda row: listed(*(f"{name} {number:g}" for name, number in row.metrics.items())),
    )
    answers = column("what the versions answered", _answers)
