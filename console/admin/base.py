"""The base of the console's lists and forms: errors become messages, times are in words."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from console.templatetags.console import since
from console.words.events import Event, events_of
from core.errors import ClipperError, Conflict, NotFound
from registry.api.views.timeline_view import entries_for
from registry.api.visibility import bound_to
from registry.models import Model
from registry.security.grants import within
from registry.services.audit_trail import changes_since

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
else:  # the theme's, which carry no types
    from unfold.admin import ModelAdmin, StackedInline, TabularInline

__all__ = ["ModelAdmin", "StackedInline", "TabularInline"]

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=models.Model)
Fieldsets = tuple[tuple[str | None, Any], ...]

NOTHING = "—"
MET = "Nothing is saved: somebody else changed what this is about at the same moment. Look again."


class WithinReach:
    """Shows and offers only what the person sees, who may be bound to applications."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return within(super().get_queryset(request), own=bound_to(request))  # type: ignore[misc]  # the admin's

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]  # the admin's
        if field is not None:
            field.queryset = within(field.queryset, own=bound_to(request))
        return field


class FilterWithinReach(admin.RelatedFieldListFilter):
    """Offers the rows that the person sees to filter a list by."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        choices = super().field_choices(field, request, model_admin)
        if (own := bound_to(request)) is None:
            return choices
        rows = within(field.related_model._default_manager.all(), own=own)
        seen = set(rows.values_list("pk", flat=True))
        return [choice for choice in choices if choice[0] in seen]


admin.FieldListFilter.register(
    lambda field: bool(field.remote_field), FilterWithinReach, take_priority=True
)


class ConsoleAdmin(WithinReach, ModelAdmin[M]):
    """A page of the console. A ClipperError of a service is shown where it happened."""

    compressed_fields = True
    warn_unsaved_form = True
    list_filter_sheet = True
    # Rows that nobody may delete by themselves, but that go with their owner: verbose names.
    goes_along: ClassVar[frozenset[str]] = frozenset()
    list_per_page = 50
    change_form_before_template = "console/revision.html"
    change_form_after_template = "console/history.html"
    empty_value_display = NOTHING
    # The page that has the rows, if it isn't Django's list.
    listed_at: ClassVar[Any] = ""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self.listed_at:
            return redirect(self.listed_at)
        named: dict[str, Any] = {"title": str(self.opts.verbose_name_plural).capitalize()}
        return self._answered(request, super().changelist_view, named | (extra_context or {}))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        context |= {"title": str(row or f"New {self.opts.verbose_name}"), "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        view = super().changeform_view
        one: dict[str, Any] = {"show_save_and_continue": False, "show_save_and_add_another": False}
        one |= {"events": history_of(request, self.model, pk=object_id)}
        return self._answered(request, view, object_id, form_url, one | (extra_context or {}))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._answered(request, super().delete_view, object_id, extra_context)

    def _answered(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *arguments: Any
    ) -> HttpResponse:
        try:
            return view(request, *arguments)
        except ClipperError as error:
            return self.refuse(request, error)
        except IntegrityError as error:
            # The form was valid when it was looked at.
            logger.warning("nothing saved at %s: %s", request.path, error)
            return self.refuse(request, Conflict(MET))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        try:
            rows, counts, missing, protected = super().get_deleted_objects(objs, request)
        except ObjectDoesNotExist as error:
            raise NotFound("Some of that was just deleted by somebody else.") from error
        return _few(rows), counts, set(missing) - self.goes_along, protected

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[M]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[M]]:
        form = super().get_form(request, obj, change, **kwargs)
        seen = request.POST.get("revision", "")
        if obj is None or not (seen.isascii() and seen.isdigit()) or not hasattr(obj, "revision"):
            return form
        guarded: type[forms.ModelForm[M]] = _unless_changed(form, row=obj, seen=int(seen[:18]))
        return guarded

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, forms.Textarea):
            field.widget.attrs["rows"] = 3
        return field

    def response_post_save_add(self, request: HttpRequest, obj: M) -> HttpResponseRedirect:
        return HttpResponseRedirect(page_of(obj))

    def permits(self, request: HttpRequest, permission: str, *, pk: str | None) -> bool:
        """Say whether the person has a permission, for the row with this key if there is one."""
        if bound_to(request) is None or pk is None:
            return request.user.has_perm(permission)
        row = self.get_queryset(request).filter(pk=pk).first() if pk.isdecimal() else None
        return row is not None and request.user.has_perm(permission, row)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        name = f"{self.opts.app_label}.change_{self.opts.model_name}"
        return super().has_change_permission(request, obj) and request.user.has_perm(name, obj)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        name = f"{self.opts.app_label}.delete_{self.opts.model_name}"
        return super().has_delete_permission(request, obj) and request.user.has_perm(name, obj)

    def refuse(
        self, request: HttpRequest, error: ClipperError, *, back_to: str = ""
    ) -> HttpResponse:
        """Say what was wrong and go back."""
        messages.error(request, error.message)
        return HttpResponseRedirect(back_to or request.get_full_path())

    def page(self, request: HttpRequest, template: str, *, row: M, **context: Any) -> HttpResponse:
        """Answer with a page about `row` that looks like one of the admin's own."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**frame, "original": row, **context})


