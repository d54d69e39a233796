"""The hub's tab Releases, and the way to a model's roll back page by its name."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from console.access import VIEW, application_for, tab_of
from console.words.comparison import outcome_lines
from registry.api.visibility import applications_for, models_for
from registry.models import Release

SHOWN = 20


def releases(request: HttpRequest, name: str) -> HttpResponse:
    """Show the last releases of the models that an application asks."""
    application = application_for(request, name, VIEW, "registry.view_release")
    asked = Release.objects.filter(model__routes__application=application).distinct()
    rows = list(asked.with_versions()[:SHOWN])
    lines = outcome_lines(rows, applications=applications_for(request).filter(pk=application.pk))
    shown = [{"row": row, "outcome": line} for row, line in zip(rows, lines, strict=True)]
    return tab_of(
        request, application, "releases", title=f"{application}: releases", releases=shown
    )


def roll_back(request: HttpRequest, name: str) -> HttpResponse:
    """Go to the page that rolls back the model of this name."""
    return redirect(
        "admin:registry_model_roll_back", get_object_or_404(models_for(request), name=name).pk
    )
