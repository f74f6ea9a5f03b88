"""The publisher of a node among others: its values go to the backplane, and to its own clients when they are back.

All clients on all nodes read the values of a channel in one order: the backplane's. What is sent to one client of this
node alone needs no order, and goes to it at once.
"""

import logging
from asyncio import Future, get_running_loop
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from signalpost.backplanes.backplane import Backplane, Keep, Kept
from signalpost.cluster.body import Body, publication_of, write_note, write_value
from signalpost.cluster.channels import channel_of, place_in, tag_of
from signalpost.cluster.interest import Interest
from signalpost.cluster.numbers import OwnNumbers
from signalpost.cluster.origin import Origin
from signalpost.cluster.parcels import Parcels
from signalpost.config.model import HistoryConfig
from signalpost.delivery.broker import Publish
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import NO_PATH, Publication, Slot
from signalpost.delivery.target import ClientId, Published, Receipt
from signalpost.history.position import Position, id_of
from signalpost.history.streams import HEAD_SECONDS
from signalpost.logthrottle import LineTally
from signalpost.paths import Place

LOG = logging.getLogger("signalpost.cluster")

MOST_EXPECTED = 10_000
"""Values of this node's own that are expected back."""

_PARCEL = 300  # bytes that one counts for besides its body


@dataclass(eq=False, slots=True)
class _Value:
    """A value on its way to a channel that is not kept."""

    publisher: "Publisher"
    channel: str
    number: int
    body: bytes
    publication: Publication | None
    later: "Future[Published]"
    size: int

    def hand_over(self) -> "Future[int]":
        return self.publisher.backplane.publish(self.channel, self.body)

    def arrived(self, nodes: int) -> None:
        _settle(self.later, Published(None, self.publisher.matched(self.channel, self.publication, nodes)))

    def lost(self, error: Exception) -> None:
        self.publisher.lost(self, error)


@dataclass(eq=False, slots=True)
class _KeptValue:
    """A value on its way to a channel that is kept."""

    publisher: "Publisher"
    channel: str
    number: int
    body: bytes
    publication: Publication
    later: "Future[Published]"
    size: int
    keep: Keep
    tries: int = 0

    def hand_over(self) -> "Future[Kept]":
        self.tries += 1
        publisher, origin = self.publisher, self.publisher.origin
        found, once = id_of(origin.node, self.number), self.publication.once
        return publisher.backplane.keep(self.channel, self.body, found, origin.tag, self.number, self.keep, once)

    def arrived(self, kept: Kept) -> None:
        # Without an offset it was kept before, and is not kept any more: where it was is not known.
        at = str(Position(kept.epoch, kept.offset, kept.id)) if kept.offset else None
        self.publisher.note_kept(self.channel, kept, self.keep)
        matched = self.publisher.matched(self.channel, self.publication, kept.nodes)
        again = kept.again and self.tries == 1  # else it was there already because the first answer was lost
        if again:
            self.publisher.expect_no_more(self.channel, self.number)
        _settle(self.later, Published(at, matched, again))

    def lost(self, error: Exception) -> None:
        self.publisher.refused(self, error)


