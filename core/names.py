"""The rule that names and versions follow, and the names that no application gets."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError

NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
# The first parts of our own URLs: no application is asked under them.
OWN_URLS = frozenset({"admin", "api", "v2", "ws", "metrics", "health", "static", "feedback"})
# Beside them what is kept for URLs to come; an application that has such a name keeps it.
RESERVED = OWN_URLS | {"docs", "v1"}


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
