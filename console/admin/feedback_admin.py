"""Feedback in the console: what was said about which prediction, to read only."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.admin.base import NOTHING, ReadOnlyAdmin, code, link_to, shortened, when
from console.admin.decorators import display
from console.words.formats import listed
from selection.models import Feedback

SHOWN_CHARACTERS = 60


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin[Feedback]):
    list_display = ("told", "app", "context_name", "kind_badge", "right", "moved", "received")
    list_filter = ("application", "kind", "forced")
    list_select_related = ("application",)
    search_fields = ("=nonce", "context", "key", "label")
    date_hierarchy = "received_at"
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {"fields": (("app", "context_name", "key"), ("told", "moved"), "answers", "beside")},
        ),
        ("Record", {"fields": (("received", "issued"), ("kind", "nonce"))}),
    )
    readonly_fields = (
        "app",
        "context_name",
        "key",
        "told",
        "moved",
        "answers",
        "beside",
        "received",
        "issued",
    )

    @display(description="feedback")
    def told(self, feedback: Feedback) -> SafeString | str:
        if feedback.label:
            return code(shortened(feedback.label, at=SHOWN_CHARACTERS))
        return f"reward {feedback.reward:g}"

    @display(description="application", ordering="application__name")
    def app(self, feedback: Feedback) -> SafeString | str:
        return link_to(feedback.application)

    @display(description="context", ordering="context")
    def context_name(self, feedback: Feedback) -> str:
        return feedback.context or "for everyone"

    @display(description="about", ordering="kind", label={"receipt": "info", "input": "primary"})
    def kind_badge(self, feedback: Feedback) -> tuple[str, str]:
        return feedback.kind, feedback.get_kind_display()

    @display(description="arms right")
    def right(self, feedback: Feedback) -> str:
        losses = [arm["loss"] for arm in feedback.arms if arm.get("loss") is not None]
        if not losses:
            return NOTHING
        return f"{sum(loss < 0.5 for loss in losses)} of {len(losses)}"

    @display(description="moved the weights", boolean=True)
    def moved(self, feedback: Feedback) -> bool:
        return not feedback.forced

    @display(description="received", ordering="received_at")
    def received(self, feedback: Feedback) -> SafeString | str:
        return when(feedback.received_at)

    @display(description="predicted")
    def issued(self, feedback: Feedback) -> SafeString | str:
        return when(feedback.issued_at)

    @display(description="metrics")
    def beside(self, feedback: Feedback) -> str:
        return listed(*(f"{name} {number:g}" for name, number in feedback.metrics.items()))

    @display(description="what the arms answered")
    def answers(self, feedback: Feedback) -> SafeString:
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (_cells(arm) for arm in feedback.arms),
        )
        return format_html(
            '<table class="clp-facts-table"><thead><tr><th>arm</th><th>answered</th>'
            "<th>loss</th><th>of it for</th><th>chance</th></tr></thead><tbody>{}</tbody></table>",
            rows,
        )


def _cells(arm: Mapping[str, Any]) -> tuple[str, SafeString | str, str, str, str]:
    output, loss, chance = arm.get("output"), arm.get("loss"), arm.get("propensity")
    return (
        str(arm.get("arm", NOTHING)),
        "nothing in time" if output is None else code(shortened(str(output), at=SHOWN_CHARACTERS)),
        NOTHING if loss is None else f"{loss:.2f}",
        listed(*(f"{what} {arm[what]:.2f}" for what in ("lateness", "cost") if arm.get(what)))
        or NOTHING,
        NOTHING if chance is None else f"{chance:.0%}",
    )
