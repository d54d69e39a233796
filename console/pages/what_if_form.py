"""The form of a what-if: another policy to compare, and which feedback to look at."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from core.decoding import decoded
from core.errors import BadRequest
from core.specs import ApplicationSpec
from selection.context_names import fault_of
from selection.evaluation.what_if.feedback_span import MOST_ROWS, USUAL_ROWS, Span
from selection.evaluation.what_if.targets import WhatIfTarget, policy_target
from selection.policies import POLICIES

QUERIES, INPUTS = "queries", "inputs"
PERIODS = {
    "": ("all there is", None),
    "1h": ("the last hour", timedelta(hours=1)),
    "1d": ("the last day", timedelta(days=1)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
}
AN_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _policies() -> list[tuple[str, str]]:
    return [("", "none"), *((name, f"{name}: {p.summary}") for name, p in POLICIES.items())]


def _widget(kind: type[forms.Widget], name: str, **attrs: str) -> forms.Widget:
    return kind(attrs={"data-testid": name, **attrs})


class WhatIfForm(forms.Form):
    """Everything may be left as it is."""

    policy = forms.ChoiceField(
        required=False,
        choices=_policies,
        widget=_widget(UnfoldAdminSelectWidget, "policy"),
    )
    params = forms.CharField(
        required=False,
        max_length=1000,
        widget=_widget(UnfoldAdminTextInputWidget, "params", placeholder='{"eta": 0.1}'),
    )
    kind = forms.ChoiceField(
        required=False,
        choices=[(QUERIES, "queries"), (INPUTS, "labelled inputs")],
        widget=_widget(UnfoldAdminSelectWidget, "kind"),
    )
    # The page has a `period` of its own, for how things stand.
    feedback_of = forms.ChoiceField(
        required=False,
        choices=[(key, words) for key, (words, _) in PERIODS.items()],
        widget=_widget(UnfoldAdminSelectWidget, "period"),
    )
    context = forms.CharField(
        required=False,
        strip=False,
        widget=_widget(UnfoldAdminTextInputWidget, "context", placeholder="all contexts"),
    )
    rows = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_ROWS,
        widget=_widget(UnfoldAdminIntegerFieldWidget, "rows", placeholder=f"{USUAL_ROWS}"),
    )

    def __init__(self, *args: Any, application: ApplicationSpec, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = application

    @property
    def is_usual(self) -> bool:
        """Return whether nothing was chosen: all feedback, and what is shown anyway."""
        return not any(self.data.get(name) for name in self.fields)

    def clean_context(self) -> str | None:
        context: str = self.cleaned_data["context"]
        if (fault := fault_of(context)) is not None:
            raise forms.ValidationError(fault)
        return context or None

    def clean_params(self) -> dict[str, Any] | None:
        text: str = self.cleaned_data["params"].strip()
        if not text:
            return None
        try:
            return decoded(AN_OBJECT, text.encode())
        except BadRequest as error:
            raise forms.ValidationError(
                f'Expected JSON such as {{"eta": 0.1}}. {error.message}'
            ) from error

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        cleaned["target"] = None
        if cleaned.get("policy") and "params" in cleaned:
            try:
                cleaned["target"] = policy_target(
                    self._application,
                    policy=cleaned["policy"],
                    params=cleaned["params"],
                )
            except BadRequest as error:
                self.add_error("params", error.message)
        return cleaned

    def target(self) -> WhatIfTarget | None:
        """Return the policy that was chosen, if one was. The form must be valid."""
        target: WhatIfTarget | None = self.cleaned_data["target"]
        return target

    def span(self, *, now: datetime) -> Span:
        """Return which feedback was chosen. The form must be valid."""
        chosen = self.cleaned_data
        length = PERIODS[chosen["feedback_of"]][1]
        return Span(
            rows=chosen["rows"] or USUAL_ROWS,
            context=chosen["context"],
            since=None if length is None else now - length,
            inputs=chosen["kind"] == INPUTS,
        )
