"""A WebSocket connection after its handshake: the callbacks of its transport. No task, no queue, no lock."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import chain
from time import perf_counter

from signalpost.config.model import LimitsConfig
from signalpost.delivery.client import NO_DESCRIPTOR, Client
from signalpost.delivery.inbound import Inbound
from signalpost.node import Node
from signalpost.signals.conversation import Conversation
from signalpost.sockets.ahead import AHEAD, Ahead
from signalpost.sockets.keepalive import Keepalive, WatchedClient
from signalpost.sockets.rate import Allowance, allowance_of, pace_of
from signalpost.units import MEBIBYTE
from signalpost.websocket.frames import CloseCode, Opcode, encode_frame
from signalpost.websocket.reader import FrameReader, Received

# Module globals: a lookup in an Enum's class costs as much as a short frame.
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING_OPCODE = int(Opcode.PING)

MAX_READ_PER_TURN = 32_768
"""Bytes that are read from one client in one loop turn: more would delay all others. libuv alone reads up to 8 MB,
which may be a million frames without a payload."""

MAX_COMPRESSED_READ_PER_TURN = 4_096
"""The same if messages may be compressed: a kilobyte may need a megabyte of inflating, reading and answering."""

FRAME = 64
"""Bytes of memory that a waiting frame uses besides its payload."""

BACKLOG, RATE, TURN, STRAIN = 1, 2, 4, 8
"""Reasons to pause reading from a client; bits, so that each ends independently."""

TURN_WORK = 64 * MEBIBYTE
"""Bytes, counted once for each receiving client, that one client's messages may queue in a loop turn before the rest of
them waits for the next turn."""

TURN_SECONDS = 0.01
"""Seconds that one client's messages may work in a loop turn before the rest of them waits for the next turn."""

SHORTEST_PAUSE = 0.02
"""Shortest pause, in seconds, of a client that sends too fast: a timer for each message would cost more."""

LONGEST_PAUSE = 1.0
"""Seconds after which a paused client is checked again: it may be closing, and its close frame must be read."""

LINGER = 60.0
"""Seconds for which messages that a client sent before it disconnected are still handled."""


class Stage(Enum):
    """The stages of a connection.

    ::

        HERE --close frame, FIN, reset--> LEFT --the transport has ended--> LOST --nothing waits--> OVER

    In LEFT and LOST the client is in no audience, and the messages that it had sent are still handled in order.
    """

    HERE = 0
    LEFT = 1
    LOST = 2
    OVER = 3


_HERE, _LEFT, _LOST, _OVER = Stage  # a lookup in an Enum's class costs as much as a short frame


@dataclass(frozen=True, slots=True)
class Clockwork:
    """The clocks and timers of a connection.

    Attributes:
        call_soon: runs a function in the next loop turn (``loop.call_soon``).
        call_later: runs a function after seconds (``loop.call_later``).
        work: returns the seconds of this moment; the loop's own clock stands still during a turn.
    """

    call_soon: Callable[[Callable[[], None]], object]
    call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle]
    work: Callable[[], float] = perf_counter


