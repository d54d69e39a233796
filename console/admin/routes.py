"""Routes: which models an application asks."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from console.access import actor
from console.admin.decorators import TabularInline
from core.errors import Forbidden
from registry.models import Application, ModelVersion, Route
from registry.services.actor import check_may_pin


def _form_for(request: HttpRequest) -> type[forms.ModelForm[Route]]:
    """Return the form for whoever asks: a pin may have code run, which not everybody may."""

    class RouteForm(forms.ModelForm[Route]):
        def clean_pinned_version(self) -> ModelVersion | None:
            version: ModelVersion | None = self.cleaned_data["pinned_version"]
            if version is not None:
                try:
                    check_may_pin(version, by=actor(request))
                except Forbidden as error:
                    raise ValidationError(error.message, code=error.code) from error
            return version

    return RouteForm


class RouteInline(TabularInline[Route, Application]):
    """The arms of an application, on the application's own page."""

    model = Route
    extra = 0
    hide_title = True
    autocomplete_fields = ("model", "pinned_version")
    fields = ("model", "pinned_version", "role", "weight")
    verbose_name_plural = "routes: the models this application asks"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        return super().get_queryset(request).select_related("model", "pinned_version__model")

    def get_formset(
        self, request: HttpRequest, obj: Application | None = None, **kwargs: Any
    ) -> Any:
        return super().get_formset(request, obj, form=_form_for(request), **kwargs)
