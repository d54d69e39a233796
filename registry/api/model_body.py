"""Bodies that take the columns of a model: what each takes, and says of itself, is the column's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.functional import lazy
from rest_framework import serializers

from registry.api.fields import Body, Flag, Number, Object, Text, Whole
from registry.models.settable import help_of, values_of
from registry.models.validators import between

LONG_TEXT = 10_000

# The field that takes a column is that of the first kind which the column is.
Kinds = tuple[tuple[type[models.Field[Any, Any]], type[serializers.Field[Any, Any, Any, Any]]], ...]
JSON: Kinds = (
    (models.BooleanField, Flag),
    (models.FloatField, Number),
    (models.IntegerField, Whole),
    (models.JSONField, Object),
    (models.CharField, Text),
    (models.TextField, Text),
)
# Every value of a form is text; an empty number is one not given.
FORM: Kinds = (
    (models.BooleanField, serializers.BooleanField),
    (models.FloatField, serializers.FloatField),
    (models.IntegerField, serializers.IntegerField),
    *JSON,
)


class ModelBody(Body):
    """A body with a field for each column that its Meta lists, none of them required.

    A field declared here takes the place of the column of its name. `help_texts` are for columns of
    which a client has to hear something else than a person in front of a form.
    """

    kinds: ClassVar[Kinds] = JSON

    class Meta:
        model: type[models.Model]
        columns: tuple[str, ...]
        help_texts: Mapping[str, str]

    def get_fields(self) -> dict[str, Any]:
        declared = dict(super().get_fields())
        taken = {name: declared.pop(name, None) or self._taking(name) for name in self.Meta.columns}
        return taken | declared

    def _taking(self, name: str) -> Any:
        column: Any = self.Meta.model._meta.get_field(name)
        kind = next(kind for of, kind in self.kinds if isinstance(column, of))
        options: dict[str, Any] = {"help_text": self.Meta.help_texts.get(name) or said_of(column)}
        if column.null:
            options["allow_null"] = True
        if issubclass(kind, Text):
            options["allow_blank"] = column.blank
        if isinstance(column, models.TextField):
            options["max_length"] = column.max_length or LONG_TEXT
        return kind(required=False, **options)


def said_of(column: Any) -> str:
    """What a column says of itself, and what it may be where it is one of several."""
    values = values_of(column)
    return f"{help_of(column, empty='null')} {_listed(values) if values else ''}".strip()


def one_of(names: Callable[[], Iterable[str]]) -> str:
    """A text that lists what there is whenever somebody reads it."""
    return lazy(lambda: _listed(names()), str)()


def bounds_of(model: type[models.Model], name: str) -> list[Callable[[Any], None]]:
    """The bounds of a column, for a field of another name, under which they are to be told."""
    column: Any = model._meta.get_field(name)
    limits = [
        validator.limit_value
        for validator in column.validators
        if isinstance(validator, MinValueValidator | MaxValueValidator)
    ]
    return between(min(limits), max(limits))


def choices_of(model: type[models.Model], column: str) -> str:
    """A text that lists the values of a column with choices."""
    field: Any = model._meta.get_field(column)
    return one_of(lambda: values_of(field))


def _listed(names: Iterable[str]) -> str:
    return f"One of {', '.join(names)}."