class Connection(WatchedClient, asyncio.Protocol):
    """Turns received bytes into messages; sends only pongs and close frames itself, the rest goes through the hub.

    While it is paused, for whatever reason, no frames are read. Frames read before wait here, in order, and bytes
    received meanwhile are stored as they are (`Ahead`), up to a limit: so the client's end is noticed at once. A
    disconnected client is in no audience any more, and the messages that it had sent are handled in order.

    Args:
        transport: to which the 101 is about to be written.
        node: that the client belongs to.
        keepalive: that watches the connection.
        reader: of its frames.
        allowance: what the client may send; None is no limit.
        clockwork: of the loop.
        inbound: the account of unfinished input of all clients together.
        shared_of: returns what all clients of a user may send together; None without a limit.

    Attributes:
        heard_at: see `signalpost.sockets.keepalive.Watched`, also for `pinged_at` and `suspended`.
    """

    __slots__ = (
        "_ahead",
        "_allowance",
        "_client",
        "_clockwork",
        "_conversation",
        "_goes",
        "_inbound",
        "_keepalive",
        "_max_read",
        "_node",
        "_parting",
        "_pauses",
        "_pinned",
        "_reader",
        "_reads_on",
        "_sends",
        "_shared",
        "_shared_of",
        "_stage",
        "_stopped",
        "_transport",
        "_unhandled",
        "_unhandled_size",
        "_waiting",
        "_waking",
        "_watching",
        "heard_at",
        "pinged_at",
        "suspended",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        node: Node,
        keepalive: Keepalive,
        reader: FrameReader,
        *,
        allowance: Allowance | None,
        clockwork: Clockwork,
        inbound: Inbound,
        shared_of: Callable[[str | None], Allowance | None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._node = node
        self._keepalive = keepalive
        self._reader = reader
        self._allowance = allowance
        self._shared: Allowance | None = None  # of its user
        self._shared_of = shared_of
        self._clockwork = clockwork
        self._inbound = inbound
        self._max_read = MAX_COMPRESSED_READ_PER_TURN if reader.inflates else MAX_READ_PER_TURN
        self._client: Client
        self._conversation: Conversation
        self._unhandled: deque[Received] | None = None  # frames already read; they wait for the end of all pauses
        self._unhandled_size = 0  # bytes of memory that they used when they began to wait
        self._pauses = 0
        self._pinned = 0  # bytes noted for this connection in the account
        self._sends = True  # whether the last message went to others; unknown before the first one
        self._ahead: Ahead | None = None  # bytes to read in later loop turns, or after a pause
        self._reads_on = False  # in the next loop turn
        self._stopped = False  # the transport reads nothing
        self._watching = NO_DESCRIPTOR  # of a transport that reads nothing: reports its end
        self._stage = _HERE
        self._goes = False  # by a close frame of its own
        self._parting: asyncio.TimerHandle | None = None  # ends a leaving client's work, or what it has left behind
        self._waiting = 0  # bytes of messages that wait for a handler
        self._waking: asyncio.TimerHandle | None = None  # the timer that ends a pause for the rate
        self.heard_at = keepalive.now
        self.pinged_at = 0.0
        self.suspended = False

    def begin(self, conversation: Conversation, early: bytes) -> None:
        """Use the transport, to which the 101 has been written, from now on.

        Args:
            conversation: that receives its messages.
            early: bytes received behind the handshake, before the response.
        """
        self._client = conversation.client
        self._conversation = conversation
        self._shared = self._shared_of(self._client.user)
        self._transport.set_protocol(self)
        if not self._transport.get_extra_info("ssl_object"):
            # Call back at once when bytes are held back, and again only when all of them are gone.
            self._transport.set_write_buffer_limits(high=0, low=0)
        self._keepalive.connections.add(self)
        self._node.welcome(conversation)
        if not self._stopped:
            # Sanic stops reading when 64 KiB arrive behind a request, and never resumes here.
            self._transport.resume_reading()
        if early:
            self.data_received(early)

    # For a reload

    @property
    def client(self) -> Client:
        """The client at the other end."""
        return self._client

    @property
    def conversation(self) -> Conversation:
        """The conversation that receives its messages."""
        return self._conversation

    def set_limits(self, limits: LimitsConfig) -> None:
        """Apply other limits to the client from now on."""
        self._reader.set_limit(limits.message)
        pace = pace_of(limits)
        if pace is None or self._allowance is None:
            self._allowance = allowance_of(pace, asyncio.get_running_loop().time)
        else:
            self._allowance.set_pace(pace)
        self._shared = self._shared_of(self._client.user)

    # The transport's callbacks

    def data_received(self, data: bytes) -> None:
        """Read frames; the bytes may hold several messages, or none."""
        self.heard_at = self._keepalive.now
        if self._sends and (strain := self._node.hub.strain) is not None and strain.strained:
            self._hold_if_strained()
        if self._ahead is not None:
            self._keep(self._ahead, data)
            return
        if (
            self._allowance is None
            and self._shared is None
            and (text := self._reader.read_text(data)) is not None  # as most bytes are
        ):
            self._handle_alone(text)
            return
        if len(data) > self._max_read:
            data = self._postpone(data)
        self._read(data)

    def _postpone(self, data: bytes) -> bytes:
        """Return the first part of the bytes, and leave the rest to the next turns; until then nothing more is read."""
        self._ahead = Ahead(data[self._max_read :])
        self._stop_reading()
        self._read_on_soon()
        return data[: self._max_read]

    def _read_on_soon(self) -> None:
        if not self._reads_on:
            self._reads_on = True
            self._clockwork.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Read one part of the bytes received already. During a pause, frames would need far more memory than bytes."""
        self._reads_on = False
        if self._sends and self._ahead:
            self._hold_if_strained()
        ahead = self._ahead
        if ahead is None or self._pauses:  # it has ended, or the end of a pause continues here
            return
        data = ahead.take(self._max_read)
        if ahead:
            self._read_on_soon()
        else:
            self._ahead = None
            self._start_reading()
        self._read(data)
        self._end_if_done()

    def _read(self, data: bytes) -> None:
        reader, allowance = self._reader, self._allowance
        received = reader.feed(data)
        if allowance is not None:
            allowance.fill()
            allowance.bytes -= len(data) + reader.inflated
            allowance.frames -= reader.fragments
            reader.inflated = reader.fragments = 0
        if received:
            self._handle(iter(received))
        if reader.error is not None:
            self._fail()
        elif allowance is not None and (allowance.bytes < 0.0 or allowance.frames < 0.0):
            self._pause_for_rate(allowance)
        if reader.unfinished or self._unhandled or self._pinned or self._ahead:
            if any(opcode <= _BINARY for opcode, _ in received):  # what is unfinished now has only just begun
                self._inbound.release(self)
                self._pinned = 0
            self._note_pinned()

    def eof_received(self) -> bool:
        """End the connection: a peer that sends nothing more cannot complete a closing handshake."""
        self._leave_all()
        return False

    def pause_writing(self) -> None:
        """Queue the client's frames from now on."""
        self._client.paused()

    def resume_writing(self) -> None:
        """Write what waits."""
        self._node.hub.resumed(self._client)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the transport has ended, in whatever way; called once."""
        self._watch(NO_DESCRIPTOR)
        self._leave_all(reset=isinstance(exc, ConnectionResetError | TimeoutError))
        self._stage = _LOST
        if not self._client.heeded:
            self._let_go()
        self._end_if_done()

    # The client's end

    def _leave_all(self, close: bytes | None = None, *, reset: bool = False) -> None:
        """Remove a disconnected client from everything; messages that it had sent are still handled, for a while.

        Args:
            close: the payload of its close frame, which is answered; None if there is none.
            reset: whether it ended with a reset, which drops what it had sent.
        """
        if self._stage is not _HERE:
            return
        self._stage = _LEFT
        client, conversation = self._client, self._conversation
        expected = client.closing  # and nothing that it sends is used
        if close is None:
            client.left(CloseCode.ABNORMAL)
        else:
            client.close(_code_of(close))
            client.finish()
        if reset:
            conversation.abandon()
        heeded = conversation.left() and not reset and not expected
        if heeded and (self._unhandled or self._ahead or self._stopped):
            client.heed(self._dismiss)
        if self._parting is not None:
            self._parting.cancel()
            self._parting = None
        if client.heeded:
            conversation.hurry()
        if client.heeded or conversation.waits:
            self._parting = self._clockwork.call_later(LINGER, partial(self._end_lingering, conversation))
        self._node.report_gone(conversation, sent_away=expected and not self._goes)

    def _end_lingering(self, conversation: Conversation) -> None:
        """Drop a client's remaining messages: it disconnected long enough ago."""
        self._parting = None
        self._client.dismiss()
        conversation.abandon()

    def _dismiss(self) -> None:
        """Drop a disconnected client's remaining messages; one of them may be in the middle of being handled."""
        self._let_go()
        if not self._transport.is_closing():
            self._transport.abort()
        self._clockwork.call_soon(self._end_if_done)

    def _let_go(self) -> None:
        self._unhandled = self._ahead = None

    def _end_if_done(self) -> None:
        """Forget the client if its transport has ended and nothing waits here any more."""
        if self._stage is not _LOST or self._unhandled or self._ahead:
            return
        self._stage = _OVER
        conversation, client = self._conversation, self._client
        client.heed(None)
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if self._parting is not None and not conversation.waits:
            self._parting.cancel()
            self._parting = None
        if self._node.hub.strain is not None:
            self._node.hub.strain.release(self)
        self._inbound.release(self)
        self._keepalive.connections.discard(self)
        self._node.forget(client)
        conversation.disconnected(client.close_code)
        # Release the last message and this object now: neither waits for the garbage collector.
        self._reader.forget()
        del self._conversation

    def _hung_up(self, reset: bool) -> None:
        """Called when the client has disconnected while nothing is read from it."""
        self._leave_all(reset=reset)
        if not self._client.heeded and not self._transport.is_closing():
            self._transport.abort()

    # Frames

    def _handle(self, frames: Iterator[Received]) -> None:  # noqa: C901 - a call per frame is measurable
        """Handle frames in order until one causes a pause; the rest of the iterator waits for the end of it."""
        conversation, client, hub, allowance = self._conversation, self._client, self._node.hub, self._allowance
        clock, work = self._clockwork.work, hub.work
        shared = self._shared
        most, begun = work + TURN_WORK, 0.0 if allowance is None else clock()
        until = begun + TURN_SECONDS
        for opcode, payload in frames:
            if (allowance is not None and allowance.frames < 1.0 and self._exceeds(allowance, opcode)) or (
                shared is not None and shared.frames < 1.0 and opcode <= _BINARY and self._exceeds(shared, opcode)
            ):
                self._keep_unhandled(chain(((opcode, payload),), frames))
                break
            if allowance is not None:
                allowance.frames -= 1.0
            if shared is not None and opcode <= _BINARY:
                shared.frames -= 1.0
            if opcode > _BINARY:
                if self._control(opcode, payload):
                    break
            elif not client.closing or client.heeded:
                conversation.receive(opcode, payload)
                if hub.work > most or (allowance is not None and clock() > until):
                    self._end_turn()
                if self._pauses:
                    self._keep_unhandled(frames)
                    break
        if allowance is not None:
            allowance.seconds -= clock() - begun
            if allowance.seconds < 0.0:
                self._pause_for_rate(allowance)
        self._sends = hub.work > work
        if self._sends:
            self._hold_if_strained()

    def _handle_alone(self, text: bytes) -> None:
        """Handle a text message that came alone, from a client without a limit: quicker than `_handle`."""
        client, hub = self._client, self._node.hub
        work = hub.work
        if not client.closing or client.heeded:
            self._conversation.receive(_TEXT, text)
            if hub.work > work + TURN_WORK:
                self._end_turn()
        self._sends = hub.work > work
        if self._sends and (strain := hub.strain) is not None and strain.strained:
            self._hold_if_strained()
        if self._reader.error is not None:
            self._fail()
        if self._pinned or self._ahead:
            self._inbound.release(self)
            self._pinned = 0
            self._note_pinned()

    def _exceeds(self, allowance: Allowance, opcode: int) -> bool:
        """Return whether the allowance does not cover a frame; then a pause has begun."""
        if opcode == _CLOSE or self._ignored or allowance.covers_one():
            return False
        self._pause(RATE)
        self._wake_later(allowance)
        return True

    def _keep_unhandled(self, frames: Iterable[Received]) -> None:
        """Store frames that a pause has left over, unless the client's messages are not handled any more."""
        if self._stage is _HERE or self._client.heeded:
            unhandled = deque(frames)
            if unhandled:
                self._unhandled = unhandled
                self._unhandled_size = sum(FRAME + len(payload) for _, payload in unhandled)

    def _control(self, opcode: int, payload: bytes) -> bool:
        """Answer a ping or a close frame; a pong needs no answer. Return whether it was the client's last frame."""
        if opcode == _PING_OPCODE:
            self._client.send(encode_frame(Opcode.PONG, payload))
        elif opcode == _CLOSE:
            if self._stage is _HERE:
                self._goes = not self._client.closing
                # The same code goes back (RFC 6455 section 5.5.1), then the connection is closed (section 7.1.1).
                self._client.close(_code_of(payload))
                self._client.finish()
            self._client.heed(None)
        return opcode == _CLOSE  # what a peer sends behind its close frame is not used

    def _fail(self) -> None:
        """Fail the connection (RFC 6455 section 7.1.7); what still arrives is not read any more."""
        error = self._reader.error
        if error is not None and not self.suspended:
            self._client.close(error.code, error.reason)
            self._client.finish(half=True)

    # Pauses

    def read_on(self, on: bool) -> None:
        """Resume or pause reading, as far as the conversation is concerned."""
        if on:
            self._resume(BACKLOG)
        else:
            self._pause(BACKLOG)

    def _hold_if_strained(self) -> None:
        """Pause reading if clients that read receive more than they can, until they have caught up."""
        strain = self._node.hub.strain
        if strain is not None and strain.active and not self._pauses & STRAIN and not self._ignored:
            self._pause(STRAIN)
            strain.hold(self)

    def go_on(self) -> None:
        """Resume reading: the strained clients have caught up, or this one has waited long enough."""
        self._resume(STRAIN)

    def charge(self, seconds: float) -> None:
        """Charge the client for work that a task did for its messages."""
        if self._allowance is not None:
            self._allowance.seconds -= seconds
        self._hold_if_strained()

    def note_waiting(self, change: int) -> None:
        """Note how many more (or fewer) bytes of messages wait for a handler."""
        self._waiting += change
        self._note_pinned()

    def _note_pinned(self) -> None:
        """Note in the account how many bytes the server stores for this client."""
        pinned = self._reader.unfinished + self._waiting + len(self._ahead or ())
        if self._unhandled:
            pinned += self._unhandled_size
        if pinned != self._pinned:
            self._pinned = pinned
            self._inbound.hold(self, pinned)

    def give_up_inbound(self) -> None:
        """End the connection: the account has no room, and this client has held unfinished input longest."""
        self._pinned = 0
        reason = "the server has no room left for unfinished messages"
        self._reader.fail(self._client.encoding.codec.close_code(CloseCode.TRY_AGAIN_LATER), reason)
        self._unhandled = self._ahead = None
        self._client.send_away(CloseCode.TRY_AGAIN_LATER, reason)
        self._client.finish(half=True)

    def _end_turn(self) -> None:
        """Leave the rest of the bytes for the next loop turn, so that others get theirs."""
        self._pause(TURN)
        self._clockwork.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._resume(TURN)

    def _pause_for_rate(self, allowance: Allowance) -> None:
        """Pause reading until the client's allowance covers a frame."""
        if self._pauses & RATE or self._ignored or allowance.covers_one():
            return
        self._pause(RATE)
        self._wake_later(allowance)

    def _wake_later(self, allowance: Allowance) -> None:
        pause = min(max(allowance.wait, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._waking = self._clockwork.call_later(pause, self._wake)

    def _wake(self) -> None:
        for allowance in (self._allowance, self._shared):
            if allowance is not None and not self._ignored and not allowance.covers_one():
                self._wake_later(allowance)
                return
        self._waking = None
        self._resume(RATE)

    def _pause(self, reason: int) -> None:
        self._pauses |= reason
        if self._ahead is None:
            self._ahead = Ahead()
        self.suspended = True
        if reason != TURN:  # which is over before a client could have disconnected
            self._clockwork.call_soon(self._look_ahead)

    def _keep(self, ahead: Ahead, data: bytes) -> None:
        """Store bytes received during a pause, or before the rest of a part has been read."""
        ahead.add(data)
        self._pinned += len(data)
        self._inbound.hold(self, self._pinned)
        if self._pauses:
            self._look_ahead()
        elif len(ahead) >= AHEAD:
            self._stop_reading()

    def _look_ahead(self) -> None:
        """Notice a close frame of a paused client; the transport continues to read for that while there is room."""
        ahead, here = self._ahead, self._stage is _HERE
        if ahead is None or not self._pauses:
            return
        if here and self._pauses != TURN:
            self._look_for_close(ahead)
        if len(ahead) < AHEAD and self._inbound.roomy:
            self._start_reading()
            return
        self._stop_reading()
        if here and self._watching == NO_DESCRIPTOR:
            sock = self._transport.get_extra_info("socket")
            self._watch(NO_DESCRIPTOR if sock is None else sock.fileno())

    def _look_for_close(self, ahead: Ahead) -> None:
        if not ahead.watched:
            ahead.watch(*self._reader.begun)
        close = ahead.close if self._reader.close is None else self._reader.close
        if close is None:
            return
        if self._pauses & BACKLOG:
            self._leave_all(close)
        elif self._parting is None:
            # A pause that ends by itself: the client may well read its answers first, and then the close frame.
            self._parting = self._clockwork.call_later(LONGEST_PAUSE, partial(self._leave_all, close))

    @property
    def _ignored(self) -> bool:
        """Whether the client's messages are not handled any more."""
        return self._client.closing and not self._client.heeded

    def _watch(self, descriptor: int) -> None:
        """Watch for the end of a transport that reads nothing; with `NO_DESCRIPTOR`, stop watching."""
        if self._watching != NO_DESCRIPTOR:
            self._keepalive.hangups.forget(self._watching)
        self._watching = descriptor
        if descriptor != NO_DESCRIPTOR:
            self._keepalive.hangups.watch(descriptor, self._hung_up)

    def _stop_reading(self) -> None:
        """Leave what arrives in the kernel."""
        if not self._stopped and not self._transport.is_closing():
            self._stopped = True
            self._transport.pause_reading()

    def _start_reading(self) -> None:
        if self._stopped:
            self._stopped = False
            self._watch(NO_DESCRIPTOR)
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _resume(self, reason: int) -> None:
        """Remove a reason for the pause; if none remains, handle what waits here, then resume reading."""
        self._pauses &= ~reason
        if self._pauses or not self.suspended:
            return
        unhandled, self._unhandled = self._unhandled, None
        if unhandled:
            self._handle(iter(unhandled))
        if self._pinned:
            self._note_pinned()
        if self._pauses:
            return
        self.suspended = False
        self.heard_at = self._keepalive.now
        self._fail()
        if self._ahead:
            self._read_on_soon()
        else:
            self._ahead = None
            self._start_reading()
            self._end_if_done()


def _code_of(close: bytes) -> int:
    """Return the code in a close frame's payload."""
    return int.from_bytes(close[:2], "big") if close else int(CloseCode.NO_STATUS)
