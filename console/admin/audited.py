"""Pages whose own form writes the rows: what it changes is recorded in the same transaction."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse

from console.access import actor
from console.admin.base import history_of
from registry.services import audited, record_created


class AuditedForm(ModelAdmin[Any]):
    """Records what adding and changing a row does to it and to what is related to it."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id)) if object_id else None
        if row is None or request.method != "POST":
            shown = {"events": history_of(request, self.model, pk=object_id)}
            return super().changeform_view(
                request, object_id, form_url, shown | (extra_context or {})
            )
        with audited(row, by=actor(request), reason=request.POST.get("reason", "")[:500]):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        # Called when the row is saved with all that is related to it, before the commit.
        record_created(obj, by=actor(request))
        return super().log_addition(request, obj, message)
