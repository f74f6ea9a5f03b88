"""What handlers receive: an event that describes what happened, with the means to answer it.

Pode's Response and Streamed have no counterpart: replies use `reply`, and there is one kind of server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import unquote

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.model import EndpointConfig
from signalpost.delivery.client import Client
from signalpost.delivery.target import ClientId, Published, Receipt
from signalpost.fields import decode_field, join_fields, origin_form, read_query
from signalpost.foreign import Code, Seat
from signalpost.state.state import State
from signalpost.words import unknown

Reach = Literal["everyone", "others", "sender"]


class Broadcast(Protocol):
    """Send a value to clients.

    Args:
        value: a string is sent as it is, anything else as compact JSON; ``None`` and ``""`` are a no-op.
        to: ``"everyone"`` or, in the event of a signal or of a route, ``"sender"``; ``"others"`` excludes the sender
            from everyone or from those that path, group, client and user reach.
        path: only clients connected on this path.
        group: only clients of this group.
        client: only the client of this id.
        user: only clients of this user, on all of its connections.

    Several of path, group, client and user intersect. Without any, the target is the one that the client requested in a
    signal event, and everyone elsewhere.

    Raises:
        TypeError: `value` is not JSON, or `to` is not ``"others"`` and combined with path, group, client or
            user, or one of these is neither a string nor None.
        ValueError: `value` is larger than 128 MiB, `to` is another word, or ``"sender"`` or ``"others"`` when there is
            no sender; or path, group, client or user is empty; or it is broader than ``broadest`` in routes.yaml
            allows.
        ClientError: in the event of a route, ``"sender"`` or ``"others"`` when the request names no connected client.
    """

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
        """Send `value`; the receipt counts matched, queued and dropped clients."""
        ...


_AT = "at"  # the parameter of a query that holds a position
_LAST_EVENT_ID = "last-event-id"
_LOOK = 0.5  # seconds between checks whether the client of a waiting list is still there


class Jobs(Protocol):
    """The timers and schedules of the server, by name; see `signalpost.jobs.runner.JobRunner`."""

    async def run(self, name: str) -> bool:
        """Run a job now, and wait for its end; return False if its maximum of runs is under way."""

    def pause(self, name: str) -> None:
        """Start no more runs of a job until `resume`."""

    def resume(self, name: str) -> None:
        """Continue a job at its next due time."""

    def status(self, name: str) -> Any:
        """Return the status of a job (`signalpost.jobstatus.JobStatus`)."""

    def statuses(self) -> Sequence[Any]:
        """Return the status of each job that has begun, in the order of the plan."""

    def names(self) -> Sequence[str]:
        """Return the names of all jobs."""


@dataclass(frozen=True, slots=True)
class KeptValue:
    """A value of a history.

    Attributes:
        at: its position.
        value: a text, or JSON.
    """

    at: str
    value: Any


@dataclass(frozen=True, slots=True)
class History:
    """Some of the values that were sent to a path.

    Attributes:
        path: in its declared spelling.
        values: oldest first.
        at: the position of the last of them; of the newest value if there are none.
        more: whether there are more: newer ones behind a position, else older ones.
    """

    path: str
    values: tuple[KeptValue, ...]
    at: str
    more: bool


@dataclass(frozen=True, slots=True)
class Present:
    """A user on a path.

    Attributes:
        user: what survives a client's reconnect; of a plain client its id.
        n: how many connections the user has.
        info: what others see; as ``presence: {info: …}`` says.
    """

    user: str
    n: int
    info: Any


class Recollection(Protocol):
    """What a server remembers; see `signalpost.signals.memory.Memory`."""

    def history(self, path: str, since: str | None = None, limit: int = 1_000, place: Any = None) -> History:
        """Return kept values of a path.

        Raises:
            LookupError: its signal has no history.
            ValueError: `since` is no position, or what follows it is not known any more.
        """

    async def fetch(self, path: str) -> None:
        """Read what is kept of a path from where all nodes keep it.

        Raises:
            UnavailableError: that cannot be reached.
        """

    def at_path(self, path: str) -> str | None:
        """Return the position of the value that was just sent to a path; None if it was not kept."""

    def present(self, path: str, place: Any = None) -> Sequence[Present]:
        """Return who is on a path; nobody if its signal has no presence.

        Raises:
            UnavailableError: only other nodes know that, which are asked now.
        """

    async def fetch_present(self, path: str) -> None:
        """Ask other nodes who is on a path, if this one does not know.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """


class Moderator(Protocol):
    """Sends clients away, and keeps them away; see `signalpost.signals.moderation.Moderation`.

    In all methods, `by` is who does it, for the log. All of it reaches the clients of all nodes. What is returned
    counts those of this node: at least so many are concerned.
    """

    def kick(
        self,
        *,
        by: str,
        user: str | None = None,
        client_id: str | None = None,
        path: str | None = None,
        group: str | None = None,
        code: int = 4009,
        reason: str = "",
    ) -> int:
        """Close the connections of clients that match all that is given; return how many.

        Raises:
            TypeError: nothing is given, or one of the names is no text.
            ValueError: a name is empty, or the code must not be sent.
        """

    def ban(self, user: str, seconds: float = 86_400.0, reason: str = "", *, by: str) -> int:
        """Ban a user, and close its connections; return how many of them are of this node.

        Raises:
            TypeError: the name is no text.
            ValueError: the name is empty or longer than 1,024 characters, or the seconds are no time.
            RevocationsFullError: there are too many bans and revocations.
        """

    def unban(self, user: str, *, by: str) -> bool:
        """End a ban; return whether there was one."""

    def revoke(
        self,
        *,
        by: str,
        user: str | None = None,
        token_id: str | None = None,
        before: float | None = None,
        seconds: float = 86_400.0,
    ) -> int:
        """Revoke tokens, and close connections that were made with them; return how many. It raises as `ban` does."""

    def unrevoke(self, *, by: str, user: str | None = None, token_id: str | None = None) -> bool:
        """End a revocation; return whether there was one."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A handler that other code can call.

    Attributes:
        takes: the class of its events.
        code: its name in the log.
    """

    function: Callable[[Any], Any]
    takes: type
    code: Code


@dataclass(slots=True)
class Services:
    """What a server does for plugins besides delivery; another plan changes the contents.

    Attributes:
        folder: of the app, with routes.yaml.
        jobs: None if none run (`signalpost try`).
        handlers: by name.
        tell_error: called with what plugins' code has raised; None for no call.
        memory: what the server remembers.
        moderator: sends clients away.
    """

    folder: Path = field(default_factory=Path)
    memory: Recollection | None = None
    moderator: Moderator | None = None
    jobs: Jobs | None = None
    handlers: dict[str, Callee] = field(default_factory=dict)
    tell_error: Callable[[Code, BaseException, Sequence[Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """Shared by all events of one server.

    Attributes:
        lock: for handlers that must not overlap (``async with event.lock``); not re-entrant.
        state: a mapping for the app's own use; see `signalpost.state.state`.
        clients: the connected ones by id, including those that are arriving.
        waits: waits that end with a client, by its id.
        services: of the server for plugins.
    """

    lock: asyncio.Lock
    state: State
    clients: Mapping[ClientId, Client] = field(default_factory=dict)
    waits: dict[ClientId, set[asyncio.Future[bool]]] = field(default_factory=dict)
    services: Services = field(default_factory=Services)

    async def stays(self, client: Client, seconds: float) -> bool:
        """Wait, but no longer than a client stays; return whether it is still there."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await asyncio.sleep(0)
        while not client.closing and (left := until - loop.time()) > 0:
            # `gone` reports its end, but only after its messages have been handled: so check as well.
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
        """End the waits that last as long as a client stays."""
        for future in self.waits.pop(client.id, ()):
            _settle(future, False)


