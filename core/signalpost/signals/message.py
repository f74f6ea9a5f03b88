"""A client's message: from the text of a frame to known keys in their canonical spelling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from signalpost.config.model import RequestedTarget
from signalpost.errors import ClientError, ErrorCode
from signalpost.events import MessageData
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.rejection import type_of
from signalpost.jsontext import LARGE, SHALLOW, TooManyValuesError, is_deep, load
from signalpost.paths import fold_case
from signalpost.signals.answers import Answer, Ref

_KEYS = frozenset({"message", "path", "clientId", "group", "direct", "ref"})
_CONVERSING_KEYS = _KEYS | {"once"}
_USER = "user"
_BY_FOLDED_KEY = {fold_case(key): key for key in _KEYS}
_CONVERSING_BY_FOLDED_KEY = {fold_case(key): key for key in _CONVERSING_KEYS}
_FOLDED_USER = {_USER: _USER}
_MAX_REF = 64
_MAX_ONCE = 64

RESERVED = "signalpost"
"""The key of a request to the server itself, from clients that converse (`signalpost.delivery.codec.Codec`)."""
_loads = orjson.loads

AWAITED: Ref = "awaited"
"""The mark of a message without one that is answered; compared by identity, so that no client's own is taken for it."""


@dataclass(slots=True)
class ClientMessage:
    """What a client sent. Not frozen because one is created per message, and a frozen one costs three times as much.

    Attributes:
        message: any JSON value; None and ``""`` are empty.
        path: requested as target; None requests nothing. The same holds for `client_id`, `group` and `user`.
        direct: whether it goes back to its sender alone.
        ref: the client's own mark, echoed in the answer.
        once: by which a repeat of the message is known; only from clients that converse.
        answer: that it is to get; None if it gets none but an error.
        targeted: whether it requests any target: path, id, group or direct.
        document: the whole object without ``ref``; None if `message` is its only key.
        shut: wards whose ``may.target`` refuses it, if a handler sends something to the group or user that it requests.
    """

    message: Any
    path: str | None = None
    client_id: str | None = None
    group: str | None = None
    direct: bool = False
    ref: Ref | None = None
    targeted: bool = False
    document: dict[str, Any] | None = None
    once: str | None = None
    answer: Answer | None = None
    user: str | None = None
    shut: frozenset[str] = frozenset()

    @property
    def own_ref(self) -> Ref | None:
        """The mark as the client wrote it, for plugins; None for `AWAITED`."""
        return None if self.ref is AWAITED else self.ref

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send (Pode behaviour 11): 0, false and [] are something."""
        return self.message is None or self.message == ""

    @property
    def strange(self) -> bool:
        """Whether it has keys of its own, but no ``message``: then its content is in keys that nothing reads."""
        document = self.document
        if document is None or "message" in document or _KEYS.issuperset(document):
            return False
        return self.user is None or not (_KEYS | {_USER}).issuperset(document)

    @property
    def data(self) -> MessageData:
        """The message for plugins and expressions."""
        document = self.document or {"message": self.message}
        return MessageData(
            self.message,
            self.path,
            self.client_id,
            self.group,
            self.direct,
            self.own_ref,
            document,
            self.user,
        )

    def requested(self) -> list[RequestedTarget]:
        """Return the names of what the client requests."""
        return [
            requested
            for requested, asked in (
                (RequestedTarget.PATH, self.path is not None),
                (RequestedTarget.CLIENT_ID, self.client_id is not None),
                (RequestedTarget.GROUP, self.group is not None),
                (RequestedTarget.DIRECT, self.direct),
                (RequestedTarget.USER, self.user is not None),
            )
            if asked
        ]


NO_MESSAGE = ClientMessage(None)
"""In place of a message, where a client is known but has sent none."""


class RejectedMessageError(Exception):
    """A message was rejected.

    Attributes:
        error: what its sender is told.
        ref: the message's own mark, if it could be read.
        message: that the schema refused; None if it was no message at all.
    """

    def __init__(self, error: ClientError, ref: Ref | None = None, message: ClientMessage | None = None) -> None:
        self.error = error
        self.ref = ref
        self.message = message
        super().__init__(str(error))


class ReservedKeyError(Exception):
    """An object is a request to the server itself.

    Attributes:
        document: the object.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        super().__init__(RESERVED)


