"""Read what there is: kept values, who is present, who is connected, which nodes there are."""

from heapq import nsmallest
from typing import Any

from signalpost.config.authmodel import KeyPermission
from signalpost.delivery.client import Client
from signalpost.errors import UnavailableError
from signalpost.history.position import Position, read_position
from signalpost.operations.operation import Arguments, Caller, Operation, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.shapes import CLIENT, COMPLETE, PATH, POSITION, WHOM, closed, listed, text, told, whole
from signalpost.paths import path_of
from signalpost.signals.recovery import MOST_ENTRIES
from signalpost.signals.requests import UnknownPositionError, history_body

MOST_SHOWN = 1_000
"""Clients, or users, of one answer."""

_USUAL = 100


# History


async def _history(operator: Operator, caller: Caller, given: Arguments) -> Any:
    path = given["path"]
    caller.require_path(path)
    memory = operator.node.memory
    before, after = _position(given, "before"), _position(given, "after")
    if before is not None and after is not None:
        raise OperationError("bad-request", "before and after exclude each other: leave one out", "/after")
    try:
        await memory.fetch(path)
        stream, found = memory.read(path, given.get("limit", _USUAL), before, after)
    except LookupError as error:
        raise OperationError("not-found", str(error.args[0]), "/path") from None
    except UnavailableError as error:
        raise OperationError("unavailable", str(error)) from None
    except UnknownPositionError as error:
        raise OperationError("unknown-position", str(error), "/after" if before is None else "/before") from None
    return history_body(stream, found)


def _position(given: Arguments, name: str) -> Position | None:
    if (said := given.get(name)) is None:
        return None
    position = read_position(said)
    if position is None:
        raise OperationError("bad-request", "a position is a text that came with a value, as at", f"/{name}")
    return position


HISTORY = Operation(
    "history",
    "Read what is kept of a path: the newest values, or those next to a position.",
    KeyPermission.HISTORY,
    reads=True,
    arguments=closed(
        {
            "path": PATH,
            "after": {**POSITION, "description": "What follows this position, oldest first."},
            "before": {**POSITION, "description": "What precedes this position."},
            "limit": whole("How many values at most; never more than 1 MiB of them.", 1, MOST_ENTRIES, _USUAL),
        },
        ("path",),
    ),
    answer=closed(
        {
            "path": told(PATH),
            "signals": listed(
                closed(
                    {"path": told(PATH), "at": POSITION, "value": {"description": "As it was sent."}}, ("at", "value")
                ),
                "The values, oldest first.",
            ),
            "at": {
                **POSITION,
                "description": "The position of the last of them; without any, of the newest one.",
            },
            "more": {"type": "boolean", "description": "Whether there are more in the direction of the request."},
        },
        ("path", "signals", "at", "more"),
    ),
    function=_history,
    detail="Of several nodes, any one knows all of it.",
)


# Presence


async def _presence(operator: Operator, caller: Caller, given: Arguments) -> Any:
    path = given["path"]
    caller.require_path(path)
    memory = operator.node.memory
    places = memory.places_with_presence(path)
    if not places:
        raise OperationError("not-found", f"who is on {path} is not known: its signal has no presence", "/path")
    try:
        await memory.fetch_present(path)
        users = memory.present(path)
    except UnavailableError as error:
        raise OperationError("unavailable", str(error)) from None
    limit = given.get("limit", MOST_SHOWN)
    shown = nsmallest(limit, (each for each in users if each.user > given.get("after", "")), key=lambda each: each.user)
    return {
        "path": path_of(places[0]),
        "users": [{"user": each.user, "n": each.n, "info": each.info} for each in shown],
        "count": len(users),
    }


PRESENCE = Operation(
    "presence",
    "Read who is on a path.",
    KeyPermission.PRESENCE,
    reads=True,
    arguments=closed(
        {
            "path": PATH,
            "after": {**WHOM["user"], "description": "Users behind this one, in the order of their names."},
            "limit": whole("How many users at most.", 1, MOST_SHOWN, MOST_SHOWN),
        },
        ("path",),
    ),
    answer=closed(
        {
            "path": told(PATH),
            "users": listed(
                closed(
                    {
                        "user": told(WHOM["user"]),
                        "n": whole("Connections of the user.", 0),
                        "info": {"description": "What others see of the user; null for nothing."},
                    },
                    ("user", "n", "info"),
                ),
                "Sorted by name.",
            ),
            "count": whole("Users in all.", 0),
        },
        ("path", "users", "count"),
    ),
    function=_presence,
    detail="Of several nodes, any one knows all of it.",
)


