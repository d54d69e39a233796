"""A declared version as the form that it is uploaded with."""

from __future__ import annotations

from typing import Any

from clipper_client.declarations.document import DeclaredVersion
from clipper_client.declarations.plan import COMPLETED
from clipper_client.inputs import encoded
from clipper_client.operations.deploying import text_of


def form_of(version: DeclaredVersion) -> dict[str, str]:
    """Return the fields of the form, apart from the version's name."""
    said = {name: value for name, value in version.fields.items() if value is not None}
    return {name: _field(name, value) for name, value in said.items()}


def _field(name: str, value: Any) -> str:
    """Return a field of the form; an input or a signature is JSON there, a text too."""
    return encoded(value).decode() if name in ("example", COMPLETED) else text_of(value)
