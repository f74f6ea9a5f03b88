"""Hears of peers that have hung up while their connections are not read from, which no loop tells."""

import asyncio
import contextlib
import select
from collections.abc import Callable

_EPOLL = getattr(select, "epoll", None)  # Linux has it
_RESET = getattr(select, "EPOLLERR", 0) | getattr(select, "EPOLLHUP", 0)
_GONE = getattr(select, "EPOLLRDHUP", 0)

Hear = Callable[[bool], None]


class Hangups:
    """Watches descriptors for their peers' end alone (epoll(7), EPOLLRDHUP), whatever else could be read of them.

    It has no descriptor until one is watched. Where the system has no epoll, an end is noticed when it is read.
    """

    def __init__(self) -> None:
        self._hears: dict[int, Hear] = {}
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop

    def watch(self, descriptor: int, hear: Hear) -> None:
        """Call `hear` once when the peer has hung up: with True if the connection was reset. Twice is no error."""
        if _EPOLL is None or descriptor < 0 or descriptor in self._hears:
            return
        try:
            epoll = self._epoll or self._open()
            epoll.register(descriptor, _GONE)
        except OSError:  # no descriptor is left, or this one is of no socket
            return
        self._hears[descriptor] = hear

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; one that is not watched is no error."""
        if self._hears.pop(descriptor, None) is not None and self._epoll is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Watch nothing any more."""
        self._hears.clear()
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _open(self) -> "select.epoll":
        epoll = self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(epoll.fileno(), self._look)
        return epoll

    def _look(self) -> None:
        if self._epoll is None:
            return
        for descriptor, events in self._epoll.poll(0):
            hear = self._hears.get(descriptor)
            self.forget(descriptor)
            if hear is not None:
                hear(bool(events & _RESET))