def history_of(request: HttpRequest, model: type[models.Model], *, pk: str | None) -> list[Event]:
    """Return the newest events about a row, of a model those of its versions too."""
    may = request.user.has_perm("registry.view_auditentry")
    if not (may and pk and pk.isascii() and pk.isdecimal() and len(pk) < 19):
        return []
    rows = entries_for(request)
    if model is Model:
        return events_of(rows=rows.touching(applications=(), models=[int(pk)]), limit=10)
    kind = str(model._meta.verbose_name)
    return events_of(rows=rows.filter(kind=kind, object_id=int(pk)), limit=10)


class ReadOnlyAdmin(ConsoleAdmin[M]):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def _unless_changed(form: Any, *, row: Any, seen: int) -> Any:
    """Return the form, which refuses where the row has changed since the page was opened."""

    class Unchanged(form):  # type: ignore[misc]  # the admin makes its forms' classes as it goes
        def clean(self) -> Any:
            if row.revision != seen:
                raise forms.ValidationError(
                    f"Nothing is saved: since you opened this page, {row} has changed. "
                    f"{changes_since(row, seen)}. Save again to have it as this form says."
                )
            return super().clean()

    return Unchanged


def with_the_rest(groups: Fieldsets, *, columns: Iterable[str]) -> Fieldsets:
    """The groups, and one more for columns that none of them shows, so that none is forgotten."""
    shown = set(flatten_fieldsets(groups))
    rest = tuple(column for column in columns if column not in shown)
    return (*groups, ("More", {"fields": rest})) if rest else groups


def row_or_404(rows: models.QuerySet[M], *, pk: str) -> M:
    """Return the row of a page; a text that can't be a key names none."""
    try:
        return get_object_or_404(rows, pk=pk)
    except ValueError as error:
        raise Http404(f"Expected a number, got {pk}.") from error


def page_of(row: models.Model) -> str:
    """Return the URL of a row's page in the console."""
    return page_at(type(row), pk=row.pk)


def page_at(model: type[models.Model], *, pk: object) -> str:
    """Return the URL of the page of the row with this key, without reading the row."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def _few(rows: list[Any], *, most: int = 20) -> list[Any]:
    """Return rows, and lists of rows that go with them, of each list only the first ones."""
    shown = [_few(row) if isinstance(row, list) else row for row in rows[:most]]
    return [*shown, f"and {len(rows) - most:,} more"] if len(rows) > most else shown


def column(title: str, value: Callable[[Any], Any], **options: Any) -> Any:
    """Return a column of a list or a page; its options are those of the theme's `display`."""

    @display(description=title, **options)
    def shown(page: object, row: Any) -> Any:
        return value(row)

    return shown


def time_column(title: str, field: str) -> Any:
    return column(title, lambda row: when(getattr(row, field)), ordering=field)


def link_to(row: models.Model | None, *, text: str = "") -> SafeString | str:
    if row is None:
        return NOTHING
    return format_html('<a class="clp-link" href="{}">{}</a>', page_of(row), text or row)


def when(moment: datetime | None) -> SafeString | str:
    """Tell a time in words; the exact one shows on hover."""
    return since(moment) or NOTHING


def shortened(text: str, *, at: int = 90) -> str:
    """Return the start of a text, at most `at` characters of it, for a line of a list."""
    return Truncator(text).chars(at)


def code(text: str) -> SafeString:
    return format_html('<code class="clp-code">{}</code>', text)
