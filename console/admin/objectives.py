"""Service level objectives: how fast, how often, over how long."""

from typing import Any

from django.http import HttpRequest

from console.admin.decorators import StackedInline
from registry.models import Application, ServiceLevelObjective


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
