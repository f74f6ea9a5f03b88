"""Requests to the server itself: ``{"signalpost": {"history": {…}}, "ref": 2}``, of clients that converse."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from signalpost.errors import ClientError, ErrorCode
from signalpost.history.position import Position, read_position
from signalpost.history.stream import Entry, Stream, Why
from signalpost.jsonschemas.rejection import type_of
from signalpost.paths import path_of
from signalpost.signals.answers import Ref
from signalpost.signals.message import RESERVED, RejectedMessageError, check_ref
from signalpost.signals.recovery import MOST_BYTES, MOST_ENTRIES
from signalpost.words import unknown

TOKEN = "token"  # noqa: S105 - the name of a request
"""The request by which a client shows another token."""

_OPTIONS = {"history": ("before", "after", "limit", "path"), "presence": ("path",), TOKEN: ()}
_USUAL = 100


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request that a client may make.

    Attributes:
        kind: ``history``, ``presence`` or ``token``.
        path: that it asks for; None is the client's own.
        before: the position that the values come before; None is the newest.
        after: the position that they come after.
        limit: how many values it wants at most.
        ref: the client's own mark.
        token: that it shows.
    """

    kind: str
    path: str | None
    before: Position | None = None
    after: Position | None = None
    limit: int = _USUAL
    ref: Ref | None = None
    token: str = field(default="", repr=False)


def read_request(document: Mapping[str, Any]) -> ServerRequest:
    """Read an object with the reserved key.

    Raises:
        RejectedMessageError: it is no request that is known.
    """
    ref = document.get("ref")
    if ref is not None:
        check_ref(ref)
    try:
        return _read(document, ref)
    except ClientError as error:
        raise RejectedMessageError(error, ref) from None


def _read(document: Mapping[str, Any], ref: Ref | None) -> ServerRequest:
    """Read an object whose ``ref`` is valid.

    Raises:
        ClientError: it is no request that is known.
    """
    if len(document) > 1 + ("ref" in document):
        text = f'the key "{RESERVED}" is a request of its own: send it without others but ref'
        raise ClientError(ErrorCode.BAD_MESSAGE, text, f"/{RESERVED}")
    said = document[RESERVED]
    if not isinstance(said, dict) or len(said) != 1:
        given = (f"{len(said)}" if said else "an empty mapping") if isinstance(said, dict) else type_of(said)
        text = f'it holds one request, such as {{"history": {{"limit": 10}}}}, not {given}'
        raise ClientError(ErrorCode.UNKNOWN_REQUEST, text, f"/{RESERVED}")
    ((kind, options),) = said.items()
    if kind not in _OPTIONS:
        raise ClientError(ErrorCode.UNKNOWN_REQUEST, unknown("request", kind, tuple(_OPTIONS)), f"/{RESERVED}")
    pointer = f"/{RESERVED}/{kind}"
    if kind == TOKEN:
        return _read_token(options, pointer, ref)
    return _read_options(kind, options, pointer, ref)


def _read_token(token: Any, pointer: str, ref: Ref | None) -> ServerRequest:
    if not isinstance(token, str):
        raise ClientError(ErrorCode.BAD_MESSAGE, f"a token is a text, not {type_of(token)}", pointer)
    return ServerRequest(TOKEN, None, ref=ref, token=token)


def _read_options(kind: str, options: Any, pointer: str, ref: Ref | None) -> ServerRequest:
    if not isinstance(options, dict):
        raise ClientError(ErrorCode.BAD_MESSAGE, f"{kind} is a mapping, not {type_of(options)}", pointer)
    for name in options:
        if name not in _OPTIONS[kind]:
            raise ClientError(ErrorCode.BAD_MESSAGE, unknown("option", name, _OPTIONS[kind]), pointer)
    path = options.get("path")
    if path is not None and not isinstance(path, str):
        raise ClientError(ErrorCode.BAD_MESSAGE, f"path is a string, not {type_of(path)}", f"{pointer}/path")
    limit = options.get("limit", _USUAL)
    if type(limit) is not int or not 0 < limit <= MOST_ENTRIES:
        text = f"limit is a whole number from 1 to {MOST_ENTRIES:,}"
        raise ClientError(ErrorCode.BAD_MESSAGE, text, f"{pointer}/limit")
    before, after = (_position(options.get(name), f"{pointer}/{name}") for name in ("before", "after"))
    if before is not None and after is not None:
        text = "before and after exclude each other: leave one out"
        raise ClientError(ErrorCode.BAD_MESSAGE, text, f"{pointer}/after")
    return ServerRequest(kind, path, before, after, limit, ref)


def _position(text: Any, pointer: str) -> Position | None:
    if text is None:
        return None
    position = read_position(text) if isinstance(text, str) else None
    if position is None:
        raise ClientError(ErrorCode.BAD_MESSAGE, "a position is a text that came with a value, as at", pointer)
    return position


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the values of a stream.

    Attributes:
        values: with their positions, oldest first.
        at: the position behind the last of them; the newest one if there are none.
        more: whether there are more of them in the direction of the request.
    """

    values: tuple[tuple[Position, Entry], ...]
    at: Position
    more: bool


class UnknownPositionError(ValueError):
    """What is next to a position is not known any more."""


def read_history(
    stream: Stream, session: str | None, limit: int, before: Position | None = None, after: Position | None = None
) -> Slice:
    """Return the newest values of a stream, or those next to a position; never more than a client may read at once.

    Args:
        stream: what is too old has been removed from it.
        session: of the client that reads; values that leave it out are skipped. None reads all.
        limit: how many values at most.
        before: the values end before this one.
        after: the values begin behind this one.

    Raises:
        UnknownPositionError: the position is not good any more.
    """
    for position in (before, after):
        why = None if position is None else stream.doubt(position)
        if why is Why.TOO_OLD and position is before:
            return Slice((), stream.at, more=False)
        if why is not None:
            raise UnknownPositionError(f"the history does not know this position ({why.value}): ask without it")
    found: list[tuple[Position, Entry]] = []
    room = MOST_BYTES
    offset = after.offset + 1 if after is not None else stream.top if before is None else before.offset - 1
    step = 1 if after is not None else -1
    while len(found) < limit and (entry := stream.entry(offset)) is not None:
        room -= len(entry.data)
        if room < 0 and found:
            break
        if entry.left_out is None or entry.left_out != session:
            found.append((stream.position(offset), entry))
        offset += step
    while (entry := stream.entry(offset)) is not None and entry.left_out is not None and entry.left_out == session:
        offset += step
    more = entry is not None
    values = tuple(found[::step])
    return Slice(values, values[-1][0] if values else stream.at, more)


def history_body(stream: Stream, found: Slice) -> Mapping[str, Any]:
    """Return what a client is told of a slice."""
    path = path_of(stream.place)
    signals = [
        {
            "path": path,
            "at": str(position),
            "value": entry.data.decode() if entry.is_text else orjson.Fragment(entry.data),
        }
        for position, entry in found.values
    ]
    return {"path": path, "signals": signals, "at": str(found.at), "more": found.more}
