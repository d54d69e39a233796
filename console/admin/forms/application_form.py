"""The form of an application: it offers the policies and ways to combine that there are."""

import json
from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from registry.models import Application
from registry.models.application import Combine
from selection.answers.combine import METHODS
from selection.policies import POLICIES, Parameter


class ShallowDecoder(json.JSONDecoder):
    """For what people type: too many brackets are a mistake of theirs, not a failure of ours."""

    def decode(self, text: str, *args: Any) -> Any:
        try:
            return super().decode(text, *args)
        except RecursionError as error:
            raise json.JSONDecodeError("Nested too deeply", text, 0) from error


def _parameters_help() -> SafeString:
    """List what each policy takes, folded away until somebody wants to know."""
    return format_html(
        'JSON such as {{"eta": 0.1}}; empty for the defaults.'
        '<details data-testid="parameters" class="mt-2">'
        '<summary class="cursor-pointer text-primary-600 dark:text-primary-500">'
        "What each policy takes</summary>{}</details>",
        format_html_join(
            "",
            '<dl class="mt-2"><dt class="font-semibold">{}</dt>{}</dl>',
            (
                (name, format_html_join("", "<dd>{}</dd>", map(_parameter, policy.parameters)))
                for name, policy in POLICIES.items()
                if policy.parameters
            ),
        ),
    )


def _parameter(each: Parameter) -> tuple[str]:
    limits = f"{each.default:g} ({each.low:g} to {each.high:g})"
    return (f"{each.name} = {limits}: {each.meaning}",)


def _combines() -> list[tuple[str, str]]:
    ours = dict(Combine.choices)
    return [(name, f"{name}: {ours.get(name, 'from an installed package')}") for name in METHODS]


def _policies() -> list[tuple[str, str]]:
    return [(name, f"{name}: {policy.summary}") for name, policy in POLICIES.items()]


class ApplicationForm(forms.ModelForm[Application]):
    """The fields of an application, with the policies there are and what each takes."""

    policy = forms.ChoiceField(
        choices=_policies,
        initial="static",
        widget=UnfoldAdminSelectWidget,
    )
    combine = forms.ChoiceField(
        choices=_combines,
        initial=Combine.VOTE,
        widget=UnfoldAdminSelectWidget,
        help_text=Application._meta.get_field("combine").help_text,
    )

    class Meta:
        model = Application
        fields = "__all__"  # noqa: DJ007  (the admin's fieldsets choose)
        labels = {"policy_params": "Policy parameters"}
        widgets = {
            "default_output": UnfoldAdminTextInputWidget(attrs={"placeholder": "-1"}),
            "loss_expression": UnfoldAdminTextInputWidget(
                attrs={"placeholder": "abs(label - output) / 10"}
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "policy_params" in self.fields:
            self.fields["policy_params"].help_text = _parameters_help()

    def clean_policy_params(self) -> Any:
        return self.cleaned_data["policy_params"] or {}
