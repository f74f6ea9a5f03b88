"""The document that describes the API: OpenAPI 3.1."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from signalpost import __version__
from signalpost.api.cloudevents import BATCH, BATCH_SCHEMA, EVENT, EVENT_SCHEMA
from signalpost.api.idempotency import HEADER, KNOWN_SECONDS, LONGEST
from signalpost.operations.operation import Operation
from signalpost.operations.shapes import ERROR, closed
from signalpost.operations.table import OPERATIONS

_JSON = "application/json"
_ERRORS: Mapping[str, str] = {
    "400": "The request is not as described.",
    "401": "It shows no API key, or one that is not known.",
    "403": "The key does not allow it, or `broadest` does not.",
    "404": "Nothing of the kind is known of this path.",
    "410": "The position is not known any more: ask without it.",
    "413": "The body is larger than `limits.message`.",
    "421": "The server is not known by this host name.",
    "429": "The key has made too many requests.",
    "503": "The backplane cannot be reached, or the server has no room.",
}
_OF_KEYS: Mapping[str, str] = {
    "409": "It was refused, or its first request with this Idempotency-Key is under way.",
    "422": "A filter refuses it, or the Idempotency-Key was used for another request.",
}


@cache
def openapi(prefix: str) -> Mapping[str, Any]:
    """Return the document of an API below a path."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "signalpost",
            "version": __version__,
            "summary": "Publish to clients, and see who and what is there.",
        },
        "servers": [{"url": prefix}],
        "security": [{"key": []}],
        "paths": {f"/{each.name}": _path(each) for each in OPERATIONS.values()} | {"/openapi.json": _OWN},
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key of auth.keys in routes.yaml."}
            },
            "schemas": {"Error": closed({"error": ERROR}, ("error",), description="Why a request was refused.")},
        },
    }


def _path(operation: Operation) -> Mapping[str, Any]:
    errors = _ERRORS if operation.reads else {**_ERRORS, **_OF_KEYS}
    needs = "" if operation.needs is None else f"The key's may names {operation.needs.value}."
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.detail, needs))) or operation.summary,
        "responses": {
            str(status_of(operation)): {
                "description": "Done.",
                "content": {_JSON: {"schema": operation.answer}},
            },
            **{status: _error(text) for status, text in errors.items()},
        },
    }
    if operation.reads:
        required = operation.arguments.get("required", ())
        said["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": schema["description"],
                "schema": schema,
            }
            for name, schema in operation.arguments["properties"].items()
        ]
        return {"get": said}
    content = {_JSON: {"schema": operation.arguments}}
    if operation.name == "publish":
        content |= {EVENT: {"schema": EVENT_SCHEMA}, BATCH: {"schema": BATCH_SCHEMA}}
    said["parameters"] = [_KEY]
    said["requestBody"] = {"required": True, "content": content}
    return {"post": said}


def status_of(operation: Operation) -> int:
    """Return the status of an operation that is done."""
    return 202 if operation.name == "publish" else 200


def _error(text: str) -> Mapping[str, Any]:
    return {"description": text, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


_KEY = {
    "name": HEADER.title(),
    "in": "header",
    "required": False,
    "description": (
        "A text of your choice for this request. A repeat within "
        f"{KNOWN_SECONDS // 3600} hours is answered as the first time, and does nothing. Each node remembers its own."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
}
_OWN = {
    "get": {
        "operationId": "openapi",
        "summary": "Read this document.",
        "description": "It says nothing of the app, and needs no key.",
        "security": [],
        "responses": {
            "200": {"description": "OpenAPI 3.1.", "content": {_JSON: {"schema": {"type": "object"}}}},
            "421": _error(_ERRORS["421"]),
        },
    }
}
