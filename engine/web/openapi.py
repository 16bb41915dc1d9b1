"""The OpenAPI document, made from the table of operations and the types of their bodies."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.version import VERSION
from engine.web.bodies import (
    SYMBOL_PATTERN,
    Effect,
    ExportQuery,
    OrderEffect,
    Problem,
)
from engine.web.operations import (
    BOOK,
    CHART,
    MAY_BE_AWAY,
    OPERATIONS,
    PRESS,
    STREAM,
    Operation,
    Scope,
)

REFERENCE: Final = "#/components/schemas/{name}"
_PROBLEMS: Final = {
    "400": "What was sent cannot be read as what is asked for.",
    "401": "No credential, or one that is wrong, expired or revoked.",
    "403": "This caller may not, or a foreign page asks.",
    "408": "The body was not whole in time.",
    "409": "It was not done; `effect` or `error` says why.",
    "413": "More bytes than a body may have.",
    "429": "Too often; wait as `Retry-After` says.",
}


def document() -> dict[str, Any]:
    """Return the whole document, OpenAPI 3.1."""
    operations = (*OPERATIONS, BOOK, CHART, PRESS, STREAM)
    types = {each for row in operations for each in (row.takes, row.gives)} | {Problem}
    ordered = sorted(types, key=lambda each: each.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    paths: dict[str, Any] = {}
    for row in operations:
        paths[f"/v1/{row.name}"] = {row.method.lower(): _operation(row, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Aegis", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-aegis-token"},
            },
        },
    }


def _operation(row: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": row.name.partition("/")[0],
        "tags": [row.group],
        "summary": row.summary,
        "responses": _responses(row),
    }
    if row.missing or row.refused:
        found["description"] = f"Missing: {row.missing}." if row.missing else f"{row.refused}."
    if row.scope is not Scope.NONE:
        found["security"] = [{"bearer": []}, {"header": []}]
        found["x-scope"] = row.scope.value
    parameters = _parameters(row, schemas)
    if parameters:
        found["parameters"] = parameters
    if row.method == "POST" and not row.missing and not row.refused and row is not PRESS:
        reference = {"$ref": REFERENCE.format(name=row.takes.__name__)}
        found["requestBody"] = {"content": {"application/json": {"schema": reference}}}
    return found


def _parameters(row: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{symbol}" in row.name:
        symbol = {"type": "string", "pattern": SYMBOL_PATTERN}
        found.append({"name": "symbol", "in": "path", "required": True, "schema": symbol})
    if "{button}" in row.name:
        button = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,160}$"}
        found.append({"name": "button", "in": "path", "required": True, "schema": button})
    if row.method == "GET":
        taken = schemas[row.takes.__name__]
        for name, schema in taken.get("properties", {}).items():
            required = name in taken.get("required", [])
            found.append({"name": name, "in": "query", "required": required, "schema": schema})
    return found


def _responses(row: Operation) -> dict[str, Any]:
    given = {"$ref": REFERENCE.format(name=row.gives.__name__)}
    problem = {"$ref": REFERENCE.format(name=Problem.__name__)}
    found: dict[str, Any] = {}
    if row is STREAM:
        content = {"text/event-stream": {"schema": {"type": "string"}}}
        found["200"] = {"description": "Events.", "content": content}
    elif row is CHART:
        content = {"text/html": {"schema": {"type": "string"}}}
        found["200"] = {"description": "The page.", "content": content}
    elif not row.missing and not row.refused:
        found["200"] = _told("Done.", given)
    statuses = dict(_PROBLEMS)
    if row.missing:
        statuses["501"] = f"Not built: {row.missing}."
    if row in {BOOK, CHART, STREAM} or row.name in MAY_BE_AWAY:
        statuses["404"] = "There is none of that name."
        statuses["503"] = "Not now; the sentence says why."
    found |= {status: _told(text, problem) for status, text in statuses.items()}
    if row.gives is OrderEffect:
        found["503"] = _told("The way into the brain is full; nothing was sent.", given)
        found["504"] = _told("The brain did not answer; ask again with this request id.", given)
    if row.gives in {Effect, OrderEffect}:
        found["409"] = _told(_PROBLEMS["409"], {"anyOf": [given, problem]})
        found["412"] = _told("Not carried out: `expires_ms` has passed.", given)
    if row.name == "healthcheck":
        found["503"] = _told("A role has faulted.", given)
    if row.takes is ExportQuery:
        found["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return found


def _told(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
