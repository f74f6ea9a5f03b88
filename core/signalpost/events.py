"""What handlers get: an event with what happened, and the means to answer it.

Pode's Response and Streamed have no counterpart: replies go by `reply`, and there is one kind of server.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import unquote

from signalpost.config.model import EndpointConfig
from signalpost.delivery.client import Client
from signalpost.delivery.target import ClientId, Receipt
from signalpost.fields import decode_field, join_fields, origin_form, read_query
from signalpost.foreign import Code, Seat
from signalpost.state.state import State
from signalpost.words import unknown

Reach = Literal["everyone", "others", "sender"]


class Broadcast(Protocol):
    """Send a value to clients.

    Args:
        value: a string goes out as it is, anything else as compact JSON; ``None`` and ``""`` are a no-op.
        to: ``"everyone"`` or, in a signal event, ``"sender"``; ``"others"`` leaves the sender out, of everyone or of
            those that path, group and client reach.
        path: only clients connected on this path.
        group: only clients of this group.
        client: only the client of this id.

    Several of path, group and client intersect. None given means the client's wish in a signal event and
    everyone elsewhere.

    Raises:
        TypeError: `value` is not JSON, or `to` is not ``"others"`` and stands together with path, group or client, or
            one of these is neither a string nor None.
        ValueError: `value` is larger than 128 MiB, `to` is another word, or ``"sender"`` or ``"others"`` where there is
            no sender; or path, group or client is empty.

    """

    def __call__(
        self,
        value: Any,
        *,
        to: Reach | None = None,
        path: str | None = None,
        group: str | None = None,
        client: str | None = None,
    ) -> Receipt:
        """Send `value`; the receipt counts matched, queued and dropped clients."""
        ...


_LOOK = 0.5  # seconds between looks at whether a client is there whose list waits


class Jobs(Protocol):
    """The timers and schedules of the server, by name; see `signalpost.jobs.runner.JobRunner`."""

    async def run(self, name: str) -> bool:
        """Run a job now, and wait for its end; False if as many runs as there may be are under way."""

    def pause(self, name: str) -> None:
        """Begin no more runs of a job until `resume`."""

    def resume(self, name: str) -> None:
        """Go on with a job at its next moment."""

    def status(self, name: str) -> Any:
        """Return how a job does (`signalpost.jobs.runner.JobStatus`)."""

    def names(self) -> Sequence[str]:
        """Return the names of all jobs."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A handler as others call it.

    Attributes:
        takes: the class of the events that it takes.
        code: what the log calls it.

    """

    function: Callable[[Any], Any]
    takes: type
    code: Code


@dataclass(slots=True)
class Services:
    """What a server does for plugins besides delivering; another plan changes what is in it.

    Attributes:
        folder: of the app: where routes.yaml is.
        jobs: None where none run (`signalpost try`).
        handlers: by name.
        tell_error: hears what code of plugins has raised; None if nobody wants to.

    """

    folder: Path = field(default_factory=Path)
    jobs: Jobs | None = None
    handlers: dict[str, Callee] = field(default_factory=dict)
    tell_error: Callable[[Code, BaseException, Sequence[Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all events of one server share.

    Attributes:
        lock: for handlers that must not overlap (``async with event.lock``); not re-entrant.
        state: a mapping for the app's own use; see `signalpost.state.state`.
        clients: those connected, by id; those that are arriving are among them.
        waits: what is waited for as long as a client is there, by id.
        services: what else the server does for plugins.

    """

    lock: asyncio.Lock
    state: State
    clients: Mapping[ClientId, Client] = field(default_factory=dict)
    waits: dict[ClientId, set[asyncio.Future[bool]]] = field(default_factory=dict)
    services: Services = field(default_factory=Services)

    async def stays(self, client: Client, seconds: float) -> bool:
        """Wait, but no longer than a client is there; return whether it still is."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await asyncio.sleep(0)
        while not client.closing and (left := until - loop.time()) > 0:
            # Its end is told by `gone`, though not before what it had sent has been handled: so look, too.
            if not await self._stays_a_while(client, min(left, _LOOK), loop):
                return False
        return not client.closing

    async def _stays_a_while(self, client: Client, seconds: float, loop: asyncio.AbstractEventLoop) -> bool:
        future: asyncio.Future[bool] = loop.create_future()
        waits = self.waits.setdefault(client.id, set())
        waits.add(future)
        timer = loop.call_later(seconds, _settle, future, True)
        try:
            return await future
        finally:
            timer.cancel()
            waits.discard(future)
            if not waits and self.waits.get(client.id) is waits:
                del self.waits[client.id]

    def gone(self, client: Client) -> None:
        """End what is waited for as long as a client is there."""
        for future in self.waits.pop(client.id, ()):
            _settle(future, False)


def _settle(future: "asyncio.Future[bool]", stays: bool) -> None:
    if not future.done():
        future.set_result(stays)


class SharedView:
    """Gives whoever holds `shared` its two parts by name."""

    __slots__ = ()

    shared: Shared

    @property
    def lock(self) -> asyncio.Lock:
        """One lock for all handlers of the server; not re-entrant."""
        return self.shared.lock

    @property
    def state(self) -> State:
        """One mapping for all handlers and actions of the server."""
        return self.shared.state


Event = TypeVar("Event", bound="PluginView")


class PluginView(SharedView):
    """Gives an event of a handler or an action what its plugin holds."""

    __slots__ = ()

    _seat: Seat | None

    @property
    def context(self) -> Any:
        """The `signalpost.PluginContext` of the plugin whose code this event is given to.

        Raises:
            RuntimeError: it is given to no plugin.

        """
        if self._seat is None or self._seat.context is None:
            raise RuntimeError("an event has a context while a server gives it to a plugin's handler or action")
        return self._seat.context

    @property
    def settings(self) -> Mapping[str, Any]:
        """What routes.yaml says under ``plugins: settings:`` for the plugin; short for ``context.settings``."""
        settings: Mapping[str, Any] = self.context.settings
        return settings

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> "asyncio.Task[Any]":
        """Go on with a coroutine in the background, when the handler has ended.

        A stop of the server waits for it as it does for handlers (``limits.drain``), and then cancels it. What it
        raises is logged with the plugin's name.

        Args:
            coroutine: what to run; one that comes to its end by itself.
            name: for the log; the coroutine's own name when nothing is said.

        """
        try:
            context = self.context
        except RuntimeError:
            coroutine.close()  # else Python warns of what is never awaited
            raise
        task: asyncio.Task[Any] = context.spawn(coroutine, name=name)
        return task

    async def call(self, name: str) -> Any:
        """Call a handler of any plugin with this event, and return what it returns; what it raises is raised here.

        Args:
            name: of the handler.

        Raises:
            LookupError: there is none of this name.
            TypeError: it takes other events.

        """
        handlers = self.shared.services.handlers
        callee = handlers.get(name)
        if callee is None:
            if not isinstance(name, str):
                raise TypeError(f"a handler's name is a text, not {name!r}")
            raise LookupError(unknown("handler", name, sorted(handlers)))
        if not isinstance(self, callee.takes):
            raise TypeError(f"{callee.code} takes a {callee.takes.__name__}, and this is a {type(self).__name__}")
        return await callee.code.run(callee.function, given_to(self, callee.code.seat))


def given_to(event: Event, seat: Seat | None) -> Event:
    """Return an event as it is given to a plugin's code."""
    return event if event._seat is seat else replace(event, _seat=seat)  # type: ignore[type-var]  # noqa: SLF001


