"""Plugins' filters, called for every message and broadcast before anything else; without filters nothing is called.

::

    message of a client -> schema -> filter of messages -> decide -> handler, actions, or
    value of anybody ----------------------------------------------> filter of broadcasts -> hub
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from signalpost.delivery.client import Client
from signalpost.events import MessageData

_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")


class Veto(Exception):  # noqa: N818 - what a filter says
    """Raised by a filter: the message, or the broadcast, is dropped.

    Args:
        code: for the sender's program: words of lowercase letters, digits and hyphens. Without it nobody is told.
        detail: one sentence for the person who sent it.
        pointer: a JSON Pointer (RFC 6901) to what is wrong in the message; empty for the whole.
    """

    def __init__(self, code: str = "", detail: str = "", pointer: str = "") -> None:
        if code and not _CODE.fullmatch(code):
            raise ValueError(f'a code is small letters, digits and hyphens, as in "too-long", not {code!r}')
        super().__init__(detail or code or "vetoed")
        self.code = code
        self.detail = detail
        self.pointer = pointer


@dataclass(slots=True)
class Outgoing:
    """A value on its way to clients. A filter may replace the value.

    Attributes:
        value: what is sent: JSON, or of a signal with ``format: raw`` text or bytes. None sends nothing.
        path: only clients on this path; None is any path. The next two, and `user`, work the same way.
        groups: only clients of one of these.
        client: only the client of this id.
        origin: the path that it comes from; None if no client's message caused it.
        raw: whether it is a frame of a signal with ``format: raw``.
        user: only clients of this user.
    """

    value: Any
    path: str | None = None
    groups: frozenset[str] | None = None
    client: str | None = None
    origin: str | None = None
    raw: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of all plugins. Each raises nothing but `Veto`.

    Attributes:
        message: is called with a message that its schema accepted, and may change it; None if there is none.
        broadcast: is called with a value to send, and may change it; None if there is none.
    """

    message: Callable[[MessageData, Client], None] | None = None
    broadcast: Callable[[Outgoing], None] | None = None
