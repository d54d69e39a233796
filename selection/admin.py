"""Django looks here: feedback's own pages, and the policies that an application can choose."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from unfold.widgets import UnfoldAdminSelectWidget

from registry.admin.applications import ApplicationForm
from registry.models import Application
from selection.feedback.admin import FeedbackAdmin
from selection.policies import POLICIES

__all__ = ["FeedbackAdmin", "PolicyApplicationForm"]


def _parameters_help() -> str:
    taken = (
        f"{name}: " + ", ".join(f"{p.name} ({p.default:g}, {p.meaning})" for p in policy.parameters)
        for name, policy in POLICIES.items()
        if policy.parameters
    )
    return 'JSON such as {"eta": 0.1}; empty for the defaults. ' + "; ".join(taken) + "."


class PolicyApplicationForm(ApplicationForm):
    """An application's form that offers the policies there are and explains their parameters."""

    policy = forms.ChoiceField(
        choices=[(name, f"{name}: {policy.summary}") for name, policy in POLICIES.items()],
        initial="static",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "policy_params" in self.fields:
            self.fields["policy_params"].help_text = _parameters_help()


admin.site.get_model_admin(Application).form = PolicyApplicationForm
