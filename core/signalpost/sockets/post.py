"""A message by POST: a client that comes for one message, and whose answer is the response."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter
from typing import Any

import orjson

from signalpost.delivery.codec import Encoding, V1Codec
from signalpost.delivery.publication import Publication
from signalpost.delivery.transport import Buffer, RecordingTransport
from signalpost.errors import ErrorCode
from signalpost.http.errorpages import STATUS_OF_CODE
from signalpost.node import Node
from signalpost.signals.admission import Accept
from signalpost.signals.conversation import Conversation
from signalpost.sockets.rate import Allowance
from signalpost.websocket.frames import CloseCode, Opcode, encode_close
from signalpost.websocket.handshake import HandshakeRejection

_BINARY = int(Opcode.BINARY)
_COMES_BACK = frozenset({CloseCode.GOING_AWAY, CloseCode.SERVER_ERROR, CloseCode.RESTART, CloseCode.TRY_AGAIN_LATER})
_STATUS_OF_ANSWER = {
    "ack": HTTPStatus.ACCEPTED,
    "reply": HTTPStatus.OK,
    "history": HTTPStatus.OK,
    "presence": HTTPStatus.OK,
}


class _LineCodec(V1Codec):
    """The objects of ``signalpost.v1``, a line each."""

    name = "post"
    answers_close = False

    def framed(self, text: bytes, at: object = None) -> bytes:
        """See `V1Codec.framed`."""
        return text + b"\n"

    def raw(self, publication: Publication) -> bytes:
        """Encode a text frame as a value; a binary frame as null, which JSON cannot carry."""
        value = None if publication.opcode == _BINARY else publication.data.decode()
        return self.notice("signal", {"path": publication.path, "value": value})

    def lagged(self, missed: int, between: object = None) -> bytes:
        """Encode nothing: a visitor is not slow."""
        return b""

    def alive(self) -> bytes:
        """Encode nothing: an empty message is a mistake here."""
        return b""

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode why the client is sent away."""
        encode_close(code, reason)  # judges the code
        return self.notice("close", {"code": int(code), "reason": reason})


_LINES = Encoding(_LineCodec())


@dataclass(slots=True)
class Answered:
    """The response to a message.

    Attributes:
        status: of HTTP.
        body: JSON: one of ``ack``, ``reply``, ``history``, ``presence`` and ``error``; and ``signals``, what else was
            sent to the poster alone.
    """

    status: int
    body: dict[str, Any] = field(default_factory=dict)


class Post(RecordingTransport):
    """The transport and the source of a client that comes for one message.

    Args:
        node: that the message is for.
        allowance: what the client may send; None is no limit.
    """

    def __init__(self, node: Node, allowance: Allowance | None) -> None:
        super().__init__()
        self._node = node
        self._allowance = allowance
        self._lines: list[dict[str, Any]] = []
        self._changed: asyncio.Future[None] | None = None
        self._reads = True

    async def send(self, accept: Accept, session: str, opcode: int, payload: bytes) -> Answered:
        """Let an admitted client in, handle its message, and return the answer.

        Args:
            accept: the decision about it.
            session: that it names; may be empty.
            opcode: of the frame that a WebSocket would have sent.
            payload: of that frame.

        Raises:
            HandshakeRejection: it was sent away.
        """
        node = self._node
        conversation = node.visit(self, accept, _LINES, self, session)
        client = conversation.client
        try:
            while not self._reads and not client.closing:
                await self._change()
            if not client.closing:
                begun = perf_counter()
                conversation.receive_awaited(opcode, payload)
                self.charge(perf_counter() - begun)
            await self._wait(conversation)
        finally:
            self._leave(conversation)
        return self._answer()

    async def _wait(self, conversation: Conversation) -> None:
        """Wait until the message is answered, and nothing handles it any more."""
        client, node = conversation.client, self._node
        awaited = conversation.awaits_answer
        while True:
            node.hub.flush()
            handling = [task for task, sender in node.running.items() if sender is client]
            if handling:
                await asyncio.wait(handling)
            elif client.closing or not awaited or any(map(_is_answer, self._lines)):
                return
            else:  # it repeats a message that is under way
                await self._change()

    def _leave(self, conversation: Conversation) -> None:
        client, node = conversation.client, self._node
        sent_away = client.closing
        client.left(CloseCode.NORMAL)
        conversation.left()
        node.report_gone(conversation, sent_away=sent_away)
        node.forget(client)
        conversation.disconnected(client.close_code)

    def _answer(self) -> Answered:
        """Return the response that is made of what the client was sent.

        Raises:
            HandshakeRejection: it was sent away.
        """
        found = Answered(HTTPStatus.ACCEPTED, {"ack": {}})
        signals: list[Any] = []
        for line in self._lines:
            for kind, body in line.items():
                if kind == "signal":
                    signals.append(body)
                elif kind == "error":
                    found = Answered(_status_of(body["code"]), _without_ref(kind, body))
                elif kind == "close":
                    if not any(map(_is_answer, self._lines)):
                        raise _sent_away(body)
                elif kind in _STATUS_OF_ANSWER:
                    found = Answered(_STATUS_OF_ANSWER[kind], _without_ref(kind, body))
        if signals:
            found.body["signals"] = signals
        return found

    # The transport of its client

    def write(self, data: Buffer) -> None:
        """Take what the client is sent."""
        self._lines += map(orjson.loads, bytes(data).splitlines())
        self._note_change()

    def write_eof(self) -> None:
        """Close."""
        super().write_eof()
        self._note_change()

    close = abort = write_eof

    # The source of its message

    def read_on(self, on: bool) -> None:
        """Handle the message, or wait."""
        self._reads = on
        self._note_change()

    def note_waiting(self, change: int) -> None:
        """Do nothing: the body of a request is counted with its connection."""

    def charge(self, seconds: float) -> None:
        """Charge the client for work that its message has caused."""
        if self._allowance is not None:
            self._allowance.seconds -= seconds

    def _note_change(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed


def _status_of(code: str) -> int:
    """Return the status for the code of an error; a plugin's filter refuses messages with codes of its own."""
    return STATUS_OF_CODE[ErrorCode(code)] if code in set(ErrorCode) else HTTPStatus.UNPROCESSABLE_ENTITY


def _is_answer(line: Mapping[str, Any]) -> bool:
    return not _STATUS_OF_ANSWER.keys().isdisjoint(line) or "error" in line


def _without_ref(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as the body of a response, to which a mark would add nothing."""
    return {kind: {key: value for key, value in body.items() if key != "ref"}}


def _sent_away(close: Mapping[str, Any]) -> HandshakeRejection:
    if close["code"] in _COMES_BACK:
        return HandshakeRejection(503, "The server cannot take this message now; try again.", {"retry-after": "5"})
    return HandshakeRejection(403, close["reason"] or "This client was sent away.")