def moderator_of(shared: Shared) -> Moderator:
    """Return what sends clients away.

    Raises:
        RuntimeError: no server runs.
    """
    moderator = shared.services.moderator
    if moderator is None:
        raise RuntimeError("nobody is connected before a server runs")
    return moderator


def recollection_of(shared: Shared) -> Recollection:
    """Return what a server remembers.

    Raises:
        RuntimeError: no server runs.
    """
    memory = shared.services.memory
    if memory is None:
        raise RuntimeError("nothing is remembered before a server runs")
    return memory


def _settle(future: "asyncio.Future[bool]", stays: bool) -> None:
    if not future.done():
        future.set_result(stays)


class SharedView:
    """Properties for the two parts of `shared`."""

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
    """Properties and methods for an event of a handler or an action, from its plugin."""

    __slots__ = ()

    _seat: Seat | None
    broadcast: Broadcast

    @property
    def context(self) -> Any:
        """The `signalpost.PluginContext` of the plugin whose code receives this event.

        Raises:
            RuntimeError: the event belongs to no plugin.
        """
        if self._seat is None or self._seat.context is None:
            raise RuntimeError("an event has a context while a server gives it to a plugin's handler or action")
        return self._seat.context

    @property
    def settings(self) -> Mapping[str, Any]:
        """The plugin's mapping in ``plugins: settings:`` of routes.yaml; short for ``context.settings``."""
        settings: Mapping[str, Any] = self.context.settings
        return settings

    async def publish(self, value: Any, **target: Any) -> Published:
        """Send a value, and wait until its place in the order of all nodes is known.

        Args:
            value: see `Broadcast`.
            target: see there.

        Returns:
            Its position, if it is kept, and how many clients it reaches: those of this node, and one for each other
            node that has some.

        Raises:
            UnavailableError: it was not sent; the backplane, which all nodes share, cannot be reached.
        """
        receipt = self.broadcast(value, **target)
        if receipt.later is not None:
            return await receipt.later
        path = target.get("path")
        at = recollection_of(self.shared).at_path(path) if isinstance(path, str) and len(target) == 1 else None
        return Published(at, receipt.matched)

    async def fetch_history(self, path: str, *, since: str | None = None, limit: int = 100) -> History:
        """Return what `history` does, also of a path that no client of this node is on.

        Of several nodes each knows what is kept of the paths that it has clients on; the rest is read from the
        backplane first. Alone, this waits for nothing.

        Raises:
            UnavailableError: the backplane cannot be reached. For other errors see `history`.
        """
        memory = recollection_of(self.shared)
        await memory.fetch(path)
        return memory.history(path, since, limit)

    def history(self, path: str | None = None, *, since: str | None = None, limit: int = 100) -> History:
        """Return the newest values that were sent to a path as a whole, or those that followed a position.

        Args:
            path: of a signal with ``history``; by default the path of the client whose event this is.
            since: a position: what was sent after it is returned, oldest first.
            limit: how many values at most, from 1; no more than 1,000, and 1 MiB of them, are returned.

        Raises:
            LookupError: the signal of the path has no history.
            UnavailableError: there are several nodes, and this one does not know the path yet: see `fetch_history`.
            TypeError: no path is given, and the event has no client; or `limit` is no whole number, `since` no text.
            ValueError: `limit` is below 1, `since` is no position, or what follows it is not known any more.
        """
        found, place = self._asked(path)
        return recollection_of(self.shared).history(found, since, limit, place)

    def presence(self, path: str | None = None) -> Sequence[Present]:
        """Return who is on a path.

        Args:
            path: of a signal with ``presence``; by default the path of the client whose event this is.

        Raises:
            TypeError: no path is given, and the event has no client.
            UnavailableError: there are several nodes, and this one does not know the path yet: see `fetch_presence`.
        """
        found, place = self._asked(path)
        return recollection_of(self.shared).present(found, place)

    async def fetch_presence(self, path: str) -> Sequence[Present]:
        """Return what `presence` does, also of a path that no client of this node is on.

        Of several nodes each knows who is on the paths that it has clients on, and on those without parameters; of
        others it asks the backplane first. Alone, this waits for nothing.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """
        memory = recollection_of(self.shared)
        await memory.fetch_present(path)
        return memory.present(path)

    def _asked(self, path: str | None) -> tuple[str, Any]:
        client: Client | None = getattr(self, "client", None)
        if path is None and client is not None:
            return client.path, client.place
        if not isinstance(path, str):
            raise TypeError(f"path= is a string, not {path!r}; without it, the path of the event's client is meant")
        return path, None

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> "asyncio.Task[Any]":
        """Run a coroutine in the background, also after the handler has ended.

        A stop of the server waits for it as for handlers (``limits.drain``), and then cancels it. What it raises is
        logged with the plugin's name.

        Args:
            coroutine: to run; it must end by itself.
            name: for the log; by default the coroutine's own name.
        """
        try:
            context = self.context
        except RuntimeError:
            coroutine.close()  # else Python warns that it is never awaited
            raise
        task: asyncio.Task[Any] = context.spawn(coroutine, name=name)
        return task

    async def call(self, name: str) -> Any:
        """Call a handler of any plugin with this event, and return what it returns; what it raises is raised here.

        Args:
            name: of the handler.

        Raises:
            LookupError: no handler has this name.
            TypeError: it accepts other events.
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
    """Return the event for the code of a plugin."""
    return event if event._seat is seat else replace(event, _seat=seat)  # type: ignore[type-var]  # noqa: SLF001


class SenderView(PluginView):
    """Methods for a holder of `client` and its `broadcast` to send to that client alone."""

    __slots__ = ()

    client: Client
    broadcast: Broadcast

    @property
    def user(self) -> str | None:
        """The name of the client's user; None is a guest."""
        return self.client.identity.user

    @property
    def claims(self) -> Mapping[str, Any]:
        """What is said about the client's user: the claims of a token, or what a plugin says; empty for a guest."""
        return self.client.identity.claims

    def reply(self, value: Any) -> Receipt:
        """Send a value to the sender alone; short for ``broadcast(value, to="sender")``."""
        return self.broadcast(value, to="sender")

    def close(self, code: int = 4009, reason: str = "") -> None:
        """Close the sender's connection (RFC 6455 section 7.4; 4009 is "kicked by a handler")."""
        self.client.close(code, reason)


