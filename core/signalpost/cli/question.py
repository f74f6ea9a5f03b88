"""What `signalpost try` is asked."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Imagined:
    """A client to imagine.

    Attributes:
        path: where it is connected, percent-decoded.
        groups: those it has joined.

    """

    id: str
    path: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be tried.

    Attributes:
        path: where the sender is connected, or what a request asks for; percent-encoded or not.
        text: what is sent; the body of a request.
        groups: of the sender.
        others: further clients; empty is one on the same path and one on another.
        state: what actions and handlers find; JSON.
        endpoint: the name of a ws endpoint; None is the first that has a signal for `path`.
        method: of a request; None is a message on a WebSocket.
        call: whether code of plugins is called.

    """

    path: str
    text: str
    groups: tuple[str, ...] = ()
    others: tuple[Imagined, ...] = ()
    state: Any = None
    endpoint: str | None = None
    method: str | None = None
    call: bool = False
