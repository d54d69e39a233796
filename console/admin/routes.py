"""Routes: which models an application asks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from console.access import actor
from console.admin.base import ConsoleAdmin, link_to
from console.admin.decorators import TabularInline, display
from core.errors import Forbidden
from registry.models import Application, ModelVersion, Route
from registry.services import arms_agreeing, audited
from registry.services.code import check_may_pin
from registry.services.rows import locked


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


@admin.register(Route)
class RouteAdmin(ConsoleAdmin[Route]):
    list_display = ("route", "application_name", "model_name", "serves", "weight")
    list_display_links = ("route",)
    list_select_related = ("application", "model__live_version__model", "pinned_version__model")
    list_filter = ("application", "model", "role")
    search_fields = ("application__name", "model__name")
    autocomplete_fields = ("application", "model", "pinned_version")
    fields = (("application", "model"), "pinned_version", ("role", "weight"))

    def get_readonly_fields(self, request: HttpRequest, obj: Route | None = None) -> Any:
        return ("application",) if obj else ()

    def get_form(
        self, request: HttpRequest, obj: Route | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Route]]:
        # Django asks for the field names through this too, with a form of its own.
        return super().get_form(request, obj, change, **{"form": _form_for(request), **kwargs})

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        with (
            audited(obj.application, by=actor(request)),
            arms_agreeing(obj.application),
        ):
            if change:
                locked(obj)  # saving one that is gone would bring it back
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Route) -> None:
        with audited(obj.application, by=actor(request)):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Route]) -> None:
        with transaction.atomic():
            for route in queryset.order_by("application", "pk"):
                self.delete_model(request, route)

    @display(description="route")
    def route(self, route: Route) -> str:
        return str(route)

    @display(description="application", ordering="application__name")
    def application_name(self, route: Route) -> SafeString | str:
        return link_to(route.application)

    @display(description="model", ordering="model__name")
    def model_name(self, route: Route) -> SafeString | str:
        return link_to(route.model)

    @display(
        description="serves", label={"pinned": "warning", "live": "success", "not deployed": ""}
    )
    def serves(self, route: Route) -> Any:
        if route.pinned_version:
            return ("pinned", f"pinned to {route.pinned_version.version}")
        live = route.model.live_version
        return ("live", f"live: {live.version}") if live else ("not deployed", "not deployed")
