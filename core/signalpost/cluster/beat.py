"""The beat: a node hears itself through the backplane every second, or knows that it is deaf."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from signalpost.backplanes.backplane import Backplane
from signalpost.cluster.channels import channel_of_node
from signalpost.cluster.origin import Origin

LOG = logging.getLogger("signalpost.cluster")

MOST_UNHEARD = 3
"""Beats that the backplane has taken, and that were not heard, before the connection is made anew."""


class Beat:
    """Sends beats, and counts those that are not heard.

    Args:
        backplane: that carries them.
        origin: of this node.
        write: returns the number and the body of a note for a channel.
        clock: returns monotonic seconds.

    Attributes:
        seconds: that the last beat that was heard took through the backplane and back; 0 before the first.
    """

    def __init__(
        self,
        backplane: Backplane,
        origin: Origin,
        write: Callable[[str, dict[str, Any]], tuple[int, bytes]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backplane = backplane
        self._node = origin.node
        self._channel = channel_of_node(origin.tag)
        self._write = write
        self._unheard = 0
        self._clock = clock
        self._sent: float | None = None  # the last beat, until it is heard
        self.seconds = 0.0

    def begin(self) -> None:
        """Count anew: the connection is another one."""
        self._unheard = 0
        self._sent = None

    def send(self) -> None:
        """Send a beat; make the connection anew if too many were not heard."""
        if self._unheard > MOST_UNHEARD:
            self._unheard = 0
            LOG.error("this node does not hear what it publishes: its connection to the backplane is made anew")
            self._backplane.reconnect()
            return
        if self._sent is None:  # else an earlier one is under way: it is that one's time that counts
            self._sent = self._clock()
        _, body = self._write(self._channel, {"beat": 1})
        self._backplane.publish(self._channel, body).add_done_callback(self._taken)

    def heard(self, node: int) -> None:
        """Called with a beat of a node."""
        if node == self._node:
            self._unheard = 0
            if self._sent is not None:
                self.seconds, self._sent = self._clock() - self._sent, None

    def _taken(self, answer: "asyncio.Future[int]") -> None:
        """Count a beat that the backplane has taken: one that is slow, or away, makes nobody deaf."""
        if not answer.cancelled() and answer.exception() is None:
            self._unheard += 1
