"""The rule that names and versions follow, and the names that URLs need for themselves."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError

NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
RESERVED = frozenset({"admin", "api", "v2", "ws", "metrics", "health", "static", "feedback"})


def validate_name(value: str) -> None:
    if not NAME_PATTERN.match(value):
        raise ValidationError(
            "Expected lower-case letters, digits and inner hyphens, got %(value)r.",
            code="invalid_name",
            params={"value": value},
        )


def validate_not_reserved(value: str) -> None:
    if value in RESERVED:
        raise ValidationError(
            "%(value)r is reserved; choose a name other than " + ", ".join(sorted(RESERVED)) + ".",
            code="reserved_name",
            params={"value": value},
        )
