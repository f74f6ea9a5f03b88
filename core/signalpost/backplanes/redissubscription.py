"""The connection that listens: which channels are heard, and what comes on them."""

from asyncio import Future, StreamWriter
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from hiredis import ReplyError, pack_command

from signalpost.backplanes.backplane import AwayError, Hearing, RefusedError
from signalpost.backplanes.futures import fail, succeed
from signalpost.backplanes.redisaddress import Address
from signalpost.backplanes.rediserrors import error_of_reply
from signalpost.backplanes.rediskeys import Keys
from signalpost.backplanes.redisline import Line
from signalpost.backplanes.redisreplies import KEPT, LIVE, UnreadableError, kept_payload

_BATCH = 500  # channels of a command; the next one is sent when they are confirmed, so others have their turn


class _Wait:
    """Who waits until some channels are heard.

    Attributes:
        future: of whoever waits.
        left: how many are not heard yet.
    """

    __slots__ = ("future", "left")

    def __init__(self, future: Future[None]) -> None:
        self.future = future
        self.left = 0

    def done(self) -> None:
        """Called when one more channel is heard, or is wanted no more."""
        self.left -= 1
        if self.left <= 0:
            succeed(self.future, None)


class Subscription(Line):
    """Hears channels. One command at a time is under way: meanwhile what is wanted gathers for the next.

    What is heard waits until `release` is called; all else is as of `Line`.

    Args:
        keys: names the channels.
        hearing: called with what is heard.

    Attributes:
        heard: the channels that are confirmed.
    """

    def __init__(self, writer: StreamWriter, address: Address, silence: float, keys: Keys, hearing: Hearing) -> None:
        self.heard: set[str] = set()
        self._keys = keys
        self._hearing = hearing
        self._held: list[tuple[bytes, bytes]] | None = []
        self._names: dict[bytes, str] = {}  # of the channels that are wanted, by that of PUBLISH
        self._to_follow: dict[str, None] = {}
        self._to_leave: dict[str, None] = {}
        self._asked: Sequence[str] = ()  # channels of the command under way, in their order
        self._asking: Collection[str] = ()  # the same ones, for looking up
        self._leaving = False  # what that command does
        self._confirmed = 0  # of its channels
        self._waits: dict[str, list[_Wait]] = {}
        super().__init__(writer, address, silence)

    @property
    def wanted(self) -> Collection[str]:
        """The channels that are heard, or will be."""
        return self._names.values()

    @property
    def owed(self) -> int:
        """See `Line.owed`."""
        return len(self._asked) - self._confirmed

    def follow(self, channels: Collection[str]) -> Future[None]:
        """Hear more channels; done when all of them are heard."""
        wait = _Wait(self._loop.create_future())
        for channel in channels:
            self._names[self._keys.published(channel)] = channel
            self._to_leave.pop(channel, None)
            if channel in self.heard:
                continue
            if self._leaving or channel not in self._asking:
                self._to_follow[channel] = None
            self._waits.setdefault(channel, []).append(wait)
            wait.left += 1
        if wait.left:
            self._loop.call_soon(self._ask)
        else:
            wait.done()
        return wait.future

    def unfollow(self, channels: Collection[str]) -> None:
        """Hear these channels no longer."""
        for channel in channels:
            self._names.pop(self._keys.published(channel), None)
            if channel in self._to_follow:
                del self._to_follow[channel]
                self._tell_heard(channel)
            elif channel in self.heard or (channel in self._asking and not self._leaving):
                self._to_leave[channel] = None
        self._loop.call_soon(self._ask)

    def release(self) -> None:
        """Hand on what was heard, and all that will be."""
        held, self._held = self._held or [], None
        for published, payload in held:
            self._hear(published, payload)

    def replied(self, reply: Any) -> None:
        """See `Line.replied`."""
        if isinstance(reply, ReplyError):
            self._refused(error_of_reply(str(reply), self.address))
        elif reply[0] == b"message":
            if self._held is None:
                self._hear(reply[1], reply[2])
            else:
                self._held.append((reply[1], reply[2]))
        else:
            self._confirm()

    def abandon(self, error: AwayError) -> None:
        """See `Line.abandon`."""
        waits, self._waits = self._waits, {}
        for wait in (each for some in waits.values() for each in some):
            fail(wait.future, error)

    def _hear(self, published: bytes, payload: bytes) -> None:
        channel = self._names.get(published)
        kind = payload[0] if payload else None
        if channel is None:
            return  # it was under way when the channel was left
        if kind == LIVE:
            self._hearing.heard(channel, payload[1:])
        elif kind == KEPT:
            try:
                top, previous, body = kept_payload(payload)
            except UnreadableError:
                return  # of another program, as is every other kind
            self._hearing.heard_kept(channel, top, previous, body)

    def _ask(self) -> None:
        """Send the next command, if none is under way and there is something to ask."""
        if self.owed or self.why is not None:
            return
        self._leaving = bool(self._to_leave)
        wanted = self._to_leave or self._to_follow
        if not wanted:
            return
        asked = tuple(islice(wanted, _BATCH))
        for channel in asked:
            del wanted[channel]
        if self._leaving:
            self.heard.difference_update(asked)
        command = b"UNSUBSCRIBE" if self._leaving else b"SUBSCRIBE"
        self.write(pack_command((command, *map(self._keys.published, asked))))  # type: ignore[arg-type]  # any number
        self._asked, self._asking, self._confirmed = asked, frozenset(asked), 0

    def _confirm(self) -> None:
        """Called when a further channel of the command is confirmed."""
        channel = self._asked[self._confirmed]
        self._confirmed += 1
        if not self._leaving:
            self.heard.add(channel)
            self._tell_heard(channel)
        if not self.owed:
            self._asked = self._asking = ()
            self._confirmed = 0
            self._ask()

    def _refused(self, error: AwayError | RefusedError) -> None:
        """Called when the command under way has failed as a whole."""
        for channel in self._asked:
            for wait in self._waits.pop(channel, ()):
                fail(wait.future, error)
        self._asked = self._asking = ()
        self._confirmed = 0
        if isinstance(error, AwayError):
            self.lose(str(error))
        else:
            self._ask()

    def _tell_heard(self, channel: str) -> None:
        for wait in self._waits.pop(channel, ()):
            wait.done()