class HandshakeRequest:
    """A compact snapshot of the request by which a client came; parsed only on access.

    Args:
        head: the request line and the headers, as received.
        peer: the client's address and port, or an empty string and 0. Behind a trusted proxy (``proxies`` of an
            endpoint) they are those that it reports; the port is 0 if it reports none.
        scheme: ``http`` or ``https``, as the client requested.
        host: as in a Host header, if a trusted proxy says which one the client requested; else None.
    """

    __slots__ = ("_head", "_host", "peer", "scheme")

    def __init__(self, head: bytes, peer: tuple[str, int], scheme: str = "http", host: str | None = None) -> None:
        self._head = head
        self._host = host
        self.peer = peer
        self.scheme = scheme

    @property
    def host(self) -> str:
        """The host that the client requested, perhaps with a port."""
        return self.headers.get("host", "") if self._host is None else self._host

    def seen(self) -> Mapping[str, Any]:
        """Return it as templates see it."""
        return {
            "method": "GET",
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "peer": list(self.peer),
            "scheme": self.scheme,
            "host": self.host,
        }

    @property
    def target(self) -> str:
        """The path and query as requested, still percent-encoded (RFC 9112 section 3.2)."""
        return origin_form(self._head.split(b" ", 2)[1].decode("latin-1"))

    @property
    def path(self) -> str:
        """The path as requested, percent-decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> Mapping[str, str]:
        """The first value of each parameter."""
        return read_query(self.target.partition("?")[2])

    @property
    def position(self) -> str | None:
        """Where the client is in the history of its path, as it says itself; None if it says nothing.

        A browser that reads an event stream again has it in the header; its address may hold an older one.
        """
        last = self.headers.get(_LAST_EVENT_ID) if _LAST_EVENT_ID.encode() in self._head.lower() else ""
        return last or self.query.get(_AT)

    def getall(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """Return the values of a header as they were received, one after the other.

        Args:
            name: in lower case.
            default: if there is none.
        """
        head, wanted = self._head, b"\r\n%b:" % name.encode()
        folded, found, at = head.lower(), [], 0
        while (at := folded.find(wanted, at)) >= 0:
            begin = at + len(wanted)
            end = head.find(b"\r\n", begin)
            found.append(decode_field(head[begin : end if end >= 0 else None]).strip(" \t"))
            at = begin
        return found or list(default)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name; repeated ones are joined (`join_fields`)."""
        parts = [line.partition(b":") for line in self._head.split(b"\r\n")[1:]]
        return join_fields((decode_field(name), decode_field(value)) for name, colon, value in parts if colon)


