"""The input of `signalpost try`: clients that are imagined, and what is tried."""

from dataclasses import dataclass
from typing import Any

from signalpost.auth.identity import GUEST, Identity


@dataclass(frozen=True, slots=True)
class Imagined:
    """A simulated client.

    Attributes:
        path: of its connection, percent-decoded.
        groups: that it has joined.
        identity: who it is.
    """

    id: str
    path: str
    groups: tuple[str, ...] = ()
    identity: Identity = GUEST


@dataclass(frozen=True, slots=True)
class Question:
    """What to try.

    Attributes:
        path: of the sender's connection, or of a request; percent-encoded or not.
        text: to send; the body of a request.
        groups: of the sender.
        others: more clients; by default one on the same path and one on another.
        state: for actions and handlers; JSON.
        endpoint: the name of a ws endpoint; None is the first that has a signal for `path`.
        method: of a request; None is a message on a WebSocket.
        call: whether plugins' code is called.
        person: who asks, one of the people in ``auth``; None is a guest.
    """

    path: str
    text: str
    groups: tuple[str, ...] = ()
    others: tuple[Imagined, ...] = ()
    state: Any = None
    endpoint: str | None = None
    method: str | None = None
    call: bool = False
    person: str | None = None
