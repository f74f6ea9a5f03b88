"""CloudEvents 1.0 by HTTP, structured or batched, as values to publish."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from signalpost.jsonschemas.gate import SchemaGate
from signalpost.operations.operation import OperationError

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_NAME = {"type": "string", "minLength": 1}
EVENT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {**_NAME, "description": "With source, it is the value's once."},
        "source": _NAME,
        "type": _NAME,
        "subject": {**_NAME, "maxLength": 1_024, "description": "The path whose clients receive the data."},
        "data": {"description": "What clients receive."},
    },
    "description": "A CloudEvent, version 1.0. Its other attributes have no effect.",
}
BATCH_SCHEMA: Mapping[str, Any] = {"type": "array", "minItems": 1, "maxItems": 1_000, "items": EVENT_SCHEMA}
_SCHEMAS = {EVENT: EVENT_SCHEMA, BATCH: BATCH_SCHEMA}


def read_events(kind: str, document: Any) -> Any:
    """Return what a body asks to publish.

    Args:
        kind: the media type.
        document: the body.

    Raises:
        OperationError: it is no event.
    """
    if kind not in _SCHEMAS:
        return document
    gate = _gate(kind)
    if not gate.accepts(document):
        found = gate.explain(document)
        raise OperationError("bad-request", f"CloudEvents 1.0: {found.detail}", found.pointer)
    return [_item(each) for each in document] if kind == BATCH else _item(document)


@cache
def _gate(kind: str) -> SchemaGate:
    return SchemaGate.compile(_SCHEMAS[kind])


def _item(event: Mapping[str, Any]) -> Mapping[str, Any]:
    # The length keeps the two apart: no other source and id make the same text.
    once = f"{len(event['source'])}:{event['source']}{event['id']}"
    return {"path": event["subject"], "value": event["data"], "once": once}