def read_message(
    payload: bytes, gate: SchemaGate | None, *, converses: bool = False, names_users: bool = False
) -> ClientMessage:
    """Read the UTF-8 text of a frame.

    Keys match exactly first, then ignoring the case of A to Z (Pode behaviour 10). `gate` validates the object in the
    canonical spelling, without ``ref`` and ``once``.

    Args:
        payload: of the frame.
        gate: of the signal; None accepts every object.
        converses: whether the client may write ``once``, and the reserved key (`signalpost.delivery.codec.Codec`).
        names_users: whether ``user`` is a known key, which requests a target.

    Raises:
        RejectedMessageError: it is not a JSON object, a known key has the wrong type, or `gate` rejects it.
        ReservedKeyError: it is no message, but a request to the server itself.
    """
    try:
        document = load(payload)
    except orjson.JSONDecodeError as error:
        text = f"not JSON: {_json_error(error)}"
        raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text)) from None
    except TooManyValuesError as error:
        raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, f"the message holds {error}")) from None
    if type(document) is not dict:
        text = f'a message is a JSON object such as {{"message": "hello"}}, not {type_of(document)}'
        raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text))
    if len(document) == 1 and "message" in document:
        message, ref = ClientMessage(document["message"]), None
    else:
        message = _with_keys(document, converses=converses, names_users=names_users)
        ref = message.ref
    rejection = (
        None
        if gate is None
        else gate.rejection(message.document if message.document is not None else document, payload)
    )
    if rejection is not None:
        mismatch = ClientError(ErrorCode.SCHEMA_MISMATCH, rejection.detail, rejection.pointer)
        raise RejectedMessageError(mismatch, ref, message)
    return message


def _with_keys(document: dict[str, Any], *, converses: bool, names_users: bool) -> ClientMessage:
    """Return the message that an object with more keys than ``message`` is."""
    if not document.keys() <= _KEYS:
        known = _CONVERSING_BY_FOLDED_KEY if converses else _BY_FOLDED_KEY
        document = _in_one_spelling(document, known | _FOLDED_USER if names_users else known)
    if converses and RESERVED in document:
        raise ReservedKeyError(document)
    ref = document.pop("ref", None)
    if ref is not None:
        check_ref(ref)
    message = ClientMessage(
        document.get("message"),
        _text(document, "path", ref),
        _text(document, "clientId", ref),
        _text(document, "group", ref),
        _truth(document, "direct", ref),
        ref,
    )
    if converses and (once := document.pop("once", None)) is not None:
        _check_once(once, ref)
        message.once = once
    if names_users and _USER in document:
        message.user = _text(document, _USER, ref)
        if message.user is None:
            del document[_USER]
    message.targeted = bool(message.requested())
    message.document = document
    return message


def read_value(payload: bytes, gate: SchemaGate | None) -> Any:
    """Read a message that has only a value and no target: the fast path for most messages.

    Returns:
        The value that `read_message` would return; None for every other message, if rejected, empty, large or
        slow to validate: see `read_message`.
    """
    size = len(payload)
    if (size > SHALLOW and (size >= LARGE or is_deep(payload))) or (gate is not None and size > gate.short):
        return None  # `read_message` examines it and validates it once
    try:
        document = _loads(payload)
    except orjson.JSONDecodeError:
        return None
    if (
        type(document) is dict
        and len(document) == 1
        and (value := document.get("message"))
        and (gate is None or gate.accepts(document))
    ):
        return value
    return None


def _in_one_spelling(document: dict[str, Any], known_keys: Mapping[str, str]) -> dict[str, Any]:
    """Convert known keys to their canonical spelling; if the exact key is present, its variants are left alone."""
    renamed: dict[str, Any] = {}
    for key, value in document.items():
        known = known_keys.get(fold_case(key), key)
        renamed[key if known in document or known in renamed else known] = value
    return renamed


def check_ref(ref: Any) -> None:
    """Check a client's own mark of a message.

    Raises:
        RejectedMessageError: it is neither a short text nor a whole number.
    """
    if isinstance(ref, str) and len(ref) <= _MAX_REF:
        return
    if isinstance(ref, int) and not isinstance(ref, bool):
        return
    given = f"{len(ref)} characters" if isinstance(ref, str) else type_of(ref)
    text = f"ref is a string of at most {_MAX_REF} characters or a whole number, not {given}"
    raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text, "/ref"))


def _check_once(once: Any, ref: Ref | None) -> None:
    if isinstance(once, str) and 0 < len(once) <= _MAX_ONCE:
        return
    given = f"{len(once)} characters" if isinstance(once, str) else type_of(once)
    text = f"once is a string of 1 to {_MAX_ONCE} characters, not {given}"
    raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text, "/once"), ref)


def _text(document: dict[str, Any], key: str, ref: Ref | None) -> str | None:
    """Read a key that narrows the target: null means absent; empty text is rejected, as it would mean everyone."""
    value = document.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    if value == "":
        text = f"{key} is empty: leave it out, or send null, to ask for no {key} at all"
    else:
        text = f"{key} is a string, not {type_of(value)}"
    raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text, f"/{key}"), ref)


def _truth(document: dict[str, Any], key: str, ref: Ref | None) -> bool:
    value = document.get(key)
    if value is None or isinstance(value, bool):
        return value or False
    text = f"{key} is true or false, not {type_of(value)}"
    raise RejectedMessageError(ClientError(ErrorCode.BAD_MESSAGE, text, f"/{key}"), ref)


def _json_error(error: orjson.JSONDecodeError) -> str:
    """Return the words for a JSON error, without the message's own text."""
    return f"{error.msg.split(':')[0]} at character {error.pos}"
