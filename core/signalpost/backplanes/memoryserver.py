"""The server of a backplane in memory, with the troubles that it may have as a whole."""

import time
from collections.abc import Callable, Collection
from typing import Protocol

from signalpost.backplanes.backplane import Hearing
from signalpost.backplanes.memorystore import MemoryStore


class Connection(Protocol):
    """What the server knows of a node (`signalpost.backplanes.memory.MemoryBackplane`)."""

    @property
    def heard(self) -> Collection[str]:
        """The channels whose bodies go there."""

    def bring(self, hear: Callable[[Hearing], None]) -> None:
        """Called with a body for it."""

    def lose(self, why: str, done: int | None) -> None:
        """Called when the connection ends; `done` is as of `MemoryServer.cut`."""

    def connect_soon(self) -> None:
        """Called when the server is there again."""

    def go_on(self) -> None:
        """Called when the server goes on."""


class MemoryServer:
    """What the nodes of one process share in place of Redis.

    Args:
        clock: seconds since 1970.

    Attributes:
        store: what is kept.
        refusal: why nothing is done that is asked for, and no node may start; None for all is well.
        down: whether there is no server.
        stalled: whether it stands still.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.store = MemoryStore(clock)
        self.refusal: str | None = None
        self.down = self.stalled = False
        self.connections: list[Connection] = []

    def cut(self, done: int | None = None) -> None:
        """Lose all connections, until `heal`; a server that stood still does not any more.

        Args:
            done: how many of the calls that wait at each connection are done nevertheless; None is all. None of them
                is answered.
        """
        self.down, self.stalled = True, False
        for connection in self.connections:
            connection.lose("the server is down", done)

    def heal(self) -> None:
        """Be there again; all that are not cut themselves connect."""
        self.down = False
        for connection in self.connections:
            connection.connect_soon()

    def stall(self) -> None:
        """Do nothing, and tell nothing, until `resume`: as a process that is stopped."""
        self.stalled = True

    def resume(self) -> None:
        """Go on where `stall` stopped."""
        self.stalled = False
        for connection in self.connections:
            connection.go_on()

    def wipe(self) -> None:
        """Lose all that is kept; connections stay."""
        self.store.wipe()

    def fail_over(self, lag: int = 0, done: int | None = None) -> None:
        """Let a replica take over, under the same epochs; all connections are lost, and made again.

        Args:
            lag: how many entries, the newest of all channels together, the replica does not have.
            done: see `cut`.
        """
        self.cut(done)
        self.store.lose_newest(lag)
        self.heal()

    def publish(self, channel: str, hear: Callable[[Hearing], None]) -> int:
        """Bring a body to all who follow a channel; return how many they are."""
        followers = [connection for connection in self.connections if channel in connection.heard]
        for connection in followers:
            connection.bring(hear)
        return len(followers)
