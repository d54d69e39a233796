"""The console names every parameter of every policy where an application's are set."""

import pytest

from console.admin.forms.application_form import ApplicationForm
from selection.policies import POLICIES


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_form_offers_the_policy_and_lists_what_it_takes(name: str) -> None:
    form = ApplicationForm()
    offered = dict(form.fields["policy"].choices)
    assert offered[name] == f"{name}: {POLICIES[name].summary}"
    for p in POLICIES[name].parameters:
        assert f"{name} {p.default:g}" in str(form.fields[f"param_{p.name}"].help_text)
