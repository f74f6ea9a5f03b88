"""Lets other programs broadcast by HTTP.

    curl http://127.0.0.1:8090/broadcast --json '{"message": "The 12:30 is late", "path": "/news"}'

A model for an HTTP route that reaches WebSocket clients. Where routes.yaml names `publish`, what stands there (path,
methods, schema) counts instead of what stands here.
"""

from typing import Any

from signalpost import RouteEvent, route

SCHEMA = {
    "type": "object",
    "required": ["message"],
    "properties": {"path": {"type": "string", "minLength": 1}},
}


@route("publish", path="/broadcast", schema=SCHEMA)
async def publish(event: RouteEvent) -> dict[str, Any]:
    """Broadcast the request's message, to one path if it names one; answer how many clients it goes to."""
    body = event.request.json
    receipt = event.broadcast(body["message"], path=body.get("path"))
    return {"sent": receipt.queued}