@dataclass(slots=True)
class MessageData:
    """A client's message, its known keys in their canonical spelling.

    Not frozen because one is created per message, as is the event: frozen ones take three times as long.

    Attributes:
        message: any JSON value; never None or ``""``.
        path: that the client requests as target; so are `client_id` (the target's, not the sender's) and `group`.
        direct: whether the client requests the answer for itself alone.
        ref: the client's own mark.
        document: the whole object, with keys of the client's own, but without its ``ref``.
        user: whose clients the client requests as target, where ``targets`` of the signal has ``user``; the sender's
            own is `SignalEvent.client`'s.
    """

    message: Any
    path: str | None = None
    client_id: str | None = None
    group: str | None = None
    direct: bool = False
    ref: str | int | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None


@dataclass(slots=True)
class SignalEvent(SenderView):
    """A client's message on a signal.

    Attributes:
        data: what the client sent and requested.
        client: the sender: `id`, `path`, `groups`, `join(group)`, `leave(group)`, `close(code, reason)`.
        endpoint: where the sender is connected.
        path: the sender's path, in the declared spelling.
        params: the parameters of `path`.
        request: the sender's handshake.
        route: the signal's path as declared, e.g. ``/rooms/<room>``.
        timestamp: when the message was read; aware, UTC.
        broadcast: see `Broadcast`; without a target it uses the one that the client requested.
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
    """A client has connected to a signal, or is gone; the fields that it shares with `SignalEvent` mean the same.

    Attributes:
        code: with which its connection ended; 0 when it has connected.
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
        path: as requested.
        params: the parameters of the route's path.
        route: the route's path as declared.
        endpoint: where it arrived.
        broadcast: see `Broadcast`; without a target it goes to everyone.
        identity: of who has sent it.
        client: the connected client whose session the request names in the header ``signalpost-session``; None if it
            names none that is known.
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
    identity: Identity = GUEST
    client: Client | None = None

    @property
    def user(self) -> str | None:
        """The name of the user who has sent it; None is a guest."""
        return self.identity.user

    @property
    def claims(self) -> Mapping[str, Any]:
        """What is said about the user; see `SignalEvent.claims`."""
        return self.identity.claims

    def reply(self, value: Any) -> Receipt:
        """Send a value to `client` over its connection; short for ``broadcast(value, to="sender")``.

        Raises:
            ClientError: there is no client; unless it is caught, the request is answered with 409.
        """
        return self.broadcast(value, to="sender")

    @property
    def timestamp(self) -> datetime:
        """When the request arrived; aware, UTC. Created on access, since few handlers use it."""
        return datetime.fromtimestamp(self._seconds, UTC)

    @property
    def query(self) -> Mapping[str, Any]:
        """The first value of each parameter of the query, or the result of the route's schema for queries."""
        typed: Mapping[str, Any] | None = getattr(self.request, "typed_query", None)
        return read_query(self.request.query_string) if typed is None else typed


