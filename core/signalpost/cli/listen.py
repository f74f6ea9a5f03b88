"""``signalpost listen``: what comes to a path of a server that runs, a line for each value."""

import base64
import json
from typing import Any

import click

from signalpost.cli.rooms import Reach, line_of, room_of, run_client, say, say_state
from signalpost.client import ClosedError, Gap, RefusedError, Room, Signal, State
from signalpost.client.address import Address
from signalpost.errors import OperatorError

_WHY = {
    "lost": "the server does not know the position any more",
    "too-old": "more was sent than the server keeps",
    "slow": "this client was too slow",
    "unknown": "this path has no history",
}


def listen(reach: Reach, *, at: str | None, as_json: bool, count: int | None) -> None:
    """Print what comes, until so much has come, or the server closes the connection for good.

    Args:
        reach: how the room is reached.
        at: a position to go on from.
        as_json: whether path and position are printed, too.
        count: how many values; None for as many as come.

    Raises:
        OperatorError: there is no connection, or the server has ended it for good.
    """
    run_client(lambda: _listen(reach, at, count, as_json=as_json))


async def _listen(reach: Reach, at: str | None, count: int | None, *, as_json: bool) -> None:
    address, room = room_of(reach, **({} if at is None else {"at": at}))
    _report(room, address)
    left = count
    try:
        async with room:
            async for signal in room:
                click.echo(_as_json(signal) if as_json else line_of(signal.value))
                left = None if left is None else left - 1
                if left == 0:
                    return
    except ClosedError as closed:
        reason = f": {closed.reason}" if closed.reason else ""
        raise OperatorError(f"the server closed the connection for good ({closed.code}{reason})") from None


def _report(room: Room, address: Address) -> None:
    """Report to stderr what happens to a room."""

    def state(now: State) -> None:
        if now.name == "connected":
            how = " (by server-sent events)" if room.transport == "sse" else ""
            plain = " (no signalpost.v1: each frame is a value)" if room.plain else how
            say(f"connected to {address.scheme}://{address.host}{address.path}{plain}")
        say_state(now)

    def gap(found: Gap) -> None:
        say(f"gap: values may be missing here, since {_WHY.get(found.why, found.why)}")

    def lagged(body: Any) -> None:
        say(f"{body.get('missed')} values were left out here, since this client was too slow")

    def error(refused: RefusedError) -> None:
        say(f"the server says: {refused}")

    room.on("state", state)
    room.on("gap", gap)
    room.on("lagged", lagged)
    room.on("error", error)


def _as_json(signal: Signal) -> str:
    """Return a signal as one line of JSON; what is not known of it is left out."""
    value: dict[str, Any]
    if isinstance(signal.value, bytes):
        value = {"base64": base64.b64encode(signal.value).decode()}
    else:
        value = {"value": signal.value}
    known = {"path": signal.path, "at": signal.at}
    text = json.dumps({**{key: each for key, each in known.items() if each is not None}, **value}, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(json.loads(text))
