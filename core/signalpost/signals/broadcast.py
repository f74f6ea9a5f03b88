"""`broadcast(value, …)` as handlers, jobs and routes call it: makes a target of arguments and a frame of a value."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from signalpost.backplanes.backplane import Once
from signalpost.delivery.broker import Publish
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import OncePublication, Publication, Slot, check_size, slot_of
from signalpost.delivery.target import EVERYONE, NOBODY, ClientId, Receipt, Target, sum_of
from signalpost.events import Broadcast, Reach
from signalpost.paths import Place, path_of
from signalpost.signals.answers import Answer
from signalpost.signals.decide import requested_target
from signalpost.signals.elsewhere import ElsewhereGuard
from signalpost.signals.levels import Levels
from signalpost.signals.message import ClientMessage
from signalpost.signals.messagefilters import Outgoing, Veto
from signalpost.signals.sends import SendsCheck
from signalpost.signals.sessions import Session
from signalpost.signals.table import SignalTable

_TO_EVERYONE = (EVERYONE,)

_Named = tuple[str | None, str | None, str | None, str | None]  # path, group, client, user
_UNNAMED: _Named = (None, None, None, None)


class Broadcaster:
    """Sends values to clients; see `signalpost.events.Broadcast` for the arguments.

    Args:
        hub: of the clients.
        publish: publishes (`signalpost.delivery.broker.Broker.publish`).

    Attributes:
        canonical_path: converts a target's path to the spelling of clients' paths (`SignalTable.canonical_path`).
        guard: checks clients' messages against the signals of other paths; None if no signal requires that.
        filter: is called for every value; None if no plugin has one.
        sends: holds values against the key ``sends`` of signals; None unless the program asks for it.
        keys: by which signals distinguish values of one path for slow clients; None if no signal does.
        levels: how broad broadcasts may be; None if they may be as broad as they like.
    """

    __slots__ = ("_hub", "_table", "canonical_path", "filter", "guard", "keys", "levels", "publish", "sends")

    def __init__(self, hub: Hub, publish: Publish) -> None:
        self._hub = hub
        self.publish = publish
        self._table: SignalTable | None = None
        self.canonical_path: Callable[[str], str]
        self.guard: ElsewhereGuard | None = None
        self.levels: Levels | None = None
        self.keys: frozenset[tuple[str, ...]] | None = None
        self.filter: Callable[[Outgoing], None] | None = None
        self.sends: SendsCheck | None = None

    def address_by(self, table: SignalTable, guard: ElsewhereGuard | None, levels: Levels | None = None) -> None:
        """Find the clients of a path by this table from now on, and check messages against its rules by this guard."""
        self.levels = levels
        self.canonical_path = table.canonical_path
        self._table = table if table.bound else None
        self.guard = guard
        self.keys = table.keys or None

    def canonical_path_for(self, client: Client) -> Callable[[str], Place]:
        """Return the function that converts a path requested by a client to the place at the client's own endpoint."""
        if self._table is None:
            return self.canonical_path
        return partial(self._table.place, client.endpoint.name)

    def __call__(
        self,
        value: Any,
        *,
        to: Reach | None = None,
        path: str | None = None,
        group: str | None = None,
        client: str | None = None,
        user: str | None = None,
    ) -> Receipt:
        """Send a value; without a target, to everyone."""
        if to in ("sender", "others"):
            raise ValueError(f"to={to!r} needs a sender, and there is none outside a signal event")
        check_size(value)
        targets = self.targets(to, path, group, client, user) or _TO_EVERYONE
        if self.levels is not None:
            self.levels.check(targets)
        try:
            return self.send(value, targets, None).sent()
        except Veto:
            return NOBODY

    def targets(
        self,
        to: str | None,
        path: str | None,
        group: str | None,
        client: str | None,
        user: str | None = None,
        *,
        sender: Client | None = None,
    ) -> Sequence[Target]:
        """Convert the arguments of `broadcast` to targets; without any argument there is no target.

        Args:
            to: like the others, see `signalpost.events.Broadcast`.
            path: the sender's own place if it is the sender's path, else every signal that declares it.
            group: see there.
            client: see there.
            user: see there.
            sender: if there is one.

        Raises:
            TypeError: `to` is combined with path, group, client or user, or one of these is not a string.
            ValueError: `to` is not ``everyone``, or one of path, group, client and user is empty.
        """
        narrowed = path is not None or group is not None or client is not None or user is not None
        if to is not None:
            if narrowed:
                raise TypeError(f"to={to!r} stands alone: leave it out, or leave out path, group, client and user")
            if to != "everyone":
                raise ValueError(f'to={to!r}: "everyone" and, in a signal event, "others" and "sender" are known')
            return _TO_EVERYONE
        if not narrowed:
            return ()
        _check_name("path", path)
        _check_name("group", group)
        _check_name("client", client)
        _check_name("user", user)
        groups = None if group is None else frozenset({group})
        client_id = None if client is None else ClientId(client)
        if path is None:
            return (Target(groups=groups, client=client_id, user=user),)
        return [Target(place, groups, client_id, user=user) for place in self._places(path, sender)]

    def _places(self, path: str, sender: Client | None) -> Sequence[Place]:
        if self._table is None:
            return (self.canonical_path(path),)
        if sender is not None and (own := self._table.place(sender.endpoint.name, path)) == sender.place:
            return (own,)
        return self._table.places(path)

    def send(self, value: Any, targets: Sequence[Target], origin: str | None) -> Receipt:
        """Send a value to targets that have no client in common.

        Args:
            value: see `signalpost.events.Broadcast`.
            targets: at least one.
            origin: the path that the value comes from, for the envelope.

        Raises:
            Veto: a plugin's filter raised it.
        """
        if value is None or value == "":
            return NOBODY
        if self.filter is not None:
            value = self._filtered(value, targets[0], origin)
        return self._send(value, targets, origin)

    def _send(self, value: Any, targets: Sequence[Target], origin: str | None) -> Receipt:
        if len(targets) > 1:  # a frame for each: every client reads the path in its own signal's spelling
            return sum_of([self._send_one(value, target, origin) for target in targets])
        return self._send_one(value, targets[0], origin)

    def send_one(self, value: Any, target: Target, origin: str | None, once: Once | None = None) -> Receipt:
        """Send a value that is not empty to one target; see `send`.

        Args:
            value: see there.
            target: of it.
            origin: see there.
            once: by what a repeat is known among nodes; None is no repeat.
        """
        if self.filter is not None:
            value = self._filtered(value, target, origin)
        elif self.keys is None and once is None:  # mostly, and a call is measurable
            place = target.path
            path = origin if place is None else place if type(place) is str else path_of(place)
            return self.publish(Publication(value, path, target, origin))
        return self._send_one(value, target, origin, once)

    def answer(self, value: Any, answer: Answer, target: Target, sender: Client) -> Receipt:
        """Answer a client's message with a value; one that wants no answer is sent it as every other. See `send`."""
        if value is None or value == "":
            return NOBODY
        value = self.outgoing(value, target, sender)
        size = self.reply(value, answer, sender)
        if not answer.wanted:
            return self._send_one(value, target, sender.path)
        return NOBODY if sender.closing else Receipt(1, 1, 0, size)

    def reply(self, value: Any, answer: Answer, sender: Client) -> int:
        """Answer a client's message with a value, and return the bytes of the frame; see `Answer.reply`."""
        if self.sends is not None and answer.wanted:
            self.sends.to_client(value, sender)
        return answer.reply(value)

    def outgoing(self, value: Any, target: Target, sender: Client) -> Any:
        """Return a value for a sender as the plugins' filters pass it on.

        Raises:
            Veto: a filter stops it.
        """
        return value if self.filter is None else self._filtered(value, target, sender.path)

    def _filtered(self, value: Any, target: Target, origin: str | None) -> Any:
        """Return a value as the plugins' filters pass it on.

        Raises:
            Veto: a filter stops it.
        """
        outgoing = Outgoing(value, path_of(target.path), target.groups, target.client, origin, user=target.user)
        if self.filter is not None:
            self.filter(outgoing)
        if outgoing.value is None or outgoing.value == "":
            raise Veto
        if outgoing.value is not value:
            check_size(outgoing.value)
        return outgoing.value

    def _send_one(self, value: Any, target: Target, origin: str | None, once: Once | None = None) -> Receipt:
        path = origin if target.path is None else path_of(target.path)
        if self.keys is not None:
            path = self.slot(value, path)
        if once is not None:
            return self.publish(OncePublication(value, path, target, origin, once))
        return self.publish(Publication(value, path, target, origin))

    def relay(self, value: Any, target: Target, sender: Client, refused: frozenset[str]) -> Receipt:
        """Send a client's value to a target, except to clients elsewhere whose signals are `refused`; see `send`."""
        return self.send_one(value, refusing(target, sender, refused), sender.path)

    def slot(self, value: Any, path: str | None) -> Slot:
        """Return a value's path together with what signals distinguish it by."""
        return slot_of(value, path, self.keys or ())

    def send_arriving(self, value: Any, targets: Sequence[Target], sender: Client) -> Receipt:
        """Send a value for an arriving `sender`, which receives it too, though it is in no audience yet."""
        if value is None or value == "":
            return NOBODY
        if self.filter is not None:
            value = self._filtered(value, targets[0], sender.path)
        receipts = [self._send(value, targets, sender.path)]
        for target in targets:
            if sender.stream is not None and target.whole == sender.place:
                if target.excluding != sender.id:
                    receipts.append(Receipt(1, 1))  # which reads it from the history when it is admitted
            elif target.client is None and self._hub.reaches(sender, target):
                path: str | None = path_of(target.path) or sender.path
                if self.keys is not None:
                    path = self.slot(value, path)
                receipts.append(self.publish(Publication(value, path, Target(client=sender.id), sender.path)))
        return sum_of(receipts)