class SenderView(PluginView):
    """Gives whoever holds a `client` and its `broadcast` the ways to speak to that client alone."""

    __slots__ = ()

    client: Client
    broadcast: Broadcast

    def reply(self, value: Any) -> Receipt:
        """Send a value to the sender alone; short for ``broadcast(value, to="sender")``."""
        return self.broadcast(value, to="sender")

    def close(self, code: int = 4009, reason: str = "") -> None:
        """Close the sender's connection (RFC 6455 section 7.4; 4009 is "kicked by a handler")."""
        self.client.close(code, reason)


class HandshakeRequest:
    """A compact snapshot of the request that opened a WebSocket; parsed only when a handler asks.

    Args:
        head: the request line and the headers, as they came.
        peer: the client's address and port, or an empty string and 0.

    """

    __slots__ = ("_head", "peer")

    def __init__(self, head: bytes, peer: tuple[str, int]) -> None:
        self._head = head
        self.peer = peer

    @property
    def target(self) -> str:
        """The path and query as asked for, still percent-encoded (RFC 9112 section 3.2)."""
        return origin_form(self._head.split(b" ", 2)[1].decode("latin-1"))

    @property
    def path(self) -> str:
        """The path as asked for, percent-decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> Mapping[str, str]:
        """The first value of each parameter."""
        return read_query(self.target.partition("?")[2])

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name; those that stand several times are joined (`join_fields`)."""
        parts = [line.partition(b":") for line in self._head.split(b"\r\n")[1:]]
        return join_fields((decode_field(name), decode_field(value)) for name, colon, value in parts if colon)


