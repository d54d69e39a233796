"""The admin theme's classes and decorators, with the types that it doesn't declare itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from unfold import decorators
from unfold.enums import ActionVariant

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
else:
    from unfold import admin as unfold

    class _Subscriptable:
        """Lets `ModelAdmin[Application]` name the model for the type checker."""

        def __class_getitem__(cls, item: object) -> type:
            return cls

    class ModelAdmin(_Subscriptable, unfold.ModelAdmin):
        pass

    class StackedInline(_Subscriptable, unfold.StackedInline):
        pass

    class TabularInline(_Subscriptable, unfold.TabularInline):
        pass


__all__ = ["ActionVariant", "ModelAdmin", "StackedInline", "TabularInline", "action", "display"]

F = TypeVar("F", bound=Callable[..., Any])


def action(
    *,
    description: str,
    url_path: str,
    icon: str,
    permissions: Sequence[str] = (),
    variant: ActionVariant = ActionVariant.DEFAULT,
    attrs: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Declare a button of a list, a row or a page; `permissions` name `has_…_permission`s."""
    decorator = decorators.action(
        description=description,
        url_path=url_path,
        icon=icon,
        permissions=permissions or None,
        variant=variant,
        attrs=dict(attrs or {}),
    )
    return cast(Callable[[F], F], decorator)


def display(
    *,
    description: str,
    ordering: str | None = None,
    label: bool | Mapping[str, str] | None = None,
    header: bool | None = None,
    boolean: bool | None = None,
) -> Callable[[F], F]:
    """Declare a column; `label` draws a badge, coloured by value where it is a mapping."""
    decorator = decorators.display(
        description=description, ordering=ordering, label=label, header=header, boolean=boolean
    )
    return cast(Callable[[F], F], decorator)
