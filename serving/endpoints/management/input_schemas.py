"""Signatures as JSON Schema: what an input of an application is, and what comes back."""

from collections.abc import Mapping
from typing import Any

ARRAYS = {"doubles": "number", "floats": "number", "integers": "integer"}
OTHERS: Mapping[str, dict[str, Any]] = {
    "strings": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "json": {},
    "columns": {"type": "object"},
    "tensor": {},
}
KINDS: Mapping[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string"},
    "object": {"type": "object"},
    "null": {"type": "null"},
}


def input_schema(input_type: str, signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of one input; `signature` is a version's, {} if none is known."""
    parts = signature.get("inputs") or []
    if input_type in ARRAYS:
        return _array(input_type, part=parts[0] if parts else {}, names=signature.get("names"))
    if not parts:
        return OTHERS[input_type]
    if input_type == "columns":
        return _object({part["name"]: _column(part) for part in parts}, required=_required(parts))
    if input_type == "tensor" and len(parts) > 1:
        names = [part["name"] for part in parts]
        return _object({part["name"]: _tensor(part) for part in parts}, required=names)
    return _tensor(parts[0]) if input_type == "tensor" else OTHERS[input_type]


def output_schema(signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of one output; {}, which is anything, if that isn't known."""
    output = signature.get("output") or {}
    kind = output.get("kind", "")
    if kind == "array":
        schema: dict[str, Any] = {}
        for size in reversed(output.get("shape") or [None]):
            schema = _sized({"type": "array", "items": schema}, size=size)
        return schema
    schema = dict(KINDS.get(kind, {}))
    return schema | ({"enum": output["classes"]} if output.get("classes") and schema else {})


def _array(input_type: str, *, part: Mapping[str, Any], names: Any) -> dict[str, Any]:
    items = _nullable({"type": ARRAYS[input_type]}, part=part)
    shape = part.get("shape") or [None]
    schema = _sized({"type": "array", "items": items}, size=shape[0])
    return schema | ({"description": f"In this order: {', '.join(names)}."} if names else {})


def _column(part: Mapping[str, Any]) -> dict[str, Any]:
    schema = _of_dtype(part.get("dtype", ""))
    if part.get("categories") and part.get("dtype") != "category":
        schema["enum"] = [*part["categories"], *([None] if part.get("nullable") else [])]
    for field, word in (("minimum", "from"), ("maximum", "to")):
        if field in part:
            schema["description"] = f"{schema.get('description', 'Trained')} {word} {part[field]}"
    return _nullable(schema, part=part)


def _tensor(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("shape") is None:
        return {"description": "Nested arrays."}
    schema = _nullable(_of_dtype(part.get("dtype", "") or "float64"), part=part)
    for size in reversed(part["shape"]):
        schema = _sized({"type": "array", "items": schema}, size=size)
    return schema


def _of_dtype(dtype: str) -> dict[str, Any]:
    if dtype in ("", "category"):
        return {}
    if dtype == "string":
        return {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype.startswith("datetime"):
        return {"type": "string", "description": "A time in ISO 8601."}
    return {"type": "number" if dtype.startswith("float") else "integer"}


def _nullable(schema: dict[str, Any], *, part: Mapping[str, Any]) -> dict[str, Any]:
    """With null where that is a value, or might be one of a column."""
    takes = part.get("nullable", bool(part.get("name")) and part.get("shape") is None)
    return schema | {"type": [schema["type"], "null"]} if takes and "type" in schema else schema


def _sized(schema: dict[str, Any], *, size: int | None) -> dict[str, Any]:
    return schema if size is None else schema | {"minItems": size, "maxItems": size}


def _required(parts: list[Mapping[str, Any]]) -> list[str]:
    return [part["name"] for part in parts if part.get("nullable") is False]


def _object(properties: dict[str, Any], *, required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})
