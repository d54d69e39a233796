"""Rows that are found by a name."""

from typing import Any, TypeVar

from django.db import models

from core.errors import NotFound
from core.names import NAME_PATTERN
from core.suggest import meant

R = TypeVar("R", bound=models.Model)


class NamedQuerySet(models.QuerySet[R]):
    """Finds rows by the field `name`, or by another one that says so."""

    name_field = "name"

    def named(self, name: str, *, of: str = "") -> R:
        """Return the row of this name, `of` another row. Raises NotFound with a suggestion."""
        found = None
        if NAME_PATTERN.match(name):
            found = self.filter(**{self.name_field: name}).first()
        if found is None:
            kind = "version" if of else str(self.model._meta.verbose_name)
            known = list(self.order_by().values_list(self.name_field, flat=True))
            hint = meant(name, known)
            if of and not hint:
                hint = f"; it has {', '.join(known[:20]) or 'none'}"
            what = f"{of} has no version {name!r}" if of else f"There is no {kind} named {name!r}"
            details: dict[str, Any] = {kind: name} | ({"model": of} if of else {})
            raise NotFound(f"{what}{hint}.", **details)
        return found
