"""Service level objectives: how fast, how often, over how long."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from console.access import actor
from console.admin.base import ConsoleAdmin, link_to
from console.admin.decorators import StackedInline, display
from registry.models import Application, ServiceLevelObjective
from registry.services import audited


class ObjectiveInline(StackedInline[ServiceLevelObjective, Application]):
    """The one objective of an application, on the application's own page."""

    model = ServiceLevelObjective
    can_delete = False
    min_num = max_num = 1
    extra = 0
    hide_title = True
    fields = ("latency_ms", ("target", "window"))
    verbose_name_plural = "service level objective"

    def has_add_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        # Whoever may add an application states its objective: there is none without.
        return obj is None or super().has_add_permission(request, obj)

    def get_formset(
        self, request: HttpRequest, obj: Application | None = None, **kwargs: Any
    ) -> Any:
        return super().get_formset(request, obj, **{"validate_min": True, **kwargs})


@admin.register(ServiceLevelObjective)
class ObjectiveAdmin(ConsoleAdmin[ServiceLevelObjective]):
    list_display = ("application_name", "latency", "share", "window")
    list_select_related = ("application",)
    list_filter = ("window",)
    search_fields = ("application__name",)
    autocomplete_fields = ("application",)
    fields = ("application", "latency_ms", ("target", "window"))

    def get_readonly_fields(
        self, request: HttpRequest, obj: ServiceLevelObjective | None = None
    ) -> tuple[str, ...]:
        return ("application",) if obj else ()

    def save_model(
        self, request: HttpRequest, obj: ServiceLevelObjective, form: Any, change: bool
    ) -> None:
        with audited(obj.application, by=actor(request)):
            super().save_model(request, obj, form, change)

    def has_add_permission(self, request: HttpRequest) -> bool:
        # It comes with its application.
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: ServiceLevelObjective | None = None
    ) -> bool:
        # It goes with its application, which is nothing without one.
        return False

    @display(description="application", ordering="application__name")
    def application_name(self, objective: ServiceLevelObjective) -> SafeString | str:
        return link_to(objective, text=objective.application.name)

    @display(description="answered within", ordering="latency_ms")
    def latency(self, objective: ServiceLevelObjective) -> str:
        return f"{objective.latency_ms:g} ms"

    @display(description="for", ordering="target")
    def share(self, objective: ServiceLevelObjective) -> str:
        return f"{objective.target * 100:g} % of queries"
