"""A room: one connection to one path of a signalpost server, which is made again whenever it breaks."""

import asyncio
import inspect
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, overload

import orjson

from signalpost.client.asks import ANSWERS, Ask, Asks, refusal, signal_of
from signalpost.client.clock import within
from signalpost.client.errors import ClosedError, ConnectError, DisconnectedError, RefusedError
from signalpost.client.line import CLOSED_WITHOUT_A_WORD, Line, LineEndedError
from signalpost.client.listeners import LOG, Listener, Listeners
from signalpost.client.present import Present
from signalpost.client.progress import BEARER, PROTOCOL, SESSION, Progress, text_or_none
from signalpost.client.renewal import Renewal
from signalpost.client.settings import Settings
from signalpost.client.unread import Unread
from signalpost.client.values import Answer, Gap, History, Member, Presence, Signal, State
from signalpost.client.waits import Waits
from signalpost.client.watch import Watch
from signalpost.client.way import Transport, Way, can_read_events
from signalpost.client.websocket import open_websocket

PATIENCE = 10.0  # for a handshake and the first frame
ANSWER_TIMEOUT = 10.0

NORMAL, UNAUTHORIZED = 1000, 4401
FINAL_CODES = {1008, 4009, 4403, 4410}
"""The server meant it: it refused this client by policy (1008) or for what it may (4403), a handler sent it away
(4009), or another connection has the session now (4410), and would lose it again if this one came back."""
_HTTP_UNAUTHORIZED = 401


