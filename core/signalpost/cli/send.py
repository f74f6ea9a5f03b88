"""``signalpost send``: messages to a path of a server that runs, and their answers."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import click

from signalpost.cli.rooms import Reach, line_of, room_of, run_client, say
from signalpost.client import Answer, ClosedError, DisconnectedError, RefusedError, Room
from signalpost.errors import OperatorError

STDIN = "-"
_PART, _PARTS = 65_536, 4


def send(reach: Reach, text: str, *, keys: Mapping[str, Any], timeout: float, as_json: bool) -> None:
    """Send a message, or each line of stdin, and print the replies.

    Args:
        reach: how the room is reached.
        text: a message; ``-`` reads them from stdin, a line each.
        keys: of each message, beside what its text says.
        timeout: seconds for each answer, and for the connection.
        as_json: whether answers are printed whole.

    Raises:
        OperatorError: there is no connection, or a message was refused or not answered.
    """
    run_client(lambda: _send(reach, text, keys, timeout, as_json=as_json))


async def _send(reach: Reach, text: str, keys: Mapping[str, Any], timeout: float, *, as_json: bool) -> None:  # noqa: ASYNC109 - of each message
    if text != STDIN:
        message_of(text, keys)  # before anything is connected
    _, room = room_of(reach, unread=0, open_timeout=timeout)
    room.on("error", lambda _: None)  # of the connection's own messages; an ask raises its own
    async with room:
        if room.plain:
            await _send_frames(room, text, keys)
            return
        if text != STDIN:
            answer = await _ask(room, message_of(text, keys), timeout)
            _show(answer, as_json=as_json)
            if answer.kind == "ack" and not as_json:
                say(_accepted(answer))
            return
        failed = 0
        async for line in _stdin_lines():
            try:
                _show(await _ask(room, message_of(line, keys), timeout), as_json=as_json)
            except OperatorError as error:
                failed += 1
                say(f"signalpost: {line.strip()[:60]}: {error}")
        if failed:
            raise OperatorError(f"{failed} message{'' if failed == 1 else 's'} failed")


async def _send_frames(room: Room, text: str, keys: Mapping[str, Any]) -> None:
    """Send to a server that answers nothing; a text goes as it is unless keys were given."""
    say("sent without waiting: this server speaks no signalpost.v1, so no answer can be expected")
    if text != STDIN:
        await room.send_raw(_frame(text, keys))
        return
    async for line in _stdin_lines():
        try:
            await room.send_raw(_frame(line, keys))
        except (DisconnectedError, ClosedError) as error:
            raise OperatorError(str(error)) from None


def _frame(text: str, keys: Mapping[str, Any]) -> str:
    return json.dumps(message_of(text, keys), ensure_ascii=False) if keys else text


async def _ask(room: Room, message: Mapping[str, Any], timeout: float) -> Answer:  # noqa: ASYNC109 - as above
    try:
        return await room.ask(message, timeout=timeout)
    except RefusedError as error:
        raise OperatorError(f"refused: {error}") from None
    except TimeoutError as error:
        hint = "a signal of `format: raw` never answers (--plain does not wait)"
        raise OperatorError(f"{error}; {hint}") from None
    except ClosedError as error:
        raise OperatorError(str(error)) from None


def message_of(text: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as a client sends it.

    Args:
        text: a JSON object is the message; any other JSON, or a text that is none, is its ``message``.
        keys: more of them.

    Raises:
        OperatorError: the object and the options say different things, or it has a key that is the command's.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    message = found if isinstance(found, dict) else {"message": found}
    if "ref" in message:
        raise OperatorError('"ref" is chosen by the command: leave it out of the message')
    for key in keys:
        if key in message:
            raise OperatorError(f'the message has "{key}" already: leave out the option, or the key')
    return {**message, **keys}


def _show(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        known = {"at": answer.at, "again": answer.again or None}
        reply = {"value": answer.value} if answer.kind == "reply" else {}
        click.echo(
            json.dumps({answer.kind: {**reply, **{key: each for key, each in known.items() if each is not None}}})
        )
    elif answer.kind == "reply":
        click.echo(line_of(answer.value))


def _accepted(answer: Answer) -> str:
    kept = f", kept at {answer.at}" if answer.at else ""
    return f"accepted{kept}{' (by an earlier message of the same --once)' if answer.again else ''}"


async def _stdin_lines() -> AsyncIterator[str]:
    """Yield the lines of stdin that are not empty, as they come.

    A thread reads, since stdin may be a file, a pipe or a terminal. It reads the descriptor, and not Python's stream,
    whose lock would keep the process from ending while the thread waits.
    """
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[bytes] = asyncio.Queue(_PARTS)
    descriptor = sys.stdin.fileno()

    def read() -> None:
        part = b"-"
        while part:
            part = _read(descriptor)
            with suppress(RuntimeError, CancelledError):  # the command is over
                asyncio.run_coroutine_threadsafe(parts.put(part), loop).result()
                continue
            return

    threading.Thread(target=read, daemon=True, name="stdin").start()
    pending = b""
    while part := await parts.get():
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            if line.strip():
                yield _text(line)
    if pending.strip():
        yield _text(pending)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PART)
    except OSError:  # it is a folder, or a terminal that has gone
        return b""


def _text(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError:
        raise OperatorError("stdin is not UTF-8") from None