@dataclass(slots=True)
class MessageData:
    """A client's message, its known keys brought to one spelling.

    Not frozen only because one is made per message, as is the event: frozen ones take three times as long.

    Attributes:
        message: any JSON value; never None or ``""``.
        path: where the client asks it to go, likewise `client_id` (the target's, not the sender's) and `group`.
        direct: the client asks to be answered alone.
        ref: the client's own mark.
        document: the whole object, with keys of the client's own; its ``ref`` is not in it.

    """

    message: Any
    path: str | None = None
    client_id: str | None = None
    group: str | None = None
    direct: bool = False
    ref: str | int | None = None
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class SignalEvent(SenderView):
    """A client's message on a signal.

    Attributes:
        data: what the client sent and asked for.
        client: the sender: `id`, `path`, `groups`, `join(group)`, `leave(group)`, `close(code, reason)`.
        endpoint: where the sender is connected.
        path: the sender's path, in the declared spelling.
        params: the parameters of `path`.
        request: the sender's handshake.
        route: the signal's path as declared, e.g. ``/rooms/<room>``.
        timestamp: when the message was read; aware, UTC.
        broadcast: see `Broadcast`; without a target it honours the client's wish.

    """

    data: MessageData
    client: Client
    endpoint: EndpointConfig
    path: str
    params: Mapping[str, str | int]
    request: HandshakeRequest
    route: str
    timestamp: datetime
    shared: Shared
    broadcast: Broadcast
    _seat: Seat | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ClientEvent(SenderView):
    """A client has come to a signal, or is gone; the fields that it shares with `SignalEvent` mean the same.

    Attributes:
        code: how its connection ended; 0 when it has come.

    """

    client: Client
    endpoint: EndpointConfig
    path: str
    params: Mapping[str, str | int]
    request: HandshakeRequest
    route: str
    timestamp: datetime
    shared: Shared
    broadcast: Broadcast
    code: int = 0
    _seat: Seat | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class RouteEvent(PluginView):
    """An HTTP request on a route with a handler.

    Attributes:
        request: Sanic's request.
        path: as asked for.
        params: the parameters of the route's path.
        route: the route's path as declared.
        endpoint: where it arrived.
        broadcast: see `Broadcast`; without a target it goes to everyone.

    """

    request: Any
    path: str
    params: Mapping[str, str | int]
    route: str
    endpoint: EndpointConfig
    _seconds: float
    shared: Shared
    broadcast: Broadcast
    _seat: Seat | None = field(default=None, repr=False, compare=False)

    @property
    def timestamp(self) -> datetime:
        """When the request arrived; aware, UTC. Made when it is asked for, which few handlers do."""
        return datetime.fromtimestamp(self._seconds, UTC)

    @property
    def query(self) -> Mapping[str, Any]:
        """The first value of each parameter of the query, or what the route's schema for queries made of them."""
        typed: Mapping[str, Any] | None = getattr(self.request, "typed_query", None)
        return read_query(self.request.query_string) if typed is None else typed


@dataclass(frozen=True, slots=True)
class TickEvent(PluginView):
    """A run of a timer or schedule.

    Attributes:
        name: of the job.
        run: counted from 1; runs that were skipped do not count. 0 is a run that was invoked by hand.
        due: when it should have begun; aware.
        arguments: as routes.yaml or the decorator gives them.
        broadcast: see `Broadcast`; without a target it goes to everyone.

    """

    name: str
    run: int
    due: datetime
    arguments: Mapping[str, Any]
    shared: Shared
    broadcast: Broadcast
    _seat: Seat | None = field(default=None, repr=False, compare=False)
