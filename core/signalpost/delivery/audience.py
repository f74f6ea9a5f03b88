"""An audience: the clients that one target reaches, kept so that writing to all of them is one tight loop."""

from collections.abc import Iterator

from signalpost.delivery.client import Client
from signalpost.delivery.frames import Dialect, Frame


class Lane:
    """The clients of an audience that read one dialect.

    Attributes:
        dialect: what they read.
        direct: by descriptor, ready to be written to; iterating it gives descriptors alone, which is what the
            fastest loop wants.
        indirect: those with an outbox; an ordered set.

    """

    __slots__ = ("dialect", "direct", "indirect")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.direct: dict[int, Client] = {}
        self.indirect: dict[Client, None] = {}

    def encoding(self, frame: Frame) -> bytes:
        """Give the frame as this lane's clients read it."""
        return frame.plain if self.dialect is Dialect.PLAIN else frame.v1

    def add(self, client: Client) -> None:
        """Add a client in its present mode."""
        if client.direct:
            self.direct[client.descriptor] = client
        else:
            self.indirect[client] = None

    def discard(self, client: Client) -> None:
        """Take a client out, whichever mode it was added in."""
        if self.direct.get(client.descriptor) is client:
            del self.direct[client.descriptor]
        self.indirect.pop(client, None)


class Audience:
    """Everyone, the clients of a path, or those of a group."""

    __slots__ = ("plain", "v1")

    def __init__(self) -> None:
        self.plain = Lane(Dialect.PLAIN)
        self.v1 = Lane(Dialect.V1)

    def __len__(self) -> int:
        plain, v1 = self.plain, self.v1
        return len(plain.direct) + len(plain.indirect) + len(v1.direct) + len(v1.indirect)

    def __iter__(self) -> Iterator[Client]:
        for lane in (self.plain, self.v1):
            yield from lane.direct.values()
            yield from lane.indirect

    def __contains__(self, client: Client) -> bool:
        lane = self.lane(client)
        return client in lane.indirect or lane.direct.get(client.descriptor) is client

    def lane(self, client: Client) -> Lane:
        """Give the lane of the client's dialect."""
        return self.plain if client.dialect is Dialect.PLAIN else self.v1