class Room:
    """One path of a server, for the length of an ``async with`` block; `connect` makes one.

    Iterating yields each `Signal`, in the order of the server. Several tasks that iterate share the signals: each goes
    to one of them. The loop ends when the app closes the room, and raises `ClosedError` when the server does for good.
    When the connection breaks, the room connects again, goes on where it was, and the loop does not notice, but for
    gaps.

    A signal that nobody has read waits, up to `unread` of them. Then the room stops reading from the network, so that
    the server knows that this client is slow, and does what its signal says (`slow`). While an answer is awaited, the
    room reads on, since the answer comes behind the signals.

    Attributes:
        path: as the server calls it; empty before the first welcome.
        client_id: of the connection; another one after each reconnect.
        user: how others know this client: by its token, or in `present`; None if the signal has no presence, and no
            token was shown.
        state: what the room is doing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path = ""
        self.client_id = ""
        self.user: str | None = None
        self.state = State("closed")
        self._progress = Progress(settings.at)
        self._present = Present()
        self._asks = Asks()
        self._listeners = Listeners()
        self._unread = Unread(settings.unread, lambda: bool(self._asks))
        self._waits = Waits(settings.random)
        self._way = Way(may_use_events=settings.events and can_read_events())
        self._line: Line | None = None  # welcomed
        self._running: asyncio.Task[None] | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._last_reason = ""
        self._error: Exception | None = None  # why it is closed for good; None: by the app
        self._closed = False
        self._renewal = Renewal(settings.clock, self._asks, self._token, self._is_refused)
        self._token_was_refused = False  # since the last welcome
        self._refusal: LineEndedError | None = None  # of WebSockets, by something that may be a proxy
        self._asked_presence: set[int] = set()
        self._told_of_gap = False
        self._hurry = asyncio.Event()  # ends the wait for the next try
        self._wants_another = False  # connection at once, instead of the one that there is, or was tried

    def __repr__(self) -> str:
        return f"<Room {self._settings.address.host}{self._settings.address.path} {self.state.name}>"

    # What is known

    @property
    def present(self) -> Mapping[str, Member]:
        """Who is present, by user; a view that changes. Empty if the signal has no presence, or only tells a number."""
        return self._present.members

    @property
    def count(self) -> int | None:
        """How many users are present; None if the signal has no presence."""
        return self._present.count

    @property
    def transport(self) -> Transport:
        """How the room is connected, or was last: ``websocket``, or ``sse`` where WebSockets do not come through."""
        return self._way.taken

    @property
    def plain(self) -> bool:
        """Whether the connection is one to a server that speaks no signalpost.v1."""
        return self._line is not None and self._line.plain

    # Listening

    @overload
    def on(self, kind: Literal["gap"], listener: Callable[[Gap], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["presence"], listener: Callable[[Presence], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["state"], listener: Callable[[State], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["error"], listener: Callable[[RefusedError], object]) -> Callable[[], None]: ...
    @overload
    def on(
        self,
        kind: Literal["welcome", "lagged", "bye", "expiring", "close"],
        listener: Callable[[Mapping[str, Any]], object],
    ) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["frame"], listener: Callable[[str, Any], object]) -> Callable[[], None]: ...

    def on(self, kind: str, listener: Listener) -> Callable[[], None]:
        """Call a function, plain or a coroutine function, whenever something happens; return a function that stops it.

        ``gap``: values are missing here, and the app has to load what they were about: the one thing that every app
        must handle. Its listeners are called by the loop that iterates, between the two signals where it is, and the
        loop waits for them, and raises what they raise. A gap that nobody listens to is logged, the first time.

        ``presence``: who is present has changed. ``state``: what the room does. ``error``: a `RefusedError` for a
        message that was sent without waiting for an answer, or for another token, where the present one counts until it
        ends; logged if nobody listens. ``welcome``, ``lagged`` (values were left out, since this client was slow),
        ``expiring`` (the token ends) and ``bye``: what the server said, as wire.md shows it. ``close``:
        ``{"code": …, "reason": …}`` of a connection that has ended; 1006 for one that broke or did not come about.
        ``frame``: the kind and body of everything that comes, also of kinds that this version does not know. These are
        called as it comes, coroutine functions beside the room. What they raise is logged.

        Raises:
            ValueError: there is no such kind.
        """
        return self._listeners.add(kind, listener)

    # Sending

    async def ask(self, message: Mapping[str, Any], *, timeout: float | None = ANSWER_TIMEOUT) -> Answer:  # noqa: ASYNC109 - not of the caller's block alone: the text says what is waited for
        """Send a message and wait for its answer.

        While there is no connection this waits for one. If the connection breaks before the answer, the message is
        sent again on the next one; the server does it once, since it has the same `once` (for as long as `once` of the
        signal says, and until the server restarts).

        Args:
            message: as a client sends it: ``{"message": "hi"}``, with ``path``, ``clientId``, ``group``, ``direct`` and
                the app's own keys. ``once``, if it is not there, is made up; give one of your own, of at most 64
                characters, if the message is to be repeated by another run of the program.
            timeout: in seconds; None waits for as long as the room is open. Afterwards the message may still be done.

        Raises:
            RefusedError: the server refused it, or its handler failed.
            TimeoutError: no answer came in time.
            ClosedError: the room is closed for good, or becomes so.
            TypeError: it is not JSON.
            ValueError: it has ``ref``, which is the room's.
        """
        if "ref" in message:
            raise ValueError("the room chooses ref itself: leave it out")
        if self.plain:
            raise DisconnectedError("this server speaks no signalpost.v1, so it answers nothing: use send")
        answer: Answer = await self._answered({"once": secrets.token_urlsafe(16), **message}, timeout)
        return answer

    async def history(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
        timeout: float | None = ANSWER_TIMEOUT,  # noqa: ASYNC109 - as of `ask`
    ) -> History:
        """Read a part of the history of the room's path: the newest values, or those next to a position.

        Args:
            limit: how many at most, 1 to 1,000; no more than 1 MiB comes at once.
            before: a position; the newest values before it.
            after: a position; the oldest values behind it. Not with `before`.
            timeout: as of `ask`.

        Raises:
            RefusedError: ``unknown-request`` where the path has no history, ``unknown-position`` where what is next to
                the position is not known any more.
            TimeoutError: no answer came in time.
            ClosedError: the room is closed for good, or becomes so.
        """
        positions = {key: value for key, value in (("before", before), ("after", after)) if value is not None}
        found: History = await self._answered({"signalpost": {"history": {"limit": limit, **positions}}}, timeout)
        return found

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message without waiting for an answer. If it is refused, `error` is told.

        Raises:
            DisconnectedError: there is no connection now, so it was not sent. Nobody knows whether a message arrived
                that was sent just before the connection broke: use `ask` where that matters.
            ClosedError: the room is closed for good.
            TypeError: it is not JSON.
        """
        await self.send_raw(orjson.dumps(message).decode())

    async def send_raw(self, data: str | bytes) -> None:
        """Send a frame as it is, text or binary, as signals of `format: raw` want; see `send`."""
        line = self._line
        if self._closed:
            raise self._error or ClosedError(NORMAL)
        if line is None:
            raise DisconnectedError(f"not sent: there is no connection now ({self.state.name})")
        try:
            async with line.lock:
                await line.send(data)
        except LineEndedError as ended:
            raise DisconnectedError(f"not sent: {ended.text}") from ended

    async def _answered(self, document: Mapping[str, Any], timeout: float | None) -> Any:  # noqa: ASYNC109 - as of `ask`
        if self._closed:
            raise self._error or ClosedError(NORMAL)
        ref, ask = self._asks.add(document)
        self._unread.look()
        try:
            async with within(self._settings.clock, timeout) as waiting:
                await self._send_ask(ask)
                return await ask.answer
        except TimeoutError:
            if not waiting.expired():
                raise
            raise TimeoutError(f"no answer within {timeout:g} s (the room is {self.state.name})") from None
        finally:
            self._asks.remove(ref)

    async def _send_ask(self, ask: Ask) -> None:
        line = self._line
        if line is None:
            return  # sent by the next welcome
        with suppress(LineEndedError):  # and again by the next welcome
            async with line.lock:
                if ask.sent is not line and self._line is line:
                    ask.sent = line
                    await line.send(ask.text)

    # Reading

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Signal:
        if not self._settings.unread:
            raise RuntimeError("this room keeps no signals (unread=0), so none can be read")
        while (item := await self._unread.get()) is not None:
            if isinstance(item, Signal):
                return item
            self._warn_of(item)
            await self._listeners.tell_in_turn("gap", item)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def _hand_on(self, item: Signal | Gap) -> None:
        if self._settings.unread:
            await self._unread.put(item)
        elif isinstance(item, Gap):
            self._warn_of(item)
            self._listeners.tell("gap", item)

    def _warn_of(self, gap: Gap) -> None:
        if self._told_of_gap or self._listeners.has("gap"):
            return
        self._told_of_gap = True
        LOG.warning(
            'values of %s are missing (%s), and nobody listens: room.on("gap", …) has to load what they were about',
            gap.path or self._settings.address.path,
            gap.why,
        )

    # Opening and closing

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("a room is opened once: connect again for another one")
        timeout = self._settings.open_timeout
        self._welcomed = asyncio.get_running_loop().create_future()
        self._running = asyncio.get_running_loop().create_task(self._run())
        try:
            async with within(self._settings.clock, timeout) as waiting:
                await asyncio.shield(self._welcomed)
        except TimeoutError:
            await self.close()
            if not waiting.expired():
                raise
            raise ConnectError(f"no welcome within {timeout:g} s: {self._last_reason or self._silence}") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def reconnect(self) -> None:
        """Connect again now: end the wait for the next try, or else the connection that there is."""
        if self._line is not None:
            self._wants_another = True
            self._line.abort()
        self._hurry.set()

    async def close(self) -> None:
        """Close the connection, and make it no more; a loop that reads signals ends. Safe to call twice."""
        self._end(None)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _end(self, error: Exception | None, reason: str = "") -> None:
        """Called when there will be no connection any more."""
        if self._closed:
            return
        self._closed = True
        self._error = error
        self._line = None
        self._asks.fail(error or ClosedError(NORMAL))
        self._unread.end()
        self._say(State("closed", reason=reason))
        self._listeners.stop()
        if self._welcomed is not None and self._is_opening:
            self._welcomed.set_exception(error or ClosedError(NORMAL))
            self._welcomed.exception()  # if nobody waits any more

    @property
    def _is_opening(self) -> bool:
        """Whether no welcome has come, and somebody waits for it."""
        return self._welcomed is not None and not self._welcomed.done()

    # The connection, again and again

    async def _run(self) -> None:
        try:
            while True:
                end = await self._one_line()
                self._way.ended(end.code)
                if (failed := self._final(end)) is not None:
                    self._end(failed, end.reason or end.text)
                    return
                if self._wants_another:
                    self._wants_another = False
                else:
                    await self._wait(end)
        except Exception as error:  # noqa: BLE001 - handed to the app: what its token function raises, or a fault of ours
            self._end(error, str(error))

    async def _one_line(self) -> LineEndedError:
        """Connect and read until the connection ends; return how it did."""
        self._say(State("connecting", reason=self._last_reason))
        line: Line | None = None
        try:
            self._way.choose()
            token = await self._token()
            try:
                async with within(self._settings.clock, PATIENCE) as waiting:
                    line = await self._open(token)
                    first = None if line.plain else await line.receive()
            except TimeoutError:
                if not waiting.expired():
                    raise
                if line is not None:
                    line.abort()  # it would not answer a close either
                raise LineEndedError(self._silence) from None
            return await self._read(line, first)
        except LineEndedError as ended:
            return ended
        finally:
            self._line = None
            if line is not None:
                await line.close()

    @property
    def _silence(self) -> str:
        address = self._settings.address
        return f"{address.host} does not answer{'; did you mean ws:// (http://)?' if address.secure else ''}"

    async def _open(self, token: str) -> Line:
        if self._way.taken == "sse":
            from signalpost.client.events import ask_whereabouts, open_events  # needs an extra

            where = await ask_whereabouts(self._settings.address, self._settings)
            if where.has_events:
                return await open_events(self._settings.address, where, self._settings, self._progress, token)
            self._way.denied()
        return await self._open_websocket(token)

    async def _open_websocket(self, token: str) -> Line:
        settings = self._settings
        subprotocols = [PROTOCOL] if settings.offers_v1 else []
        if self._progress.session:
            subprotocols.append(SESSION + self._progress.session)
        if token and settings.offers_v1:
            subprotocols.append(BEARER + token)
        headers = dict(settings.headers)
        if token and not settings.offers_v1:  # a server of any kind may know this header, and hardly the subprotocol
            headers["Authorization"] = f"Bearer {token}"
        line = await open_websocket(
            settings.address,
            self._progress.at,
            subprotocols=subprotocols,
            headers=headers,
            ssl=settings.ssl,
            max_size=settings.max_size,
        )
        if line.plain and not settings.accepts_plain:
            await line.close()
            raise LineEndedError(
                f"{settings.address.host} has WebSockets, but speaks no {PROTOCOL}: is it a signalpost server?",
                hopeless=True,
            )
        return line

    async def _token(self) -> str:
        token = self._settings.token
        if token is None or isinstance(token, str):
            return token or ""
        try:
            made = token()
            return await made if inspect.isawaitable(made) else made
        except Exception as error:
            if self._is_opening:
                raise
            LOG.exception("the function that gives the token failed; the room tries again")
            raise LineEndedError(f"no token could be had ({error})") from error

    async def _read(self, line: Line, first: str | bytes | None) -> LineEndedError:
        """Read until the connection ends; return how it did."""
        watch = Watch(self._settings.clock, line, self._unread)
        watching = asyncio.get_running_loop().create_task(watch.run())
        try:
            if first is None:
                self._is_connected(line)
            else:
                await self._take(line, first)
            while True:
                frame = await line.receive()
                watch.heard()
                await self._take(line, frame)
        except LineEndedError as ended:
            return LineEndedError("the server gave no sign of life") if watch.gave_up else ended
        finally:
            watching.cancel()
            self._renewal.stop()

    def _final(self, end: LineEndedError) -> Exception | None:
        """Return the error of a room that is not to come back; None if it is to come back."""
        self._last_reason = end.text
        self._listeners.tell("close", {"code": end.code or CLOSED_WITHOUT_A_WORD, "reason": end.reason})
        refused = _is_unauthorized(end)
        hopeless = end.code in FINAL_CODES or (refused and not callable(self._settings.token))
        goes_another_way = end.hopeless and end.foreign and self._way.has_another
        if goes_another_way:
            self._refusal = end
        in_vain = end.hopeless and not refused
        if self._is_opening and goes_another_way and self._settings.one_try:
            self._way.refused()
            self._wants_another = True
        elif self._is_opening and (hopeless or self._settings.one_try or (in_vain and not goes_another_way)):
            said = self._refusal or end  # by the way that was wanted first
            return ConnectError(said.text, said.status, said.code)
        if hopeless:
            return ClosedError(end.code or UNAUTHORIZED, end.reason)
        return None

    async def _wait(self, end: LineEndedError) -> None:
        if end.retry is not None:
            self._waits.ask_for(end.retry)
        if _is_unauthorized(end):
            first, self._token_was_refused = not self._token_was_refused, True
            if first:
                return  # a new token may be all that was missing
        seconds = self._waits.following()
        self._hurry.clear()
        prevent = self._settings.clock.call_later(seconds, self._hurry.set)
        self._say(State("waiting", seconds, end.text))
        try:
            await self._hurry.wait()
        finally:
            prevent()

    def _say(self, state: State) -> None:
        self.state = state
        self._listeners.tell("state", state)

    def _is_connected(self, line: Line) -> None:
        self._line = line
        self._last_reason = ""
        self._say(State("connected"))
        if self._welcomed is not None and self._is_opening:
            self._welcomed.set_result(None)

    # What comes

    async def _take(self, line: Line, frame: str | bytes) -> None:
        if line.plain:
            self._waits.reset()
            await self._hand_on(Signal(frame))
            return
        try:
            document = orjson.loads(frame) if isinstance(frame, str) else None
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict):
            for kind, body in document.items():
                await self._take_one(line, kind, body)
        elif frame:  # of a signal of `format: raw`
            await self._hand_on(Signal(frame, self.path or None))

    async def _take_one(self, line: Line, kind: str, told: Any) -> None:
        body: Mapping[str, Any] = told if isinstance(told, dict) else {}
        self._listeners.tell("frame", kind, told)
        match kind:
            case "signal":
                self._progress.read(body)
                await self._hand_on(signal_of(body))
            case "gap":
                self._progress.read(body)
                why = text_or_none(body.get("why")) or "unknown"
                await self._hand_on(Gap(text_or_none(body.get("path")), why, text_or_none(body.get("at"))))
            case "welcome":
                await self._is_welcomed(line, body)
            case "presence":
                self._is_present(line, body)
            case "lagged":
                self._listeners.tell(kind, body)
            case "expiring":
                self._listeners.tell(kind, body)
                if callable(self._settings.token):  # else there is no other one
                    self._renewal.begin(line)
            case "bye":
                self._is_asked_to_leave(body)
            case _ if kind in ANSWERS:
                self._is_answered(kind, body)

    def _is_asked_to_leave(self, body: Mapping[str, Any]) -> None:
        if isinstance(retry := body.get("retry_ms"), int | float):
            self._waits.ask_for(retry / 1000)
        self._listeners.tell("bye", body)

    async def _is_welcomed(self, line: Line, body: Mapping[str, Any]) -> None:
        # Only now is the connection good: a server that accepts and drops at once must not reset the waits.
        self._waits.reset()
        self._way.welcomed()
        self._token_was_refused = False
        self.path = text_or_none(body.get("path")) or ""
        self.client_id = text_or_none(body.get("clientId")) or ""
        self.user = text_or_none(body.get("user"))
        gap = self._progress.welcomed(body)
        self._is_connected(line)
        self._listeners.tell("welcome", body)
        if (change := self._present.welcomed(has_presence=self.user is not None)) is not None:
            self._listeners.tell("presence", change)
        if self._asks:
            self._listeners.beside(self._repeat(line), "messages could not be repeated")
        if gap is not None:
            await self._hand_on(gap)

    async def _repeat(self, line: Line) -> None:
        """Send all that is not answered, in its order, before what is asked from now on."""
        with suppress(LineEndedError):
            async with line.lock:
                for ask in self._asks:
                    if ask.sent is not line and not ask.answer.done():
                        ask.sent = line
                        await line.send(ask.text)

    def _is_present(self, line: Line, body: Mapping[str, Any]) -> None:
        if isinstance(ref := body.get("ref"), int):
            self._asked_presence.discard(ref)
        change = self._present.told(body)
        if change is not None:
            self._listeners.tell("presence", change)
        elif not self._asked_presence:
            self._listeners.beside(self._ask_presence(line), "the presence could not be asked for")

    async def _ask_presence(self, line: Line) -> None:
        ref = self._asks.next_ref()
        self._asked_presence.add(ref)
        with suppress(LineEndedError):
            async with line.lock:
                await line.send(orjson.dumps({"signalpost": {"presence": {}}, "ref": ref}).decode())

    def _is_answered(self, kind: str, body: Mapping[str, Any]) -> None:
        if self._asks.answered(kind, body) or kind != "error":
            return
        if isinstance(ref := body.get("ref"), int) and ref in self._asked_presence:
            self._asked_presence.discard(ref)
            return
        self._is_refused(refusal(body))

    def _is_refused(self, error: RefusedError) -> None:
        """Tell of what was refused, and whose answer nobody waits for."""
        if not self._listeners.has("error"):
            LOG.warning("a message was refused, and nobody waits for its answer: %s", error)
        self._listeners.tell("error", error)


def _is_unauthorized(end: LineEndedError) -> bool:
    return end.code == UNAUTHORIZED or end.status == _HTTP_UNAUTHORIZED
