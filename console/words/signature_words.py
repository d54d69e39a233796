"""A version's signature in words, a line for each of its inputs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def input_lines(signature: Mapping[str, Any]) -> list[str]:
    return [_line(part) for part in signature.get("inputs") or ()]


def output_line(signature: Mapping[str, Any]) -> str:
    """Return its output in words; "" if that isn't known."""
    output = signature.get("output") or {}
    if not output:
        return ""
    shape = " by ".join(map(str, output.get("shape") or ()))
    classes = output.get("classes") or ()
    of = f", of {_listed(classes)}" if classes else ""
    return f"{output['kind']}{f' of {shape}' if shape else ''}{of}"


def _line(part: Mapping[str, Any]) -> str:
    name = f"{part['name']}: " if part.get("name") else ""
    return name + ", ".join(_facts(part))


def _facts(part: Mapping[str, Any]) -> Iterator[str]:
    yield part.get("dtype") or "any value"
    shape = part.get("shape")
    if shape:
        yield "shape " + " by ".join("any" if size is None else str(size) for size in shape)
    if part.get("categories"):
        yield f"one of {_listed(part['categories'])}"
    if "minimum" in part or "maximum" in part:
        yield f"trained on {part.get('minimum', '…')} to {part.get('maximum', '…')}"
    if part.get("nullable") is not None:
        yield "may be missing" if part["nullable"] else "never missing"


def _listed(values: Any) -> str:
    shown = ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:12])
    more = len(values) - 12
    return f"{shown} and {more} more" if more > 0 else shown
