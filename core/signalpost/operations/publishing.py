"""Publish values to clients: one, or a list of them in their order."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from signalpost.backplanes.backplane import Once
from signalpost.config.authmodel import KeyPermission
from signalpost.delivery.publication import check_size
from signalpost.delivery.target import EVERYONE, Published, sum_of
from signalpost.errors import UnavailableError
from signalpost.operations.onces import ONCE_SECONDS
from signalpost.operations.operation import Arguments, Caller, Operation, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.shapes import ERROR, WHOM, closed, switch, text, whole
from signalpost.signals.levels import TooBroadError
from signalpost.signals.messagefilters import Veto

MOST_ITEMS = 1_000
"""Values of one list."""

_NAMES = ("path", "group", "client", "user")
_WHERE = [*({"required": [name]} for name in (*_NAMES, "to"))]

_ITEM = closed(
    {
        "value": {
            "description": "What clients receive: any JSON but null and the empty text, which are not sent.",
            "examples": [{"price": 42}],
        },
        **WHOM,
        "to": {"const": "everyone", "description": "In place of a path, group, client or user: everyone."},
        "once": text(
            f"A text of your choice. The same key's second value with it within {ONCE_SECONDS // 60} minutes is not "
            "sent: its answer is that of the first one, with again."
        ),
    },
    ("value",),
    anyOf=_WHERE,
    description="A value, and who receives it: the clients that match all of path, group, client and user.",
)
_SENT = closed(
    {
        "at": text("Its position, if the path has a history and nothing narrowed the target."),
        "matched": whole("Clients that it reaches here, and one for each other node that has some.", 0),
        "again": switch("Whether it had been sent before, by its once."),
    },
    ("matched",),
    description="What became of a value.",
)
_REFUSED = closed({"error": ERROR}, ("error",), description="Why a value of a list was not sent.")


async def _publish(operator: Operator, caller: Caller, given: Any) -> Any:
    if not isinstance(given, list):
        _check(caller, given, "")
        return await _begin(operator, caller, given)
    for number, item in enumerate(given):
        _check(caller, item, f"/{number}")
    # All are sent before the first answer is awaited, so that their order is that of the list.
    begun = [_begun(operator, caller, item) for item in given]
    return [await _told(each) for each in begun]


def _check(caller: Caller, item: Arguments, base: str) -> None:
    if "to" in item and any(name in item for name in _NAMES):
        text = "to stands alone: leave it out, or leave out path, group, client and user"
        raise OperationError("bad-request", text, f"{base}/to")
    if item["value"] is None or item["value"] == "":
        raise OperationError("bad-request", "null and an empty text are not sent: leave the value out", f"{base}/value")
    caller.require_path(item.get("path"), f"{base}/path")


def _begun(operator: Operator, caller: Caller, item: Arguments) -> Awaitable[Arguments] | OperationError:
    try:
        return _begin(operator, caller, item)
    except OperationError as error:
        return error


async def _told(begun: Awaitable[Arguments] | OperationError) -> Arguments:
    if isinstance(begun, OperationError):
        return {"error": begun.body}
    try:
        return await begun
    except OperationError as error:
        return {"error": error.body}


def _begin(operator: Operator, caller: Caller, item: Arguments) -> Awaitable[Arguments]:
    """Send a value now, and return what its answer is awaited by."""
    once = item.get("once")
    if once is None:
        return _answered(_send(operator, item, None))
    key = f"{caller.name}:{once}"
    if (known := operator.onces.find(key)) is not None:
        return _again(known)
    return asyncio.shield(operator.onces.keep(key, _answered(_send(operator, item, Once(key, ONCE_SECONDS)))))


async def _again(known: "asyncio.Task[Arguments]") -> Arguments:
    return {**await asyncio.shield(known), "again": True}


async def _answered(sent: "Published | asyncio.Future[Published]") -> Arguments:
    """Return the answer to a value that was sent.

    Raises:
        OperationError: the backplane could not be reached.
    """
    try:
        published = sent if isinstance(sent, Published) else await sent
    except UnavailableError as error:
        raise OperationError("unavailable", str(error)) from None
    answer: dict[str, Any] = {"matched": published.matched}
    if published.at is not None:
        answer["at"] = published.at
    if published.again:
        answer["again"] = True
    return answer


def _send(operator: Operator, item: Arguments, once: Once | None) -> "Published | asyncio.Future[Published]":
    """Send a value, and return what became of it, or will.

    Raises:
        OperationError: it may not be sent.
    """
    node, value = operator.node, item["value"]
    broadcaster = node.broadcaster
    path, *others = (item.get(name) for name in _NAMES)
    targets = broadcaster.targets(None, path, *others) or (EVERYONE,)
    try:
        check_size(value)
        if broadcaster.levels is not None:
            broadcaster.levels.check(targets)
        kept = once if not node.alone and len(targets) == 1 and targets[0].whole is not None else None
        receipt = sum_of([broadcaster.send_one(value, target, None, kept) for target in targets])
    except TooBroadError as error:
        raise OperationError("forbidden", str(error)) from None
    except Veto as veto:
        raise OperationError(veto.code or "refused", veto.detail or "a plugin's filter refuses this value") from None
    except ValueError as error:
        raise OperationError("bad-request", str(error), "/value") from None
    if receipt.later is not None:
        return receipt.later
    at = node.memory.at_path(path) if path is not None and not any(others) else None
    return Published(at, receipt.matched)


PUBLISH = Operation(
    "publish",
    "Send a value to clients, or a list of them in their order.",
    KeyPermission.PUBLISH,
    reads=False,
    arguments={
        "if": {"type": "array"},
        "then": {"items": _ITEM, "minItems": 1, "maxItems": MOST_ITEMS},
        "else": _ITEM,
    },
    answer={"oneOf": [_SENT, {"type": "array", "items": {"oneOf": [_SENT, _REFUSED]}}]},
    function=_publish,
    detail=(
        "A list is answered with a list, an answer for each value. Nothing of a list is sent if one of its values has "
        "a mistake; one that a filter or a limit refuses is told at its place. Of several nodes, all receive it."
    ),
)
