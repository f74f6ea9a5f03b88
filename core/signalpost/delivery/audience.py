"""An audience: the clients that one target reaches, stored so that writing to all of them is one tight loop."""

from array import array
from collections.abc import Iterator, Mapping

from signalpost.delivery.client import Client
from signalpost.delivery.codec import Encoding


class Lane:
    """The clients of an audience that receive the same bytes.

    Attributes:
        encoding: of these clients.
        direct: by descriptor, ready for a write.
        indirect: clients with an outbox; an ordered set.
        ready: the same as `descriptors`; None if those must be made first.
    """

    __slots__ = ("direct", "encoding", "indirect", "ready")

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.direct: dict[int, Client] = {}
        self.indirect: dict[Client, None] = {}
        self.ready: array[int] | None = None

    @property
    def descriptors(self) -> "array[int]":
        """The descriptors of `direct`, in the form that a writer needs."""
        if self.ready is None:
            self.ready = descriptors_of(self.direct)
        return self.ready

    def add(self, client: Client) -> None:
        """Add a client in its present mode."""
        if client.direct:
            self.direct[client.descriptor] = client
            self.ready = None
        else:
            self.indirect[client] = None

    def discard(self, client: Client) -> None:
        """Remove a client, whichever mode it was added in."""
        if self.direct.get(client.descriptor) is client:
            del self.direct[client.descriptor]
            self.ready = None
        self.indirect.pop(client, None)


def descriptors_of(clients: Mapping[int, Client]) -> "array[int]":
    """Return the keys in the form that a writer needs."""
    return array("i", list(clients))  # array() knows the length of a list in advance, and takes half as long


class Audience:
    """Everyone, the clients of a path, or those of a group.

    Attributes:
        lanes: one for each encoding that a client of this audience has ever had.
        of_path: whether it is that of a path: no client is in two of these.
    """

    __slots__ = ("lanes", "of_path")

    def __init__(self, lanes: tuple[Lane, ...] = (), *, of_path: bool = False) -> None:
        self.lanes = lanes
        self.of_path = of_path

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
        for lane in self.lanes:
            if lane.encoding is client.encoding:
                return client in lane.indirect or lane.direct.get(client.descriptor) is client
        return False

    def lane(self, client: Client) -> Lane:
        """Return the lane of the client's encoding."""
        encoding = client.encoding
        for lane in self.lanes:
            if lane.encoding is encoding:
                return lane
        lane = Lane(encoding)
        self.lanes = (*self.lanes, lane)
        return lane
