"""The errors of the client.

::

    RoomError
    ├── ConnectError         no welcome came: refused, unreachable, not signalpost
    ├── ClosedError          the room is closed for good
    ├── DisconnectedError    `Room.send` while there is no connection; also a ConnectionError
    └── RefusedError         the server refused a message or a request, or its handler failed

An answer that does not come in time is Python's own TimeoutError.
"""


class RoomError(Exception):
    """Base of all errors that the client raises on purpose."""


class ConnectError(RoomError):
    """The first connection did not come about; the text says why, and what that probably means.

    Attributes:
        status: of HTTP, if the server answered the handshake with one; else None.
        code: of WebSocket, if the server closed the connection; else None.
    """

    def __init__(self, text: str, status: int | None = None, code: int | None = None) -> None:
        self.status = status
        self.code = code
        super().__init__(text)


class ClosedError(RoomError):
    """The room is closed for good, and does not come back.

    Attributes:
        code: of WebSocket: 1008 (refused by policy), 4009 (closed by a handler), 4401 (no good token), 4403 (not
            allowed) or 4410 (another connection has the session); 1000 if the app itself has closed the room.
        reason: what the server said; may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the room is closed for good: {code}{f', {reason}' if reason else ''}")


class DisconnectedError(RoomError, ConnectionError):
    """There is no connection now, so a message without an answer was not sent; `Room.ask` would wait for one."""


class RefusedError(RoomError):
    """The server refused a message or a request, or its handler failed.

    Attributes:
        code: as of the server: ``bad-message``, ``schema-mismatch``, ``target-not-allowed``, ``handler-failed`` …
        pointer: a JSON Pointer (RFC 6901) into the message; empty for the whole.
        detail: one sentence for a person.
        again: whether this is the answer to a repeat (`once`).
    """

    def __init__(self, code: str, detail: str = "", pointer: str = "", *, again: bool = False) -> None:
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.again = again
        super().__init__(f"{code}{f' at {pointer}' if pointer else ''}{f': {detail}' if detail else ''}")
