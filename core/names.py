"""The rule that names and versions follow, and the names that are kept free."""

import re
from collections.abc import Collection

from django.core.exceptions import ValidationError

NAME_PATTERN = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?\Z")
# The first parts of our own URLs: no application is asked under them.
OWN_URLS = frozenset({"admin", "api", "v2", "ws", "metrics", "health", "static", "feedback"})
# Beside them, names kept for pages and URLs to come.
RESERVED = OWN_URLS | {"docs", "v1", "add", "new", "openai"}
# Words for versions by what they do.
RESERVED_VERSIONS = frozenset({"live", "canary", "previous"})


def validate_name(value: str) -> None:
    if not NAME_PATTERN.match(value):
        raise ValidationError(
            "Expected lower-case letters, digits and inner hyphens or underscores, got %(value)r.",
            code="invalid_name",
            params={"value": value},
        )


def validate_not_reserved(value: str) -> None:
    _refuse(value, reserved=RESERVED)


def validate_version_not_reserved(value: str) -> None:
    _refuse(value, reserved=RESERVED_VERSIONS)


def _refuse(value: str, *, reserved: Collection[str]) -> None:
    if value in reserved:
        raise ValidationError(
            "%(value)r is reserved; choose a name other than " + ", ".join(sorted(reserved)) + ".",
            code="reserved_name",
            params={"value": value},
        )
