"""The hub: which clients are connected where, and which receive what. It uses no await, no JSON and no Sanic.

`Hub.deliver` is a plain function that queues. `Hub.flush`, at the end of the loop turn, writes everything of that turn
in one write per client. The order is total: every client receives its frames in the order of the calls.

One rule keeps that order: before a client changes its mode or its memberships, everything queued is written.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from signalpost.auth.identity import Identity
from signalpost.delivery.audience import Audience
from signalpost.delivery.client import Client
from signalpost.delivery.outbox import Fate
from signalpost.delivery.overload import Backlog
from signalpost.delivery.publication import NO_PATH, Publication
from signalpost.delivery.queue import Entry, write_queue
from signalpost.delivery.strain import Strain
from signalpost.delivery.target import EVERYONE, NOBODY, ClientId, Receipt, Target, receipt_of, sum_of
from signalpost.delivery.writers import GONE, OneByOne, Writer
from signalpost.history.stream import Stream, Why
from signalpost.observe import Observer
from signalpost.paths import Place
from signalpost.units import MEBIBYTE
from signalpost.websocket.frames import CloseCode

K = TypeVar("K")

# Module globals: a lookup in an Enum's class costs as much as the rest of what is done with it.
_QUEUED, _TOO_SLOW = Fate.QUEUED, Fate.TOO_SLOW


DELIVERY = 32
"""Bytes that a delivery to one client counts for in addition to its value: the fixed cost per client."""

MOST_QUEUED = MEBIBYTE // 4
"""Bytes of values that may be queued before they are written, even during a loop turn.

