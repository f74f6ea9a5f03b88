"""A link: the connection of one feed, made again whenever it is lost, and the handling of its messages."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from signalpost.actions.program import Program
from signalpost.config.feedurl import message_text
from signalpost.errors import StepFailedError
from signalpost.events import Broadcast, FeedEvent, Shared
from signalpost.feeds.dialing import FAREWELL, Failure, dial, failure_of, tls_of
from signalpost.feeds.envelope import PROTOCOL, Envelopes
from signalpost.feeds.pace import STEADY, Backoff, Pace
from signalpost.foreign import is_cancelled, named, original, overran, unseen_task
from signalpost.handlers import Handler
from signalpost.jsontext import load
from signalpost.logthrottle import LineTally
from signalpost.observe import Observer
from signalpost.plan import Feed
from signalpost.signals.work import Work

LOG = logging.getLogger(__name__)

_CANCEL_GRACE = 1.0  # seconds in which a cancelled handler may clean up
_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """The status of a feed.

    Attributes:
        connected: whether it is connected.
        messages: how many have been handled, or failed.
        tries: how many connections have been tried since it was last connected.
        last_error: of the last message that failed; one line.
    """

    name: str
    connected: bool
    messages: int
    tries: int
    last_error: str | None


class Link:
    """Keeps one feed connected, and handles its messages in their order, one after the other.

    While a message is handled, no further one is read: a server that sends faster waits, by TCP.

    Args:
        feed: of a plan.
        shared: by all events.
        broadcast: sends to clients.
        work: counts messages as under way.
        pace: time and chance.
        observer: notified of what happens; None for no observer.

    Attributes:
        feed: see above; another plan's may take its place between two messages, as may its `work`.
        running: the task of the message that is being handled, if it is one that waits.
    """

    def __init__(  # noqa: PLR0917 - all of it is the runner's
        self,
        feed: Feed,
        shared: Shared,
        broadcast: Broadcast,
        work: Work,
        pace: Pace,
        observer: Observer | None = None,
    ) -> None:
        self.feed = feed
        self.work = work
        self.running: asyncio.Task[None] | None = None
        self._shared = shared
        self._broadcast = broadcast
        self._pace = pace
        self.observer = observer
        self._backoff = Backoff(pace.chance)
        self._envelopes = Envelopes(self._tell)
        self._tls: ssl.SSLContext | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        self._code = _NORMAL  # that it is closed with
        self._patience = FAREWELL  # seconds for its server to answer that
        self._connected = False
        self._messages = 0
        self._tries = 0
        self._last_error: str | None = None
        self._told_binary = False  # of this connection
        self._told = ""  # why it is away, as the log says already
        self._cause: BaseException | None = None  # of the failure that is logged next
        call_later = asyncio.get_running_loop().call_later
        self._lines = LineTally(self._say, call_later)
        self._failures = LineTally(self._say_failure, call_later)

    def __str__(self) -> str:
        return f'feed "{self.feed.name}" ({self.feed.owner})'

    @property
    def status(self) -> FeedStatus:
        """Its status."""
        return FeedStatus(self.feed.name, self._connected, self._messages, self._tries, self._last_error)

    def start(self) -> None:
        """Connect, in the background."""
        self._task = unseen_task(self._stay_connected())
        self._task.add_done_callback(self._notice_end)

    async def end(self, code: int, patience: float | None = None) -> None:
        """Take no further message, wait for the one under way, and close the connection.

        Args:
            code: of the close frame.
            patience: seconds for both; a message that takes longer is cancelled. None waits for a message to its end.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._leaving, self._code = True, code
        if self.running is not None:
            await self._finish(self.running, patience)
        if patience is not None:
            self._patience = min(FAREWELL, max(0.0, begun + patience - loop.time()))
        task = self._task
        if task is None:
            return
        task.cancel()  # its last act is to hang up
        _, late = await asyncio.wait((task,), timeout=self._patience + _CANCEL_GRACE)
        if late:
            task.cancel()
            await asyncio.wait((task,))

    async def _finish(self, running: asyncio.Task[None], patience: float | None) -> None:
        _, late = await asyncio.wait((running,), timeout=patience)
        if not late:
            return
        LOG.warning("%s: a message was cancelled, since it was not done %g s after the stop", self, patience or 0.0)
        running.cancel()
        _, stuck = await asyncio.wait(late, timeout=_CANCEL_GRACE)
        if stuck:
            LOG.error("%s: a message ignores that it was cancelled, and is left behind", self)

    # The connection

    async def _stay_connected(self) -> None:
        while not self._leaving:
            failure = await self._connect_once()
            if self._leaving:
                return
            wait = self._backoff.next(failure.asked)
            self._tries += 1
            self._tell_away(failure, wait)
            await self._pace.wait(wait)

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        """Log what must not be: the link has ended by itself. Nobody awaits its task."""
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("%s: it is given up, until a restart or a reload that changes it", self, exc_info=error)

    async def _connect_once(self) -> Failure:
        """Connect, and handle messages until the connection ends; return why there is none."""
        feed, envelopes = self.feed, self._envelopes
        envelopes.retry = 0.0
        try:
            if self._tls is None:
                self._tls = await tls_of(feed)
            connection = await dial(feed, envelopes.url(feed.source.url), self._tls)
        except Exception as error:  # noqa: BLE001 - whatever it is, the feed is tried again
            return self._failed(error)
        since = self._pace.clock()
        try:
            for value in feed.source.send:
                await connection.send(message_text(value))
            self._tell_connected(connection)
            await self._read(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the feed is tried again
            failure = self._failed(error)
        else:
            failure = Failure("")  # it is leaving
        finally:
            if self._connected and self.observer is not None:
                self.observer.feed_lost(feed.name)
            self._connected = False
            await self._hang_up(connection)
        if self._pace.clock() - since >= STEADY:
            self._backoff.reset()
        return failure if failure.asked else Failure(failure.text, envelopes.retry, failure.plain)

    def _failed(self, error: Exception) -> Failure:
        failure = failure_of(error, self.feed, self._pace.wall)
        if not failure.plain and failure.text != self._told:
            LOG.error("%s: its connection failed", self, exc_info=error)
        return failure

    async def _hang_up(self, connection: ClientConnection) -> None:
        """Close a connection; one whose server does not answer is aborted."""
        try:
            async with asyncio.timeout(self._patience):
                await connection.close(self._code)
        except TimeoutError:
            pass
        finally:
            connection.transport.abort()

    async def _read(self, connection: ClientConnection) -> None:
        enveloped = connection.subprotocol == PROTOCOL
        self._told_binary = False

        async def answer(value: Any) -> None:
            try:
                await connection.send(value if isinstance(value, bytes) else message_text(value))
            except ConnectionClosed:
                raise ConnectionError(f'feed "{self.feed.name}" is not connected any more') from None

        while not self._leaving:
            received = await connection.recv()
            event = self._event(received, answer, enveloped=enveloped)
            if event is not None:
                self._backoff.reset()
                await self._handle(event)
            await asyncio.sleep(0)  # what has arrived already is read without a wait: others have their turn

    def _event(self, received: str | bytes, answer: Callable[[Any], Any], *, enveloped: bool) -> FeedEvent | None:
        """Return the event of a message; None if nobody is to have it."""
        if isinstance(received, bytes):
            if isinstance(self.feed.action, Program):
                if not self._told_binary:
                    self._told_binary = True
                    self._say("binary messages are left out: a list of actions takes text; a handler gets the bytes")
                return None
            message: Any = received
            said: Any = received
            text = ""
        elif enveloped:
            signal = self._envelopes.read(received)
            if signal is None:
                return None
            message, said, text = signal.value, signal.said, received
        else:
            message = said = _json_or_text(received)
            text = received
        action = self.feed.action
        return FeedEvent(
            self.feed.name,
            message,
            text,
            said,
            self._pace.wall(),
            self._shared,
            self._broadcast,
            answer,
            action.seat if isinstance(action, Handler) else None,
        )

    # Messages

    async def _handle(self, event: FeedEvent) -> None:
        self._messages += 1
        begun = perf_counter()
        action = self.feed.action
        if isinstance(action, Program) and not action.waits:
            failed = not self._act_at_once(action, event)
        else:
            failed = not await self._act_in_a_task(event)
        if self.observer is not None:
            self.observer.feed_handled(self.feed.name, perf_counter() - begun, failed=failed)

    def _act_at_once(self, program: Program, event: FeedEvent) -> bool:
        try:
            program.run(event)
        except StepFailedError as error:
            self._report_step(error)
            return False
        except Exception as error:  # noqa: BLE001 - a list may run plugins' code
            self._report(error)
            return False
        return True

    async def _act_in_a_task(self, event: FeedEvent) -> bool:
        """Handle a message in a task of its own, which outlives a link that ends; return whether it did not fail."""
        feed = self.feed
        done: list[bool] = []

        async def run() -> None:
            done.append(await self._attempt(feed, event))

        task = asyncio.get_running_loop().create_task(run(), name=str(self))
        self.running = task
        self.work.begin()
        task.add_done_callback(self.work.end)
        try:
            await asyncio.wait((task,))
        finally:
            if task.done():
                self.running = None
        return done == [True]

    async def _attempt(self, feed: Feed, event: FeedEvent) -> bool:
        """Handle a message; return whether that ended without a failure, and report a failure."""
        timeout = feed.source.timeout
        try:
            async with asyncio.timeout(timeout) as scope:
                if isinstance(feed.action, Handler):
                    await feed.action.code.run(feed.action.function, event)
                else:
                    await feed.action.run_async(event)
            if scope.expired():  # the handler caught its cancellation and ran to its end
                self._report_timeout(feed, timeout, None)
        except TimeoutError as error:
            if scope.expired():
                self._report_timeout(feed, timeout, error)
            else:
                self._report(error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise  # the server stops
            self._report(error)  # the handler awaited something that was cancelled
        except StepFailedError as error:
            self._report_step(error)
        except Exception as error:  # noqa: BLE001 - a handler may raise whatever it likes
            self._report(error)
        else:
            return not scope.expired()
        return False

    # The log

    def _report_step(self, error: StepFailedError) -> None:
        self._fail(str(error), str(error), error.cause)

    def _report(self, error: BaseException) -> None:
        self._fail(named(error).splitlines()[0], f"{self._actor} failed", original(error))

    def _report_timeout(self, feed: Feed, timeout: float | None, error: TimeoutError | None) -> None:
        text = f"took longer than {timeout:g} s"
        if error is not None:
            overran(error, text)
        elif isinstance(feed.action, Handler):
            feed.action.code.overran(text)
        self._fail(text, f"{self._actor} {text} and was cancelled", None)

    def _fail(self, error: str, line: str, cause: BaseException | None) -> None:
        self._last_error = error
        self._cause = cause
        self._failures.add(line)
        self._cause = None

    def _say_failure(self, line: str) -> None:
        LOG.error("%s: %s", self, line, exc_info=self._cause)

    @property
    def _actor(self) -> str:
        action = self.feed.action
        if isinstance(action, Handler):
            return f'handler "{action.name}" of plugin {action.plugin} ({action.where})'
        return "its list of actions"

    def _tell_connected(self, connection: ClientConnection) -> None:
        self._connected = True
        tried = f", after {self._tries} tries" if self._tries > 1 else ""
        spoken = f" ({connection.subprotocol})" if connection.subprotocol else ""
        level = logging.WARNING if self._told else logging.INFO  # who reads that it is away reads that it is back
        self._tries, self._told = 0, ""
        LOG.log(level, "%s is connected to %s%s%s", self, self.feed.shown, spoken, tried)
        if self.observer is not None:
            self.observer.feed_connected(self.feed.name)

    def _tell_away(self, failure: Failure, wait: float) -> None:
        """Log that the feed is away: once for each reason, however often it is tried."""
        level = logging.DEBUG if failure.text == self._told else logging.WARNING
        self._told = failure.text
        LOG.log(level, "%s at %s: %s; next try in %g s", self, self.feed.shown, failure.text, round(wait, 1))

    def _tell(self, line: str) -> None:
        self._lines.add(line)

    def _say(self, line: str) -> None:
        LOG.warning("%s: %s", self, line)


def _json_or_text(text: str) -> Any:
    """Return what a text says as JSON; the text itself if it is none, or nested too deeply to be sent on."""
    try:
        return load(text.encode())
    except ValueError:
        return text