# Clients


async def _clients(operator: Operator, caller: Caller, given: Arguments) -> Any:
    caller.require_path(given.get("path"))
    node = operator.node
    names = [given.get(name) for name in ("path", "group", "client", "user")]
    if targets := node.broadcaster.targets(None, *names):
        found = list(dict.fromkeys(client for target in targets for client in node.hub.matching(target)))
    else:
        found = list(node.hub.clients.values())
    after = given.get("after", "")
    shown = nsmallest(
        given.get("limit", MOST_SHOWN), (each for each in found if each.id > after), key=lambda each: each.id
    )
    return {
        "clients": [{**shown_client(client), "node": operator.tag} for client in shown],
        "count": len(found),
        "complete": node.alone,
    }


def shown_client(client: Client) -> dict[str, Any]:
    """Return what is told of a client."""
    return {
        "id": client.id,
        "user": client.user,
        "path": client.path,
        "endpoint": client.endpoint.name,
        "protocol": client.encoding.codec.name,
        "groups": sorted(client.groups),
        "waiting": client.waiting,
    }


CLIENTS = Operation(
    "clients",
    "Read who is connected to this node.",
    KeyPermission.CLIENTS,
    reads=True,
    arguments=closed(
        {
            **WHOM,
            "after": {**CLIENT, "description": "Clients behind this one, in the order of their ids."},
            "limit": whole("How many clients at most.", 1, MOST_SHOWN, MOST_SHOWN),
        }
    ),
    answer=closed(
        {
            "clients": listed(
                closed(
                    {
                        "id": told(CLIENT),
                        "node": {"type": "string", "description": "The node that it is connected to; see info."},
                        "user": {"type": ["string", "null"], "description": "Its user; null is a guest."},
                        "path": told(PATH),
                        "endpoint": told(text("The endpoint that it is connected to.", "live")),
                        "protocol": {
                            "type": "string",
                            "description": "Its subprotocol, or sse or sse.v1; empty for plain WebSockets.",
                        },
                        "groups": listed({"type": "string"}, "That it has joined, sorted."),
                        "waiting": whole("Bytes that wait until it reads.", 0),
                    },
                    ("id", "node", "user", "path", "endpoint", "protocol", "groups", "waiting"),
                ),
                "Sorted by id.",
            ),
            "count": whole("Clients of this node that match, in all.", 0),
            "complete": COMPLETE,
        },
        ("clients", "count", "complete"),
    ),
    function=_clients,
    detail="Of several nodes, each answers for its own clients only: complete is false then.",
)


# Nodes


async def _info(operator: Operator, _caller: Caller, _given: Arguments) -> Any:
    try:
        return await operator.info()
    except UnavailableError as error:
        raise OperationError("unavailable", str(error)) from None


INFO = Operation(
    "info",
    "Read which nodes there are, and whether their plans are the same.",
    None,
    reads=True,
    arguments=closed({}),
    answer=closed(
        {
            "node": {"type": "string", "description": "The node that answers."},
            "nodes": listed(
                closed(
                    {
                        "node": {"type": "string", "description": "Its name among nodes."},
                        "host": {"type": "string", "description": "The name of its machine."},
                        "process": whole("The id of its process there.", 0),
                        "version": {"type": "string", "description": "Of signalpost."},
                        "started": {"type": "number", "description": "Seconds since 1970, by its own clock."},
                        "clients": whole("How many are connected to it.", 0),
                        "plan": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                            "description": "A digest of each kind of thing in its plan; empty until they are made.",
                        },
                        "silent": {
                            "type": "number",
                            "description": "Seconds since it has shown that it is there; more than 10 is a dead node.",
                        },
                    },
                    ("node", "host", "process", "version", "started", "clients", "plan"),
                ),
                "All nodes that the backplane knows; a single one is alone here.",
            ),
            "same_plan": {"type": "boolean", "description": "Whether the plans of all nodes are the same."},
        },
        ("node", "nodes", "same_plan"),
    ),
    function=_info,
)