@dataclass(frozen=True, slots=True)
class TickEvent(PluginView):
    """A run of a timer or schedule.

    Attributes:
        name: of the job.
        run: counted from 1 without skipped runs; runs on other nodes since this one started count, where each run is on
            one of several. 0 is a run that was started by hand.
        due: when it should have begun; aware.
        arguments: from routes.yaml or the decorator.
        broadcast: see `Broadcast`; without a target it goes to everyone.
    """

    name: str
    run: int
    due: datetime
    arguments: Mapping[str, Any]
    shared: Shared
    broadcast: Broadcast
    _seat: Seat | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class FeedEvent(PluginView):
    """A message of a feed.

    Attributes:
        name: of the feed.
        message: JSON if its text is JSON, else its text; bytes if it is binary. Of a feed of ``signalpost.v1``, the
            value of a signal.
        text: as it arrived; empty if it is binary.
        data: as `message`, but of a feed of ``signalpost.v1`` the whole signal: ``path``, ``value`` and ``at``.
        timestamp: when it was read; aware, UTC.
        broadcast: see `Broadcast`; without a target it goes to everyone.
    """

    name: str
    message: Any
    text: str
    data: Any
    timestamp: datetime
    shared: Shared
    broadcast: Broadcast
    _answer: Callable[[Any], Awaitable[None]]
    _seat: Seat | None = field(default=None, repr=False, compare=False)

    async def send(self, value: Any) -> None:
        """Send a value back to the feed's server: a text as it is, bytes as binary, anything else as JSON.

        Raises:
            ConnectionError: the connection that the message came from has ended.
            TypeError: the value is not JSON.
        """
        await self._answer(value)
