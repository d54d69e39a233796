"""The form of an application: it offers the policies and ways to combine that there are."""

import json
from typing import Any

from django import forms
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


PARAMETER = "param_"
# By name: the policies that take it, each with its own default, limits and meaning.
PARAMETERS: dict[str, dict[str, Parameter]] = {}
for _name, _policy in POLICIES.items():
    for _each in _policy.parameters:
        PARAMETERS.setdefault(_each.name, {})[_name] = _each


def _parameter_field(name: str) -> forms.FloatField:
    """Return the field of one parameter, empty for its default."""
    uses = PARAMETERS[name]
    meanings = ", or ".join(dict.fromkeys(each.meaning.rstrip(".") for each in uses.values()))
    defaults = ", ".join(f"{policy} {each.default:g}" for policy, each in uses.items())
    first = next(iter(uses.values()))
    limits = f"{first.low:g} to {first.high:g}"
    return forms.FloatField(
        label=name.capitalize(),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
        help_text=f"{meanings[:1].upper()}{meanings[1:]}. {limits}; if empty: {defaults}.",
    )


_ParameterFields = type(
    "_ParameterFields",
    (forms.ModelForm,),
    {PARAMETER + name: _parameter_field(name) for name in PARAMETERS},
)


def _combines() -> list[tuple[str, str]]:
    ours = dict(Combine.choices)
    return [(name, f"{name}: {ours.get(name, 'from an installed package')}") for name in METHODS]


def _policies() -> list[tuple[str, str]]:
    return [(name, f"{name}: {policy.summary}") for name, policy in POLICIES.items()]


class ApplicationForm(_ParameterFields):  # type: ignore[valid-type,misc]  # made from POLICIES
    """The fields of an application, with the policies there are and what each takes."""

    policy = forms.ChoiceField(
        choices=_policies,
        initial="static",
        widget=UnfoldAdminSelectWidget,
    )
    # Not shown: a field for each parameter takes its place.
    policy_params = forms.JSONField(required=False, decoder=ShallowDecoder)
    combine = forms.ChoiceField(
        choices=_combines,
        initial=Combine.VOTE,
        widget=UnfoldAdminSelectWidget,
        help_text=Application._meta.get_field("combine").help_text,
    )

    class Meta:
        model = Application
        fields = "__all__"
        widgets = {
            "default_output": UnfoldAdminTextInputWidget(attrs={"placeholder": "-1"}),
            "loss_expression": UnfoldAdminTextInputWidget(
                attrs={"placeholder": "abs(label - output) / 10"}
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.instance.policy_params.items():
            self.initial.setdefault(PARAMETER + name, value)

    def clean(self) -> Any:
        cleaned = super().clean()
        params = cleaned.get("policy_params") or {}
        for name, uses in PARAMETERS.items():
            value, each = cleaned.get(PARAMETER + name), uses.get(cleaned.get("policy", ""))
            if each is not None and value is not None:
                params[name] = int(value) if each.whole and value == int(value) else value
        self.instance.policy_params = cleaned["policy_params"] = params
        return cleaned
