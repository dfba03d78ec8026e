"""What in a description of routes (OpenAPI) would break programs that were written for an older one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

METHODS = ("get", "put", "post", "delete", "head", "patch")


def breaking(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What a program could send that is refused now, or could count on that is gone; a sentence each."""
    for path, routes in old["paths"].items():
        for method in METHODS:
            if method in routes:
                here = new["paths"].get(path, {}).get(method)
                at = f"{method.upper()} {path}"
                if here is None:
                    yield f"{at} is gone"
                else:
                    yield from _route(at, routes[method], here, old, new)


def _route(at: str, old: Any, new: Any, old_all: Any, new_all: Any) -> Iterator[str]:
    before, now = ({(p["in"], p["name"]): p for p in route.get("parameters", [])} for route in (old, new))
    for key, parameter in now.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{at}: {key[1]} is required"
    for key, parameter in before.items():
        if key not in now:
            yield f"{at}: {key[1]} is gone"
        else:
            yield from _narrower(f"{at}: {key[1]}", parameter["schema"], now[key]["schema"], old_all, new_all, set())
    if new.get("requestBody", {}).get("required") and not old.get("requestBody", {}).get("required"):
        yield f"{at}: a body is required"
    for kind, content in old.get("requestBody", {}).get("content", {}).items():
        there = new.get("requestBody", {}).get("content", {}).get(kind)
        if there is None:
            yield f"{at}: a body of {kind} is not taken"
        else:
            yield from _narrower(f"{at}: body", content.get("schema", {}), there.get("schema", {}), old_all, new_all,
                                 set())  # fmt: skip
    for status, answer in old["responses"].items():
        if status.startswith("2"):
            if status not in new["responses"]:
                yield f"{at}: never answers {status}"
                continue
            for kind in answer.get("content", {}):
                if kind not in new["responses"][status].get("content", {}):
                    yield f"{at}: never answers with {kind}"


def _narrower(at: str, old: Any, new: Any, old_all: Any, new_all: Any, met: set[tuple[str, str]]) -> Iterator[str]:
    """What fits a schema of old and not the new one."""
    key = old.get("$ref", ""), new.get("$ref", "")
    if key in met:
        return
    met = met | ({key} if all(key) else set())
    old, new = _found(old, old_all), _found(new, new_all)
    choices, now = (schema.get("oneOf") or schema.get("anyOf") for schema in (old, new))
    if choices or now:
        # each of the old choices has one that takes all of it
        for choice in choices or [old]:
            tried = [list(_narrower(at, choice, other, old_all, new_all, met)) for other in now or [new]]
            if all(tried):
                yield min(tried, key=len)[0]
        return
    if "type" in new and new["type"] != old.get("type"):
        yield f"{at} is {new['type']}, not {old.get('type')}"
        return
    for bound, worse in (("minimum", 1), ("minLength", 1), ("minItems", 1), ("maximum", -1), ("maxLength", -1),
                         ("maxItems", -1)):  # fmt: skip
        if bound in new and (bound not in old or worse * new[bound] > worse * old[bound]):
            yield f"{at} has {bound} {new[bound]}, not {old.get(bound)}"
    taken = _values(new)
    if taken is not None and (gone := [value for value in _values(old) or ["anything else"] if value not in taken]):
        yield f"{at} is never {gone}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{at} has the pattern {new['pattern']}"
    for name in set(new.get("required", [])) - set(old.get("required", [])):
        yield f"{at}.{name} is required"
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _narrower(f"{at}.{name}", schema, new["properties"][name], old_all, new_all, met)
        else:
            yield f"{at}.{name} is gone"
    if "items" in old and "items" in new:
        yield from _narrower(f"{at}[]", old["items"], new["items"], old_all, new_all, met)


def _values(schema: Any) -> list[Any] | None:
    """All that fit a schema, if it lists them; what makes descriptions says so of a single one in several ways."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _found(schema: Any, description: Any) -> Any:
    """What a reference leads to."""
    while "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema
