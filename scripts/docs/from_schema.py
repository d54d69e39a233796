"""The management API, from its OpenAPI schema."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from scripts.docs.markdown_tables import code, codes

Schema = dict[str, Any]


@cache
def schema() -> Schema:
    """Return the schema that `/api/v1/schema/` answers with."""
    generator: Any = SchemaGenerator  # without annotations
    made: Schema = generator().get_schema(request=None, public=True)
    return made


def tags() -> list[str]:
    """Return the tags that there are."""
    operations = [operation for path in schema()["paths"].values() for operation in path.values()]
    return list(dict.fromkeys(tag for operation in operations for tag in operation["tags"]))


def endpoints(tag: str) -> str:
    """Return the endpoints of one tag, then what each of their bodies may hold."""
    found = [
        (method.upper(), path, operation)
        for path, methods in schema()["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    lines = [
        f"- {code(f'{method} {path}')}: {operation['summary']}{_parameters(operation)}"
        f"{_success(operation)}"
        for method, path, operation in found
    ]
    return "\n".join([*lines, "", *_bodies(found)])


def _success(operation: Schema) -> str:
    statuses = [status for status in operation["responses"] if status.startswith("2")]
    return "" if statuses == ["200"] else f" → {' or '.join(statuses)}"


def _parameters(operation: Schema) -> str:
    named = codes(p["name"] for p in operation.get("parameters", []) if p["in"] != "path")
    return f" ({named})" if named else ""


def _bodies(operations: list[tuple[str, str, Schema]]) -> Iterator[str]:
    """Yield the fields of each body; fields that an earlier body has are named by it alone."""
    earlier: dict[str, dict[str, str]] = {}
    for method, path, operation in operations:
        content = operation.get("requestBody", {}).get("content", {})
        for kind, of in content.items():
            form = "a multipart form" if kind.startswith("multipart") else "JSON"
            fields = {field[0]: _line(*field) for field in _fields(of["schema"])}
            if fields:
                endpoint = code(f"{method} {path}")
                title = f"{endpoint} ({form})" if len(content) > 1 else endpoint
                yield _body(title, fields, form=form, earlier=earlier)
                earlier[title] = fields


def _body(
    title: str, fields: dict[str, str], *, form: str, earlier: dict[str, dict[str, str]]
) -> str:
    taken = "" if "(" in title else f" {form}:"
    like = max(earlier, key=lambda name: len(fields.items() & earlier[name].items()), default="")
    shared = fields.items() & earlier.get(like, {}).items()
    if len(shared) < 3:  # shorter written out
        return "\n".join([f"**{title}** takes{taken or ':'}\n", *fields.values(), ""])
    absent = codes(name for name in earlier[like] if name not in fields)
    other = [line for name, line in fields.items() if (name, line) not in shared]
    but = f", without {absent}" if absent else ""
    more = "; and:\n" if other else "."
    return "\n".join([f"**{title}** takes the fields of {like}{but}{more}", *other, ""])


def _line(name: str, field: Schema, required: list[str]) -> str:
    need = ", required" if name in required else ""
    meaning = _meaning(field)
    return f"- {code(name)} ({_type(field)}{need})" + (f": {meaning}" if meaning else "")


def _fields(described: Schema) -> list[tuple[str, Schema, list[str]]]:
    resolved = _resolved(described)
    if resolved.get("type") == "array":
        resolved = _resolved(resolved["items"])
    required = resolved.get("required", [])
    return [(name, field, required) for name, field in resolved.get("properties", {}).items()]


def _resolved(described: Schema) -> Schema:
    if "allOf" in described and len(described["allOf"]) == 1:
        return _resolved(described["allOf"][0])
    if "$ref" not in described:
        return described
    name = described["$ref"].rpartition("/")[2]
    found: Schema = schema()["components"]["schemas"][name]
    return found


def _type(field: Schema) -> str:
    """Return its JSON types. That it may be null is one of them, or one of several variants."""
    kinds = dict.fromkeys(kind for variant in _variants(field) for kind in _kinds(variant))
    shown = [kind for kind in kinds if kind != "null"] or ["any JSON"]
    return " or ".join([*shown, "null"] if "null" in kinds else shown)


def _variants(field: Schema) -> list[Schema]:
    several = field.get("oneOf") or field.get("anyOf")
    if several is None:
        return [_resolved(field)]
    return [inner for variant in several for inner in _variants(variant)]


def _kinds(described: Schema) -> list[str]:
    kind = described.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _meaning(field: Schema) -> str:
    """Return what the schema says of a field, and the values that it takes."""
    described = field.get("description") or _resolved(field).get("description") or ""
    bounds = _bounds(field)
    return f"{described} ({bounds})" if described and bounds else described or bounds


def _bounds(field: Schema) -> str:
    choices = [
        value
        for variant in _variants(field)
        for value in variant.get("enum", [])
        if value is not None
    ]
    low, high = field.get("minimum"), field.get("maximum")
    parts = [codes(choices)] if choices else []
    if low is not None and high is not None:
        parts.append(f"{low:g} to {high:g}")
    elif low is not None:
        parts.append(f"at least {low:g}")
    if "maxLength" in field:
        parts.append(f"at most {field['maxLength']:,} characters")
    if "default" in field:
        parts.append(f"default {code(field['default'])}")
    return "; ".join(parts)