def refusing(target: Target, sender: Client, refused: frozenset[str]) -> Target:
    """Return a target without clients of wards that refuse what the sender says, except those at the sender's place."""
    return replace(target, refusing=refused, home=sender.place) if refused else target


class SenderBroadcast:
    """`SignalEvent.broadcast`: knows the sender and the target that its message requested.

    Args:
        broadcaster: sends.
        client: the sender.
        message: of the sender.
        session: of the sender, which may have another client by now.
    """

    __slots__ = ("_broadcaster", "_client", "_message", "_session")

    def __init__(
        self, broadcaster: Broadcaster, client: Client, message: ClientMessage, session: Session | None = None
    ) -> None:
        self._broadcaster = broadcaster
        self._session = session
        self._client = client
        self._message = message

    def __call__(
        self,
        value: Any,
        *,
        to: Reach | None = None,
        path: str | None = None,
        group: str | None = None,
        client: str | None = None,
        user: str | None = None,
    ) -> Receipt:
        """Send a value; without a target, to where the client requested (Pode behaviours 19 to 22)."""
        check_size(value)
        try:
            return self._send(value, to, (path, group, client, user)).sent()
        except Veto:
            return NOBODY

    def _send(self, value: Any, to: Reach | None, named: _Named) -> Receipt:
        broadcaster, sender = self._broadcaster, self._client
        if to == "sender" and named == _UNNAMED:
            targets: Sequence[Target] = (Target(client=sender.id),)
            if (answer := self._message.answer) is not None and not answer.done:
                return broadcaster.answer(value, answer, targets[0], sender)
        elif to == "others":
            given = broadcaster.targets(None, *named, sender=sender) or _TO_EVERYONE
            guest = None if self._session is None else self._session.guest
            excluding = sender.id if guest is None else guest.client.id
            targets = [replace(target, excluding=excluding, left_out=sender.session) for target in given]
        else:
            targets = broadcaster.targets(to, *named, sender=sender)
        if not targets:
            message = self._message
            if message.targeted:
                target = requested_target(message, sender, broadcaster.canonical_path_for(sender))
                guard = broadcaster.guard
                if guard is not None and _goes_beyond(target, guard):
                    return self._to_many(value, target, guard.closed | message.shut)
                targets = (target,)
            else:
                targets = _TO_EVERYONE
        if broadcaster.levels is not None:
            broadcaster.levels.check(targets)
        if sender.arriving:
            return broadcaster.send_arriving(value, targets, sender)
        return broadcaster.send(value, targets, sender.path)

    def _to_many(self, value: Any, target: Target, refused: frozenset[str]) -> Receipt:
        """Send a value to whom the client chose, except to clients that accept nothing from there."""
        if value is None or value == "":
            return NOBODY
        return self._broadcaster.relay(value, target, self._client, refused)


def _goes_beyond(target: Target, guard: ElsewhereGuard) -> bool:
    """Return whether a requested target has clients that the guard did not see when it judged the message."""
    if target.path is not None:
        return False
    if target.client is not None:
        return guard.is_beyond(target.client)
    return target.groups is not None or target.user is not None


class Sender(NamedTuple):
    """The connected client that a plain request comes from, and what sends for it."""

    client: Client
    broadcast: Broadcast


def _check_name(what: str, value: Any) -> None:
    """Reject a name that would silently reach nobody, or everyone.

    Raises:
        TypeError: it is neither a string nor None.
        ValueError: it is empty.
    """
    if value is None:
        return
    if not isinstance(value, str):
        hint = f": write {what}=someone.id" if what == "client" and isinstance(value, Client) else ""
        raise TypeError(f"{what}= is a string, or None for no {what} at all; not a {type(value).__name__}{hint}")
    if not value:
        raise ValueError(
            f'{what}="" names nobody: leave {what} out, or give None, where it is not to narrow the target'
        )
