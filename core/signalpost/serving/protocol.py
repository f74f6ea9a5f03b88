"""Sanic's protocol, for what the doorman has not taken: it lets go of its transport, and of clients that dawdle."""

import math
from time import monotonic
from typing import Any, cast

from sanic.exceptions import RequestTimeout
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

# Seconds in which a client may still read that its request took too long.
_LAST_WORD = 1.0


class _Http(Http):
    """Sanic's reader of requests, which says when it turns to the next one."""

    def init_for_request(self) -> None:
        super().init_for_request()  # type: ignore[no-untyped-call]
        cast("HandingOver", self.protocol).expect_request()


class HandingOver(HttpProtocol):
    """Sanic's protocol, which can let go of its transport.

    Sanic alone waits for ever for a head that comes byte by byte, for a body that does not come behind an Upgrade, and
    for the rest of a body that it has answered already. Here the head of a request must be there in REQUEST_TIMEOUT,
    the first one's counted from the connection's start, a further one's from its first bytes. In a body no silence may
    be longer.

    Args:
        begun: when the connection was made, as `time.monotonic` has it.

    """

    __slots__ = ("_begun", "_due", "_first")
    HTTP_CLASS = _Http

    def __init__(self, *, begun: float, **options: Any) -> None:
        super().__init__(**options)
        self._begun = begun
        self._first = True
        self._due = math.inf

    def hand_over(self) -> bytes:
        """Let go of the transport without closing it; give the bytes that came behind the request."""
        early = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        self.connections.discard(self)
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        # What is left of the request's task closes its transport at the end, if it has one.
        self.transport = None
        return early

    def end(self) -> None:
        """Close the connection at once, whatever it is at."""
        if self._callback_check_timeouts:
            self._callback_check_timeouts.cancel()
        if self.transport is not None:
            # Not the protocol's abort(): without its transport the request's task fails, and says so in the log.
            self.transport.abort()

    def expect_request(self) -> None:
        """Begin to wait for the head of a request."""
        if self._first:
            self._due = self._begun + self.request_timeout
            self._first = False
        else:
            self._due = monotonic() + self.request_timeout if self.recv_buffer else math.inf

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self._due == math.inf:
            self._due = monotonic() + self.request_timeout
        super().data_received(data)

    def check_timeouts(self) -> None:
        """End a request that is late; Sanic calls this now and then while there is a connection."""
        http: Http | None = self.http
        if self._task is None or http is None or not self._is_late(http):
            if http is not None and getattr(http, "request_body", None) and http.upgrade_websocket:
                # Sanic takes this for an open WebSocket, and would look no more.
                self._callback_check_timeouts = self.loop.call_later(self.request_timeout / 2, self.check_timeouts)
            else:
                super().check_timeouts()  # type: ignore[no-untyped-call]
            return
        http.exception = RequestTimeout("Request Timeout")
        self._task.cancel()
        self._callback_check_timeouts = self.loop.call_later(_LAST_WORD, self.end)

    def _is_late(self, http: Http) -> bool:
        if getattr(http, "request_body", None):  # not all has come; at first there is no such attribute
            return bool(monotonic() - self._time > self.request_timeout)
        return http.stage in (Stage.IDLE, Stage.REQUEST) and monotonic() >= self._due
