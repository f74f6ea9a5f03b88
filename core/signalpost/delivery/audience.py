"""An audience: the clients that one target reaches, kept so that writing to all of them is one tight loop."""

from array import array
from collections.abc import Iterator, Mapping

from signalpost.delivery.client import Client
from signalpost.websocket.frames import Deflate, Dialect, Frame, encoding_of


class Lane:
    """The clients of an audience that read the very same bytes: of one dialect, and of one compression or none.

    Attributes:
        dialect: what they read.
        deflate: how it is compressed for them; None is not at all.
        direct: by descriptor, ready to be written to.
        indirect: those with an outbox; an ordered set.

    """

    __slots__ = ("_descriptors", "deflate", "dialect", "direct", "indirect")

    def __init__(self, dialect: Dialect, deflate: Deflate | None = None) -> None:
        self.dialect = dialect
        self.deflate = deflate
        self.direct: dict[int, Client] = {}
        self.indirect: dict[Client, None] = {}
        self._descriptors: array[int] | None = None

    @property
    def descriptors(self) -> "array[int]":
        """Those of `direct`, as a writer wants them."""
        if self._descriptors is None:
            self._descriptors = descriptors_of(self.direct)
        return self._descriptors

    def encoding(self, frame: Frame) -> bytes:
        """Give the frame as this lane's clients read it."""
        return encoding_of(frame, self.dialect, self.deflate)

    def add(self, client: Client) -> None:
        """Add a client in its present mode."""
        if client.direct:
            self.direct[client.descriptor] = client
            self._descriptors = None
        else:
            self.indirect[client] = None

    def discard(self, client: Client) -> None:
        """Take a client out, whichever mode it was added in."""
        if self.direct.get(client.descriptor) is client:
            del self.direct[client.descriptor]
            self._descriptors = None
        self.indirect.pop(client, None)


def descriptors_of(clients: Mapping[int, Client]) -> "array[int]":
    """Give the keys as a writer wants them."""
    return array("i", list(clients))  # of a list an array knows the length beforehand, and takes half as long


class Audience:
    """Everyone, the clients of a path, or those of a group.

    Attributes:
        lanes: first that of plain clients, then that of ``signalpost.v1``, both uncompressed; then one for each
            dialect and compression that a client of this audience has had.

    """

    __slots__ = ("lanes",)

    def __init__(self) -> None:
        self.lanes: tuple[Lane, ...] = (Lane(Dialect.PLAIN), Lane(Dialect.V1))

    def __len__(self) -> int:
        count = 0
        for lane in self.lanes:
            count += len(lane.direct) + len(lane.indirect)
        return count

    def __iter__(self) -> Iterator[Client]:
        for lane in self.lanes:
            yield from lane.direct.values()
            yield from lane.indirect

    def __contains__(self, client: Client) -> bool:
        lane = self.lane(client)
        return client in lane.indirect or lane.direct.get(client.descriptor) is client

    def lane(self, client: Client) -> Lane:
        """Give the lane of the client's dialect and compression."""
        dialect, deflate = client.dialect, client.deflate
        for lane in self.lanes:
            if lane.dialect is dialect and lane.deflate is deflate:
                return lane
        lane = Lane(dialect, deflate)
        self.lanes = (*self.lanes, lane)
        return lane
