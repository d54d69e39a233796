"""Rows of many check constraints, which are validated without a query for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import reduce
from operator import and_

from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import BaseConstraint, CheckConstraint, Q


class ConstrainedRow(models.Model):
    """Asks the database once whether all checks hold; only where they don't, for each of them."""

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        excluded = set(exclude or ())
        using = router.db_for_write(type(self), instance=self)
        try:
            for constraint in _joined(self._meta.constraints, without=excluded):
                constraint.validate(type(self), self, exclude=excluded, using=using)
        except ValidationError:
            super().validate_constraints(exclude=excluded)  # names each that is broken


def _joined(constraints: Iterable[BaseConstraint], *, without: set[str]) -> list[BaseConstraint]:
    """The same, with one check for all those that concern none of these fields.

    Django passes over checks of fields that are left out, too.
    """
    conditions = []
    others = []
    for constraint in constraints:
        if isinstance(constraint, CheckConstraint):
            condition = Q(constraint.condition)
            if without.isdisjoint(condition.referenced_base_fields):
                conditions.append(condition)
        else:
            others.append(constraint)
    if conditions:
        others.append(CheckConstraint(name="all", condition=reduce(and_, conditions)))
    return others
