"""The description of all routes (OpenAPI) as a page: for people, what openapi.json is for programs."""

from __future__ import annotations

import json
from html import escape
from typing import Any

Schema = dict[str, Any]


def manual(description: Schema) -> str:
    """HTML: every route with its parameters and what it takes, then every object of JSON that goes in or out."""
    routes = [
        _route(method, path, operation)
        for path, methods in description["paths"].items() for method, operation in methods.items()
    ]  # fmt: skip
    objects = [_object(name, schema) for name, schema in description["components"]["schemas"].items()]
    return "<h2>Routes</h2>" + "".join(routes) + "<h2>Objects</h2>" + "".join(objects)


def _route(method: str, path: str, operation: Schema) -> str:
    fields = {
        f"{each['name']} ({each['in']}{', required' if each.get('required') else ''})": each.get("schema", {})
        | {"description": each.get("description", "")} for each in operation.get("parameters", [])
    }  # fmt: skip
    for part, holder in (("body", operation.get("requestBody", {})), ("answer", _success(operation))):
        for media_type, content in holder.get("content", {}).items():
            fields[f"{part}, {media_type}"] = content.get("schema", {})
    text = operation.get("description") or operation.get("summary", "")
    return f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(text)}</p>{_fields(fields)}"


def _success(operation: Schema) -> Schema:
    found: Schema = next((each for code, each in operation["responses"].items() if code.startswith("2")), {})
    return found


def _object(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    fields = {f"{field}{' (required)' if field in required else ''}": each
              for field, each in schema.get("properties", {}).items()}  # fmt: skip
    said = escape(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{said}</p>{_fields(fields)}'


def _fields(fields: dict[str, Schema]) -> str:
    rows = (f"<tr><th>{escape(name)}<td>{_kind(schema)}<td>{escape(schema.get('description', ''))}"
            for name, schema in fields.items())  # fmt: skip
    return f"<table>{''.join(rows)}</table>" if fields else ""


def _kind(schema: Schema) -> str:
    """What a value is, in few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " | ".join(map(_kind, schema[choice]))
    if "const" in schema or "enum" in schema:
        return " | ".join(
            f"<code>{escape(json.dumps(each))}</code>" for each in schema.get("enum", [schema.get("const")])
        )
    if "prefixItems" in schema:
        return f"[{', '.join(map(_kind, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    return escape(schema.get("format") or schema.get("type", "any"))
