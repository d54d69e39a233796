"""The hub's last tab: all that can be set of an application."""

from typing import Any

from django.contrib import admin
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, QueryDict

from console.access import CHANGE, VIEW, application_for, frame, may
from registry.models import Application


def settings(request: HttpRequest, name: str) -> HttpResponse:
    """Show the form, or for `?policy=` the review of it filled in; a POST is reviewed, too."""
    application = application_for(request, name, VIEW)
    form = admin.site.get_model_admin(Application)
    context = frame(request, application, title=f"{application}: settings")
    answer = form.changeform_view(request, str(application.pk), extra_context=context)
    if request.method == "GET" and "policy" in request.GET and may(request, CHANGE):
        page = getattr(answer, "context_data", {})
        # Nothing is saved of it before somebody has confirmed it in a request of their own.
        request.POST = _proposed(page, wanted=request.GET)  # type: ignore[assignment]  # as read
        request.method = "POST"
        answer = form.changeform_view(request, str(application.pk), extra_context=context)
    return answer


def _proposed(page: dict[str, Any], *, wanted: QueryDict) -> QueryDict:
    """Return what the page would send, with a policy, its parameters, and `only` one version."""
    sent = QueryDict(mutable=True)
    only = wanted.get("only", "").partition(":")[0]
    _fill(sent, page["adminform"].form)
    for inline in page["inline_admin_formsets"]:
        _fill(sent, inline.formset.management_form)
        for form in inline.formset.initial_forms:
            _fill(sent, form)
            if only and inline.formset.prefix == "routes":
                sent[form.add_prefix("weight")] = str(float(form.instance.model.name == only))
    sent["revision"] = str(page["original"].revision)
    sent["policy"] = wanted.get("policy", "")
    for name in page["adminform"].form.fields:
        if name.startswith("param_"):
            sent[name] = wanted.get(name.removeprefix("param_"), "")
    return sent


def _fill(sent: QueryDict, form: BaseForm) -> None:
    for field in form:
        value = field.value()
        if value is not None and value is not False and field.name != "policy_params":
            sent[field.html_name] = "on" if value is True else str(value)