So a client that is up to date never receives more at once than its outbox holds.
"""


class Hub:
    """Tracks clients and delivers to them.

    Args:
        call_soon: runs a function at the end of the loop turn (``loop.call_soon``).
        outboxes: bytes that may wait for all clients together; beyond it the clients with most are dropped, at the
            end of the loop turn. None is no limit.
        shed: called with the number of clients dropped for that.
        writer: writes to the descriptors of many clients.

    Attributes:
        clients: all connected clients by id, including those that are arriving.
        everyone: the same without those that are arriving, as an audience.
        closing: clients that were sent a close frame or are being dropped, and whose connection has not ended yet.
        work: bytes of all values ever queued, counted once for each receiving client, plus a little for
            each client. Callers that yield to others check how far it has grown.
        observer: notified of clients that are dropped; None for no observer.
        met: called with the groups that a client joins; None if nobody wants to know.
        regrouped: called with a client that is in other groups now; None likewise.
        strain: makes senders wait for clients that are sent more than they can read; None if no sender waits.
        wards: the clients of each ward that has any, as an audience.
    """

    __slots__ = (
        "_backlog",
        "_call_soon",
        "_groups",
        "_paths",
        "_queue",
        "_queued",
        "_scheduled",
        "_shared",
        "_shed",
        "_unwritten",
        "_users",
        "_when_closed",
        "_writer",
        "clients",
        "closing",
        "everyone",
        "met",
        "observer",
        "regrouped",
        "strain",
        "wards",
        "work",
    )

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        outboxes: int | None = None,
        shed: Callable[[int], None] | None = None,
        writer: Writer | None = None,
    ) -> None:
        self.clients: dict[ClientId, Client] = {}
        self.everyone = Audience()
        self.closing: set[Client] = set()
        self._paths: dict[Place, Audience] = {}
        self._groups: dict[str, Audience] = {}
        self.wards: dict[str, Audience] = {}
        self._users: dict[str, dict[Client, None]] = {}  # also those that are arriving; guests are not here
        self._queue: list[Entry] = []
        self._queued = 0  # bytes of the values in it
        self._shared = False  # whether anything in it is for an audience
        self._unwritten: dict[Client, None] = {}  # indirect clients that received frames in this loop turn
        self._backlog: Backlog[Client] = Backlog(outboxes)
        self._shed = shed
        self._writer = writer or OneByOne()
        self._call_soon = call_soon
        self._scheduled = False
        self._when_closed: Callable[[], None] | None = None
        self.work = 0
        self.strain: Strain | None = None
        self.observer: Observer | None = None
        self.met: Callable[[Iterable[str]], None] | None = None
        self.regrouped: Callable[[Client], None] | None = None

    # Where clients are

    def add(self, client: Client) -> None:
        """Add a client to everyone and to its path; earlier broadcasts do not reach it.

        Raises:
            ValueError: its id is in use.
        """
        if client.id in self.clients:
            raise ValueError(f"client id {client.id} is taken")
        self._flush_shared()
        self.clients[client.id] = client
        if (user := client.user) is not None:
            self._users.setdefault(user, {})[client] = None
        if self.met is not None and client.groups:
            self.met(client.groups)
        for audience in self._audiences_of(client, client.groups):
            audience.lane(client).add(client)

    def hold(self, client: Client) -> None:
        """Remove a client from all audiences until `admit`; what is sent to it alone still reaches it."""
        if not client.arriving and self._still_has(client):
            self._leave_audiences(client)
            client.arriving = True

    def admit(self, client: Client) -> None:
        """Add a held client to everyone, to its path and to the groups that it has joined."""
        if not client.arriving:
            return
        self._flush_shared()
        if self._has(client):
            client.arriving = False
            for audience in self._audiences_of(client, client.groups):
                audience.lane(client).add(client)

    def remove(self, client: Client) -> None:
        """Write what is queued, then forget the client and its descriptor. Calling it twice is no error."""
        if not self._still_has(client):
            return
        del self.clients[client.id]
        if client.user is not None:
            self._leave_user(client, client.user)
        self._leave_audiences(client)
        client.direct = False
        self.closing.add(client)

    def note_drop(self, client: Client, code: int) -> None:
        """Note that a client's connection is aborted."""
        if self.observer is not None:
            self.observer.dropped(client.id, client.path, code)

    def note_gap(self, client: Client, why: Why) -> None:
        """Note that a client misses values of its path."""
        if self.observer is not None:
            self.observer.missed(client.id, client.path, why.value)

    def forget(self, client: Client) -> None:
        """Called when the client's connection has ended."""
        self.remove(client)
        self.closing.discard(client)
        if not self.closing and self._when_closed is not None:
            callback, self._when_closed = self._when_closed, None
            callback()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call back once no connection is closing any more; at once if none is closing now."""
        if self.closing:
            self._when_closed = callback
        else:
            callback()

    def regroup(self, client: Client, groups: frozenset[str]) -> None:
        """Set the client's groups to exactly these."""
        if not self._still_has(client):
            return
        if self.met is not None and groups - client.groups:
            self.met(groups - client.groups)
        if not (client.arriving or client.visiting):
            for name in client.groups - groups:
                self._groups[name].lane(client).discard(client)
            self._drop_empty_groups(client.groups - groups)
            for name in groups - client.groups:
                _of(self._groups, name).lane(client).add(client)
        client.groups = groups
        if self.regrouped is not None:
            self.regrouped(client)

    def move(self, client: Client, path: str, place: Place | None = None, ward: str | None = None) -> None:
        """Move the client to another path; `place` and `ward` are those of `signalpost.signals.table.ResolvedPath`."""
        place = path if place is None else place
        if (client.path, client.place, client.ward) == (path, place, ward) or not self._still_has(client):
            return
        self._leave_audiences(client)
        client.path, client.place, client.ward = path, place, ward
        for audience in self._audiences_of(client, client.groups):
            audience.lane(client).add(client)

    def has_path(self, place: Place) -> bool:
        """Return whether any client is in the audience of a place."""
        return place in self._paths

    def has_group(self, name: str) -> bool:
        """Return whether any client is in a group."""
        return name in self._groups

    def has_user(self, user: str) -> bool:
        """Return whether any client is a user's."""
        return user in self._users

    def has_ward(self, ward: str) -> bool:
        """Return whether any client belongs to a ward."""
        return ward in self.wards

    def find(self, client_id: str) -> Client | None:
        """Return the client with this id, unless it is arriving."""
        client = self.clients.get(ClientId(client_id))
        return None if client is None or client.arriving else client

    def identify(self, client: Client, identity: Identity) -> None:
        """Give a client another identity; what is queued is for who it was."""
        if self._still_has(client) and client.user != identity.user:
            if client.user is not None:
                self._leave_user(client, client.user)
            if identity.user is not None:
                self._users.setdefault(identity.user, {})[client] = None
        client.identity = identity

    def _leave_user(self, client: Client, user: str) -> None:
        clients = self._users[user]
        del clients[client]
        if not clients:
            del self._users[user]

    def of_user(self, user: str) -> list[Client]:
        """Return the clients of a user, also those that are arriving or have come for one message."""
        return list(self._users.get(user, ()))

    def identified(self) -> list[Client]:
        """Return the clients of all users, as `of_user` does."""
        return [client for clients in self._users.values() for client in clients]

    def bound_outboxes(self, most: int | None, shed: Callable[[int], None] | None = None) -> None:
        """Change how many bytes all outboxes together may hold; the arguments are those of the hub."""
        self._backlog.most = most
        self._shed = shed

    def resumed(self, client: Client) -> None:
        """Called when a client's transport holds no bytes any more: write what waits, then go direct."""
        self.note_waiting(client, client.resumed())
        if client.writable:
            self._switch(client, direct=True)

    def feed(self, client: Client, stream: Stream, offset: int) -> None:
        """Send a client what is behind an offset of its path's stream, as it reads, and only then later values."""
        if (offset == stream.top and not client.waiting) or not self._has(client):
            return
        if client.direct:
            reader = client.reader(stream, offset)
            piece = reader.read()
            if not reader and len(piece) <= client.limit // 2:
                self.send(client, piece)
                return
        self._switch(client, direct=False)
        client.feed(stream, offset)
        self.note_waiting(client, client.write_waiting())
        if client.writable and not client.waiting:
            self._switch(client, direct=True)

    def announce(self, place: Place, publication: Publication, besides: Collection[Client] = ()) -> None:
        """Queue a publication for those clients of a place that converse (`Codec.converses`).

        Args:
            place: of the clients.
            publication: to be encoded for each kind of client.
            besides: clients that do not receive it.
        """
        lanes = tuple(lane for lane in self._paths.get(place, _NO_AUDIENCE).lanes if lane.encoding.codec.converses)
        if besides:
            for client in [each for each in Audience(lanes) if each not in besides]:
                self.send(client, publication.encoded(client.encoding), publication.slot)
        elif lanes:
            self._deliver_to(Audience(lanes), publication, None)

    def _switch(self, client: Client, *, direct: bool) -> None:
        if client.direct is direct or not self._still_has(client) or client.direct is direct:
            return
        lanes = [audience.lane(client) for audience in self._audiences_of(client, client.groups)]
        for lane in lanes:
            lane.discard(client)
        client.direct = direct
        for lane in lanes:
            lane.add(client)

    def _still_has(self, client: Client) -> bool:
        """Write what is queued, and return whether the client remains: it may turn out to be gone or too slow."""
        if self._has(client):
            self.flush()
        return self._has(client)

    def _has(self, client: Client) -> bool:
        return self.clients.get(client.id) is client

    def _flush_shared(self) -> None:
        """Write what is queued for audiences: a client that joins them must not receive it."""
        if self._shared:
            self.flush()

    def _leave_audiences(self, client: Client) -> None:
        if client.arriving or client.visiting:
            return
        for audience in self._audiences_of(client, client.groups):
            audience.lane(client).discard(client)
        if not self._paths[client.place]:
            del self._paths[client.place]
        if client.ward is not None and not self.wards[client.ward]:
            del self.wards[client.ward]
        self._drop_empty_groups(client.groups)

    def _audiences_of(self, client: Client, groups: Iterable[str]) -> list[Audience]:
        if client.arriving or client.visiting:
            return []
        wards = () if client.ward is None else (_of(self.wards, client.ward),)
        paths = _of(self._paths, client.place, of_path=True)
        return [self.everyone, paths, *wards, *(_of(self._groups, name) for name in groups)]

    def _drop_empty_groups(self, names: Iterable[str]) -> None:
        for name in names:
            if not self._groups.get(name, True):
                del self._groups[name]

    # Who receives what

    def reaches(self, client: Client, target: Target) -> bool:
        """Return whether a target reaches a client, or will once the client is admitted."""
        return (
            client.id != target.excluding
            and (target.client is None or client.id == target.client)
            and (target.user is None or client.user == target.user)
            and (target.path is None or client.place == target.path)
            and (target.groups is None or not target.groups.isdisjoint(client.groups))
            and (client.ward not in target.refusing or client.place == target.home)
        )

    def deliver(self, publication: Publication) -> Receipt:
        """Queue a publication for every client that its target reaches."""
        if self._queued > MOST_QUEUED:
            self.flush()
        target = publication.target
        audience = self.everyone if target is EVERYONE else self._audience(target)
        if audience is None:
            return self._deliver_to_each(publication, self._select(target))
        excluding = None if target.excluding is None else self.clients.get(target.excluding)
        if target.refusing:
            return sum_of([self._deliver_to(each, publication, excluding) for each in self._willing(target)])
        return self._deliver_to(audience, publication, excluding)

    def _deliver_to(self, audience: Audience, publication: Publication, excluding: Client | None) -> Receipt:
        matched, indirect = 0, False
        for lane in audience.lanes:
            matched += len(lane.direct)
            if lane.indirect:
                matched += len(lane.indirect)
                indirect = True
        if excluding is not None and excluding in audience:
            matched -= 1
        if not matched:
            return NOBODY
        size = publication.size
        self.work += matched * (size + DELIVERY)
        self._queued += size
        self._queue.append((audience, publication, excluding))
        self._shared = True
        if not self._scheduled:  # checked here too: a call per message is measurable
            self._schedule()
        dropped = self._enqueue(audience, publication, excluding) if indirect else 0
        return receipt_of(matched, dropped, size)

    def _willing(self, target: Target) -> list[Audience]:
        """Return the audiences that make up everyone, without wards that refuse; the sender's place never does."""
        audiences = [audience for ward, audience in self.wards.items() if ward not in target.refusing]
        home = None if target.home is None else self._paths.get(target.home)
        if home and next(iter(home)).ward in target.refusing:
            audiences.append(home)
        return audiences

    def send(self, client: Client, data: bytes, path: str | None = None) -> bool:
        """Queue an encoded frame for one client; return False if it is not queued: the client is gone or too slow.

        Args:
            client: that receives it.
            data: in the client's encoding.
            path: of a value: its target's, else its sender's, else `NO_PATH`; the client's policy may leave
                the value out. None is a notice, which is never left out.
        """
        if self._queued > MOST_QUEUED:
            self.flush()
        size = len(data)
        self.work += size + DELIVERY
        if client.direct:
            self._queued += size
            self._queue.append((client, data, path))
        elif client.closing:
            return False
        elif (fate := self._enqueue_one(client, data, path)) is not _QUEUED:
            if fate is _TOO_SLOW:
                client.drop(CloseCode.TOO_SLOW)
            return False
        if not self._scheduled:  # checked here too: a call per message is measurable
            self._schedule()
        return True

    def send_last(self, client: Client, data: bytes) -> bool:
        """Queue the last frames of a client, which fit even in a full outbox; return False if the client is gone."""
        if client.direct:
            self._queue.append((client, data, None))
        elif client.closing:
            return False
        else:
            client.enqueue(data, last=True)
            self._unwritten[client] = None
        self._schedule()
        return True

    def _audience(self, target: Target) -> Audience | None:
        """Return the audience that is exactly this target, or None if clients must be selected."""
        if target.client is not None or target.user is not None or (target.refusing and target.groups is not None):
            return None
        if target.path is None:
            if target.groups is None:
                return self.everyone
            if len(target.groups) == 1:
                return self._groups.get(next(iter(target.groups)), _NO_AUDIENCE)
        elif target.groups is None:
            return self._paths.get(target.path, _NO_AUDIENCE)
        return None

    def _select(self, target: Target) -> list[Client]:
        """Return the clients of a target that is an intersection or a union."""
        return [client for client in self._reached(target) if self.reaches(client, target)]

    def _reached(self, target: Target) -> Iterable[Client]:
        """Return the candidates for the clients of a target with an id, a user or groups."""
        if target.client is not None:
            client = self.clients.get(target.client)
            return () if client is None else (client,)
        if target.user is not None:
            return [each for each in self._users.get(target.user, ()) if not (each.arriving or each.visiting)]
        # A client of two groups counts once.
        return dict.fromkeys(client for name in target.groups or () for client in self._groups.get(name, _NO_AUDIENCE))

    def matching(self, target: Target) -> list[Client]:
        """Return the clients that a target reaches; one that is named by its id or its user may be arriving."""
        if target.client is not None or target.user is not None:
            client = None if target.client is None else self.clients.get(target.client)
            named = self.of_user(target.user or "") if target.client is None else [client]
            return [each for each in named if each is not None and self.reaches(each, target)]
        audience = self._audience(target)
        return self._select(target) if audience is None else list(audience)

    def reach(self, target: Target) -> int:
        """Return how many clients a target reaches now."""
        audience = self._audience(target)
        if audience is None or target.refusing:
            return len(self._select(target)) if audience is None else sum(map(len, self._willing(target)))
        excluding = None if target.excluding is None else self.clients.get(target.excluding)
        return len(audience) - (excluding is not None and excluding in audience)

    def _deliver_to_each(self, publication: Publication, clients: list[Client]) -> Receipt:
        queued = 0
        for client in clients:
            queued += self.send(client, publication.encoded(client.encoding), publication.path or NO_PATH)
        return Receipt(len(clients), queued, len(clients) - queued, publication.size)

    def _enqueue(self, audience: Audience, publication: Publication, excluding: Client | None) -> int:
        """Queue a publication for the audience's indirect clients; return for how many that failed."""
        slow: list[Client] = []
        left_out = 0
        for lane in audience.lanes:
            if lane.indirect:
                data, path = publication.encoded(lane.encoding), publication.slot
                for client in tuple(lane.indirect):
                    if client is not excluding:
                        fate = self._enqueue_one(client, data, path)
                        if fate is _TOO_SLOW:
                            slow.append(client)
                        elif fate is not _QUEUED:
                            left_out += 1
        # Last: dropping a client first writes what is queued, and a client that becomes indirect by that has the frame.
        for client in slow:
            client.drop(CloseCode.TOO_SLOW)
        return len(slow) + left_out

    def _enqueue_one(self, client: Client, data: bytes, path: str | None) -> Fate:
        fate = client.enqueue(data, path)
        if fate is not _TOO_SLOW:
            self._unwritten[client] = None
        return fate

    # Writing

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write everything that is queued, with one write per client."""
        if self._queue:
            queue, self._queue, self._queued = self._queue, [], 0
            self._shared = False
            for unfinished in write_queue(queue, self._writer):
                self._keep(*unfinished)
        if self._unwritten:
            unwritten, self._unwritten = self._unwritten, {}
            for client in unwritten:
                self.note_waiting(client, client.write_waiting())
        backlog = self._backlog
        if backlog.total and backlog.over:
            heaviest = backlog.take_heaviest()
            for client in heaviest:
                client.drop(CloseCode.TOO_SLOW)
            if heaviest and self._shed is not None:
                self._shed(len(heaviest))

    def _keep(self, client: Client, frames: Sequence[bytes], sent: int, paths: Sequence[str | None]) -> None:
        """Queue what could not be written, in indirect mode, or drop a client that is gone or too slow."""
        if sent == GONE:
            client.drop(CloseCode.ABNORMAL)
        elif client.keep(frames, sent, paths) is _TOO_SLOW:
            client.drop(CloseCode.TOO_SLOW)
        else:
            self.note_waiting(client, client.waiting)
            if not client.writable:
                self._switch(client, direct=False)

    def flush_much(self) -> None:
        """Write what is queued if it is so much that it may strain a client."""
        if self._queued > MOST_QUEUED:
            self.flush()

    def note_waiting(self, client: Client, waiting: int) -> None:
        """Note how many bytes wait for a client now."""
        self._backlog.note_waiting(client, waiting)
        if self.strain is not None:
            self.strain.note_waiting(client, waiting)


def _of(audiences: dict[K, Audience], name: K, *, of_path: bool = False) -> Audience:
    audience = audiences.get(name)
    if audience is None:
        audience = audiences[name] = Audience(of_path=of_path)
    return audience


_NO_AUDIENCE = Audience()
