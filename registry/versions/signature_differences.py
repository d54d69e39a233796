"""Differences of signatures; what one doesn't say is compared with nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# How the parts of an input are said.
KINDS = {"string": "strings", "category": "strings", "bool": "booleans", "": ""}
# What an answer is that has no kind of its own.
NO_KIND = ("mixed", "null", "")


class Difference(NamedTuple):
    """`expected`, as the other one `does`; but this one `got`."""

    expected: str
    does: str
    got: str


def difference(version: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    """Return the first thing in which `version` can't replace the other."""
    if version.get("input_type") != other.get("input_type"):
        return None  # an application's business, not that of its versions
    parts, others = _parts(version), _parts(other)
    found = None
    if parts and others:
        found = _of_names(parts, others, kind=_noun(version)) or _of_parts(parts, others)
    return found or _of_outputs(version.get("output") or {}, other.get("output") or {})


def _parts(signature: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {part.get("name", ""): part for part in signature.get("inputs") or ()}


def _noun(signature: Mapping[str, Any]) -> str:
    return "column" if signature.get("input_type") == "columns" else "tensor"


def _of_names(
    parts: Mapping[str, Any], others: Mapping[str, Any], *, kind: str
) -> Difference | None:
    if set(parts) == set(others) or (len(parts) == len(others) == 1 and kind == "tensor"):
        return None
    for name in others:
        if name not in parts:
            return Difference(f"the {kind} {name!r}", "takes", "doesn't know it")
    for name, part in parts.items():
        if name not in others and (kind == "tensor" or part.get("nullable") is False):
            return Difference(f"no {kind} {name!r}", "takes none", "can't do without it")
    return None


def _of_parts(parts: Mapping[str, Any], others: Mapping[str, Any]) -> Difference | None:
    pairs = [(parts[name], other, name) for name, other in others.items() if name in parts]
    if not pairs:
        pairs = [
            (part, other, "") for part, other in zip(parts.values(), others.values(), strict=False)
        ]
    for part, other, name in pairs:
        where = f" in {name!r}" if name else ""
        ours, theirs = _kind_of(part), _kind_of(other)
        if ours and theirs and ours != theirs:
            return Difference(f"{theirs}{where}", "takes", f"takes {ours}")
        ours, theirs = _shape_of(part), _shape_of(other)
        if ours and theirs and not _fits(part["shape"], other["shape"]):
            return Difference(f"{theirs}{where}", "takes", f"takes {ours}")
        if part.get("nullable") is False and other.get("nullable") and name:
            return Difference(f"a row without {name!r}", "takes", "can't do without it")
    return None


def _kind_of(part: Mapping[str, Any]) -> str:
    dtype = part.get("dtype", "")
    return KINDS.get(dtype, "times" if dtype.startswith("datetime") else "numbers")


def _shape_of(part: Mapping[str, Any]) -> str:
    shape = part.get("shape")
    if not shape:
        return ""
    if len(shape) == 1 and shape[0] is not None:
        return f"{shape[0]} numbers"
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"a tensor of the shape [{sizes}]"


def _fits(shape: list[int | None], other: list[int | None]) -> bool:
    """Say whether the other's shape fits this one, as far as both say."""
    return len(shape) == len(other) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(shape, other, strict=True)
    )


def _of_outputs(output: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    ours, theirs = output.get("kind", ""), other.get("kind", "")
    if ours in NO_KIND or theirs in NO_KIND:
        return None
    if ours != theirs:
        return Difference(f"outputs of the kind {theirs}", "gives", f"gives the kind {ours}")
    ours, theirs = output.get("shape") or [], other.get("shape") or []
    if ours and theirs and ours != theirs:
        return Difference(f"outputs of the shape {theirs}", "gives", f"gives {ours}")
    return None