@dataclass(slots=True)
class Publisher:
    """Publishes to all nodes.

    Args:
        origin: who this node is.
        backplane: carries what is published.
        interest: knows which channels come here.
        parcels: hands over, and waits while the backplane is away.
        own: counts what is published.
        own_notes: counts notes, apart from values: whoever misses one has missed nothing that clients read.
        alone_while_away: whether values that are not kept reach this node's clients while the backplane is away; else
            nothing is sent.
        failures: the log of what was not sent.

    Attributes:
        deliver: delivers to the clients of this node.
        hub: of these.
        note_own: notes a number of this node as heard; returns whether it was not.
        note_kept: notes where a value is kept.
        who_has: returns the client of this node that has a session, by the session's key; None if none has.
        history: returns how much of a place is kept; None is nothing.
        slot: returns a value's path with what signals distinguish it by; None if none does.
    """

    origin: Origin
    backplane: Backplane
    interest: Interest
    parcels: Parcels
    own: OwnNumbers
    own_notes: OwnNumbers
    alone_while_away: bool
    failures: LineTally
    deliver: Publish = field(init=False)
    hub: Hub = field(init=False)
    history: Callable[[Place], HistoryConfig | None] = field(init=False)
    slot: Callable[[Any, str | None], Slot] | None = field(init=False, default=None)
    note_own: Callable[[str, int], bool] = field(init=False)
    note_kept: Callable[[str, Kept, Keep], None] = field(init=False)
    who_has: Callable[[str], ClientId | None] = field(init=False)
    _waiting: OrderedDict[tuple[str, int], Publication] = field(init=False, default_factory=OrderedDict)
    _kept: int = field(init=False, default=0)

    def publish(self, publication: Publication) -> Receipt:
        """Publish without waiting; see `signalpost.delivery.broker.Broker.publish`.

        Returns:
            How many clients of this node the target reaches, and what becomes of it later: that has failed already if
            the backplane has been away for so long that nothing waits for it.
        """
        target = publication.target
        if target.client is not None and tag_of(target.client) in {"", self.origin.tag}:
            return self.deliver(publication)  # it is here, or nowhere
        channel, place = channel_of(target), target.whole
        keep = None if place is None or publication.is_raw else self.history(place)
        later: Future[Published] = get_running_loop().create_future()
        here = self.hub.reach(target)
        if keep is None:
            self._send_value(channel, publication, later)
        else:
            self._send_kept(channel, publication, later, keep)
        return Receipt(here, 0, 0, publication.size, later)

    def _send_value(self, channel: str, publication: Publication, later: "Future[Published]") -> None:
        number = self.own.take(channel)
        body = write_value(publication, self.origin.node, number)
        self._remember(channel, number, publication)
        self.parcels.send(_Value(self, channel, number, body, publication, later, len(body) + _PARCEL))

    def _send_kept(
        self, channel: str, publication: Publication, later: "Future[Published]", config: HistoryConfig
    ) -> None:
        self._kept += 1
        number = self._kept
        body = write_value(publication, self.origin.node, number)
        keep = Keep(config.keep, config.seconds, max(HEAD_SECONDS, config.seconds))
        self._remember(channel, number, publication)
        self.parcels.send(_KeptValue(self, channel, number, body, publication, later, len(body) + _PARCEL, keep))

    def tell(self, channel: str, note: dict[str, Any]) -> None:
        """Tell the nodes that follow a channel something; it is lost if the backplane is away for too long."""
        number, body = self.write(channel, note)
        later: Future[Published] = get_running_loop().create_future()
        self.parcels.send(_Value(self, channel, number, body, None, later, len(body) + _PARCEL))

    def write(self, channel: str, note: dict[str, Any]) -> tuple[int, bytes]:
        """Return the number and the body of a note for a channel."""
        number = self.own_notes.take(channel)
        return number, write_note(note, self.origin.node, number)

    # What comes back

    def received(self, body: Body, channel: str) -> Publication:
        """Return the value of a body: the very publication, if it is this node's own."""
        publication = self._read(body, channel)
        left_out = publication.target.left_out
        if left_out is not None and (client := self.who_has(left_out)) is not None:
            publication.target = replace(publication.target, excluding=client)  # which it may not have been then
        return publication

    def _read(self, body: Body, channel: str) -> Publication:
        if body.node == self.origin.node:
            own = self._waiting.pop((channel, body.number), None)
            if own is not None:
                return own
        publication = publication_of(body, place_in(channel))
        if self.slot is not None and not publication.is_raw:
            path = None if publication.path == NO_PATH else publication.path
            publication.path = self.slot(publication.value, path)
        return publication

    def _remember(self, channel: str, number: int, publication: Publication) -> None:
        """Keep a value that comes back, so that it is not read again."""
        if channel in self.interest:
            self._waiting[channel, number] = publication
            if len(self._waiting) > MOST_EXPECTED:  # the oldest were lost on their way
                self._waiting.popitem(last=False)

    def expect_no_more(self, channel: str, number: int) -> None:
        """Called when a value does not come back: it was kept before."""
        self._waiting.pop((channel, number), None)

    def forget(self) -> None:
        """Called when the backplane was lost: what was on its way back will not come, or be read from its bytes."""
        self._waiting.clear()

    def matched(self, channel: str, publication: Publication | None, nodes: int) -> int:
        """Return how many clients a value reaches here, and one for each other node that heard it."""
        here = 0 if publication is None else self.hub.reach(publication.target)
        return here + max(0, nodes - (channel in self.interest))

    def lost(self, value: _Value, error: Exception) -> None:
        """Called when nobody elsewhere hears a value: this node's clients read it nevertheless, if they may."""
        publication = value.publication
        is_awaited = self._waiting.pop((value.channel, value.number), None) is not None
        if publication is None:
            return
        if not self.alone_while_away:
            self.refused(value, error)
        elif self.note_own(value.channel, value.number):
            receipt = self.deliver(publication)
            _settle(value.later, Published(None, receipt.matched))
        elif is_awaited:  # a later one came back: this one would be out of order
            self.refused(value, error)
        else:
            _settle(value.later, Published(None, self.hub.reach(publication.target)))

    def refused(self, value: "_Value | _KeptValue", error: Exception) -> None:
        """Called when a value is not sent at all."""
        self._waiting.pop((value.channel, value.number), None)
        self.failures.add(f"a value for {value.channel[2:]} was not sent: {error}")
        if not value.later.done():
            value.later.set_exception(error)
            value.later.exception()  # whoever asks is told; nobody need ask


def _settle(later: "Future[Published]", published: Published) -> None:
    if not later.done():
        later.set_result(published)
