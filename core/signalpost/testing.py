"""Tests of apps and plugins: a real server from YAML text, and real clients of it.

::

    from signalpost.testing import serve

    async def test_shouting():
        async with serve('''
            endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
            signals: [{path: /shout, handler: shout}]
        ''', plugins={"shout": SOURCE}) as app, app.connect("/shout") as client:
            await client.send("hello")
            assert await client.receive() == "HELLO"

Everything runs in the test's own event loop. With port 0 the system chooses a port; `App.url` contains it. Jobs follow
the test's clock, if it passes one::

    async with serve(ROUTES, plugins={"tick": SOURCE}, clock=ManualClock()) as app:
        await app.advance("1h")

A handler may also be called without a server, with an event that records what is sent::

    event = signal_event("hello", settings={"loud": True})
    await shout(event)
    assert sent(event) == [Sent("HELLO")]
"""

import asyncio
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.config.model import EndpointConfig, Scheme
from signalpost.delivery.client import Client as ServerClient
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import ClientId, Receipt
from signalpost.delivery.transport import RecordingTransport
from signalpost.events import (
    Broadcast,
    FeedEvent,
    HandshakeRequest,
    MessageData,
    RouteEvent,
    Services,
    Shared,
    SignalEvent,
    TickEvent,
)
from signalpost.foreign import Seat
from signalpost.jobs.scheduler import Clock
from signalpost.node import NO_SEAMS, Seams
from signalpost.plan import Plan, load_beside, load_plan
from signalpost.plugins.context import PluginContext
from signalpost.server import Reloaded, Server
from signalpost.signals.sends import UnexpectedValue
from signalpost.state.frozen import fixed
from signalpost.state.state import State
from signalpost.units import parse_duration

__all__ = [
    "App",
    "Client",
    "ManualClock",
    "Sent",
    "UnexpectedValueError",
    "feed_event",
    "load_app",
    "route_event",
    "sent",
    "serve",
    "signal_event",
    "tick_event",
]

ROUTES = "routes.yaml"
_MAX_MESSAGE = 64 * 1024 * 1024
_LONGEST_RUN = 5.0
_MOST_TOLD = 20


class Client:
    """A connected client.

    Attributes:
        id: chosen by the server.
        socket: the connection of the `websockets` library, for everything else.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        response = socket.response
        self.id = "" if response is None else response.headers.get("X-Signalpost-Client-Id", "")

    async def send(self, message: Any, **keys: Any) -> None:
        """Send a message: ``send("hi", path="/x", clientId=…, group=…, direct=True, ref=1)``."""
        await self.send_raw(orjson.dumps({"message": message, **keys}).decode())

    async def send_raw(self, data: str | bytes) -> None:
        """Send text or bytes as they are."""
        await self.socket.send(data)

    async def receive(self) -> Any:
        """Return the next frame as it is: a string is text, bytes are binary.

        Raises:
            websockets.ConnectionClosed: the connection has ended; its `code` and `reason` say how.
        """
        return await self.socket.recv()

    async def receive_json(self) -> Any:
        """Return the next frame, read as JSON."""
        return orjson.loads(await self.socket.recv())

    async def close(self) -> None:
        """Close the connection with a closing handshake."""
        await self.socket.close()


class App:
    """A running app.

    Attributes:
        server: the server.
        folder: the app's folder; write other changes there, then call `reload`.
    """

    def __init__(self, server: Server, folder: Path, clock: "ManualClock | None" = None) -> None:
        self.server = server
        self.folder = folder
        self._clock = clock

    def url(self, endpoint: str = "") -> str:
        """Return an endpoint's URL; without a name, the first WebSocket endpoint's, or else the first one's."""
        endpoints = self.server.endpoints
        sockets = [candidate for candidate in endpoints if candidate.serves_sockets]
        return self.server.url(endpoint or (sockets or list(endpoints))[0].name)

    async def reload(self, routes_yaml: str | None = None, plugins: Mapping[str, str] | None = None) -> Reloaded:
        """Change the app and reload it, as saving its files does; clients stay connected.

        Args:
            routes_yaml: the new text; None keeps the file.
            plugins: Python source by plugin name; other plugins are unchanged.

        Raises:
            ConfigError: with every problem; the app continues as before.
            OperatorError: the new plan cannot be used; the app continues as before.
            PluginError: a plugin could not start; the app continues as before.
        """
        if routes_yaml is None:
            routes_yaml = (self.folder / ROUTES).read_text(encoding="utf-8")
        write_app(routes_yaml, self.folder, plugins)
        plan = self.server.plan
        return await self.server.reload(await load_beside(plan.config.file, plan))

    async def run_job(self, name: str) -> bool:
        """Run a timer or schedule now, and wait for its end; return False if its maximum of runs is under way.

        Raises:
            LookupError: there is no job of that name.
        """
        return await self.server.jobs.run(name)

    async def advance(self, by: str | float) -> None:
        """Advance the test's clock: every run that falls due meanwhile starts, and is awaited.

        Args:
            by: the time, such as ``"90s"`` or ``"1h"``, or seconds.

        Raises:
            RuntimeError: `serve` was called without a clock.
            TimeoutError: a run is not over after five seconds of real time.
        """
        clock, jobs = self._clock, self.server.jobs
        if clock is None:
            raise RuntimeError("time passes by itself here; give serve a clock of the test's: clock=ManualClock()")
        until = clock.now + timedelta(seconds=parse_duration(by))
        async with asyncio.timeout(_LONGEST_RUN):
            while (due := _first_due(self.server)) is not None and due <= until:
                clock.now = max(due, clock.now)
                jobs.wake()
                while (first := _first_due(self.server)) is not None and first <= clock.now:  # noqa: ASYNC110
                    await asyncio.sleep(0)  # nothing signals its start, which takes a few loop turns
                if running := jobs.under_way():
                    await asyncio.wait(running)
        clock.now = until

    @asynccontextmanager
    async def connect(
        self, path: str = "/", *, endpoint: str = "", subprotocols: Sequence[str] = (), **options: Any
    ) -> AsyncIterator[Client]:
        """Connect a client.

        Args:
            path: of the signal.
            endpoint: its name; see `url`.
            subprotocols: to offer, such as ``["signalpost.v1"]``.
            options: for `websockets.asyncio.client.connect`.
        """
        offered = [Subprotocol(name) for name in subprotocols] or None
        options = {"max_size": _MAX_MESSAGE, "compression": None, "proxy": None, **options}
        async with connect(self.url(endpoint) + path, subprotocols=offered, **options) as socket:
            yield Client(socket)


def load_app(routes_yaml: str, folder: Path, plugins: Mapping[str, str] | None = None) -> Plan:
    """Write an app into a folder and load it.

    Args:
        routes_yaml: the text of routes.yaml; its common indentation is removed.
        folder: for the app; must exist.
        plugins: Python source by plugin name; written to ``plugins/NAME.py``.

    Raises:
        ConfigError: with every problem.
    """
    write_app(routes_yaml, folder, plugins)
    return load_plan(folder / ROUTES)


def write_app(routes_yaml: str, folder: Path, plugins: Mapping[str, str] | None = None) -> None:
    """Write an app into a folder; the arguments are those of `load_app`."""
    file = folder / ROUTES
    file.write_text(textwrap.dedent(routes_yaml), encoding="utf-8")
    if plugins:
        (folder / "plugins").mkdir(exist_ok=True)
    for name, source in (plugins or {}).items():
        (folder / "plugins" / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")


def _first_due(server: Server) -> datetime | None:
    moments = (status.next_run for status in server.jobs.statuses())
    return min((moment for moment in moments if moment is not None), default=None)


class ManualClock:
    """A clock for jobs that only `App.advance` moves.

    Attributes:
        now: its time; aware.

    Args:
        now: its first time.
    """

    def __init__(self, now: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self.now = now.astimezone(UTC)
        self._begin = self.now

    @property
    def clock(self) -> Clock:
        """The clock for the server's jobs."""
        return Clock(lambda: self.now, self._steady)

    def _steady(self) -> float:
        return (self.now - self._begin).total_seconds()


@asynccontextmanager
async def serve(
    routes_yaml: str,
    *,
    folder: Path | None = None,
    plugins: Mapping[str, str] | None = None,
    clock: ManualClock | None = None,
    seams: Seams = NO_SEAMS,
    check_sends: bool = True,
) -> AsyncIterator[App]:
    """Run an app for the length of a block; the arguments are those of `load_app`.

    What clients receive is held against the key ``sends`` of their signals. A value that differs is delivered, and the
    block fails at its end; if it fails by itself, its error has a note of that.

    No Redis is needed: where routes.yaml names a ``backplane``, one in memory takes its place, and the app is its only
    node. Several apps are nodes of one another if they are given connections to one server::

        shared = MemoryServer()  # of signalpost.backplanes.memory, as MemoryBackplane
        async with serve(text, seams=Seams(backplane=MemoryBackplane(shared))) as one:
            async with serve(text, seams=Seams(backplane=MemoryBackplane(shared))) as two:
                ...

    Args:
        routes_yaml: the text of routes.yaml.
        folder: the app's folder, with its pages and templates; by default a temporary one.
        plugins: Python source by plugin name.
        clock: for timers and schedules; by default the system's.
        seams: replacements for parts of the server's node.
        check_sends: whether values are held against ``sends``.

    Raises:
        ConfigError: with every problem.
        ListenError: an endpoint cannot listen.
        UnexpectedValueError: at the end of the block: clients were sent what ``sends`` does not allow.
    """
    unexpected: dict[UnexpectedValue, None] = {}
    if check_sends and seams.unexpected is None:
        seams = replace(seams, unexpected=unexpected.setdefault)
    with _failing_at(unexpected), tempfile.TemporaryDirectory(prefix="signalpost-") as temporary:
        home = folder or Path(temporary)
        server = _server_of(load_app(routes_yaml, home, plugins), None if clock is None else clock.clock, seams)
        await server.start()
        try:
            yield App(server, home, clock)
        finally:
            await server.stop()
            server.plan.registry.unload()


def _server_of(plan: Plan, clock: Clock | None, seams: Seams) -> Server:
    """Return the server of an app, with a backplane in memory in place of the one that its file names."""
    if plan.config.backplane is not None and seams.backplane is None:
        seams = replace(seams, backplane=MemoryBackplane(MemoryServer()))
    return Server(plan, clock, seams)


class UnexpectedValueError(AssertionError):
    """Clients were sent values that ``sends`` of their signals does not allow; its text has a line for each."""


@contextmanager
def _failing_at(unexpected: Mapping[UnexpectedValue, None]) -> Iterator[None]:
    """Fail at the end of a block if it has left unexpected values; an error of the block itself goes first."""
    try:
        yield
    except Exception as error:
        if unexpected:
            error.add_note(_told(unexpected))
        raise
    if unexpected:
        raise UnexpectedValueError(_told(unexpected))


def _told(unexpected: Mapping[UnexpectedValue, None]) -> str:
    more = len(unexpected) - _MOST_TOLD
    lines = [str(value) for value in unexpected][:_MOST_TOLD]
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


# Events without a server


@dataclass(frozen=True, slots=True)
class Sent:
    """A value that code has sent with an event, and its target; see `signalpost.events.Broadcast`."""

    value: Any
    to: str | None = None
    path: str | None = None
    group: str | None = None
    client: str | None = None
    user: str | None = None


class _Noting:
    """A `Broadcast` that records what is sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def __call__(self, value: Any, **target: str | None) -> Receipt:
        """Note a value; None and the empty text send nothing."""
        if value is None or value == "":
            return Receipt()
        self.sent.append(Sent(value, **target))
        return Receipt(1, 1)


def sent(event: SignalEvent | RouteEvent | TickEvent | FeedEvent) -> list[Sent]:
    """Return what was sent with an event of this module, in order; a reply is ``to="sender"``."""
    broadcast: Any = event.broadcast
    noted: list[Sent] = broadcast.sent
    return noted


_ENDPOINT = EndpointConfig((), "test", "127.0.0.1", 0, Scheme.WS)


def _surroundings(settings: Mapping[str, Any], state: Mapping[str, Any], hub: Hub) -> tuple[Shared, Broadcast, Seat]:
    broadcast: Any = _Noting()
    shared = Shared(asyncio.Lock(), State(dict(state)), hub.clients, services=Services(Path.cwd()))
    seat = Seat()
    seat.context = PluginContext("test", fixed(dict(settings)), shared, broadcast)
    return shared, broadcast, seat


_NOTHING: Mapping[str, Any] = {}


def signal_event(
    message: Any,
    *,
    path: str = "/",
    params: Mapping[str, str | int] = _NOTHING,
    groups: Sequence[str] = (),
    settings: Mapping[str, Any] = _NOTHING,
    state: Mapping[str, Any] = _NOTHING,
    headers: Mapping[str, str] = _NOTHING,
    **keys: Any,
) -> SignalEvent:
    """Return the event of a client's message, without a server; what is sent with it is recorded (`sent`).

    Args:
        message: what the client sent.
        path: of the client.
        params: the parameters of `path`.
        groups: that the client has joined.
        settings: of the plugin.
        state: contents of the state.
        headers: of the client's handshake.
        keys: other keys of the message: ``path`` is `wished_path` here, and ``clientId``, ``group``, ``direct`` and
            the client's own are unchanged.
    """
    hub = Hub(lambda _: None)
    client = ServerClient(ClientId("sender"), path, _ENDPOINT, RecordingTransport(), hub, limit=2**20, params=params)
    hub.add(client)
    for group in groups:
        client.join(group)
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    request = HandshakeRequest("\r\n".join(lines).encode("latin-1"), ("127.0.0.1", 1))
    shared, broadcast, seat = _surroundings(settings, state, hub)
    wished = keys.pop("wished_path", None)
    document = {"message": message, **({} if wished is None else {"path": wished}), **keys}
    data = MessageData(
        message, wished, keys.get("clientId"), keys.get("group"), keys.get("direct") is True, keys.get("ref"), document
    )
    now = datetime.now(UTC)
    return SignalEvent(data, client, _ENDPOINT, path, params, request, path, now, shared, broadcast, seat)


def route_event(
    json: Any = None,
    *,
    method: str = "POST",
    path: str = "/",
    params: Mapping[str, str | int] = _NOTHING,
    query: Mapping[str, str] = _NOTHING,
    headers: Mapping[str, str] = _NOTHING,
    settings: Mapping[str, Any] = _NOTHING,
    state: Mapping[str, Any] = _NOTHING,
    client: str | None = None,
) -> RouteEvent:
    """Return the event of a request, without a server; what is sent with it is recorded (`sent`).

    Its `request` has what handlers mostly use: ``json``, ``body``, ``method``, ``path``, ``headers``, ``args`` and
    ``query_string``. For more of Sanic's request, `serve` the app.

    Args:
        json: the body, read as JSON.
        method: of the request.
        path: as requested; its parameters are `params`.
        params: the parameters of `path`.
        query: the parameters behind the path.
        headers: of the request.
        settings: of the plugin.
        state: contents of the state.
        client: path of the connected client that the request names; None if it names none.
    """
    request = SimpleNamespace(
        json=json,
        body=b"" if json is None else orjson.dumps(json),
        method=method,
        path=path,
        headers={name.lower(): value for name, value in headers.items()},
        args=dict(query),
        query_string=urlencode(query),
    )
    hub = Hub(lambda _: None)
    sender: ServerClient | None = None
    if client is not None:
        sender = ServerClient(ClientId("sender"), client, _ENDPOINT, RecordingTransport(), hub, limit=2**20)
        hub.add(sender)
    shared, broadcast, seat = _surroundings(settings, state, hub)
    return RouteEvent(request, path, params, path, _ENDPOINT, time(), shared, broadcast, seat, client=sender)


def tick_event(
    name: str = "job",
    *,
    run: int = 1,
    due: datetime | None = None,
    arguments: Mapping[str, Any] = _NOTHING,
    settings: Mapping[str, Any] = _NOTHING,
    state: Mapping[str, Any] = _NOTHING,
) -> TickEvent:
    """Return the event of a run of a timer or schedule, without a server; what is sent with it is recorded (`sent`).

    Args:
        name: of the job.
        run: counted from 1.
        due: when it should have begun; by default now.
        arguments: of the job.
        settings: of the plugin.
        state: contents of the state.
    """
    shared, broadcast, seat = _surroundings(settings, state, Hub(lambda _: None))
    moment = due or datetime.now(UTC)
    return TickEvent(name, run, moment, fixed(dict(arguments)), shared, broadcast, seat)


def feed_event(
    message: Any = None,
    *,
    name: str = "feed",
    answers: list[Any] | None = None,
    settings: Mapping[str, Any] = _NOTHING,
    state: Mapping[str, Any] = _NOTHING,
) -> FeedEvent:
    """Return the event of a feed's message, without a server; what is broadcast with it is recorded (`sent`).

    Args:
        message: JSON, a text, or bytes for a binary message.
        name: of the feed.
        answers: receives what is sent back to the feed (``event.send``).
        settings: of the plugin.
        state: contents of the state.
    """
    shared, broadcast, seat = _surroundings(settings, state, Hub(lambda _: None))
    noted: list[Any] = [] if answers is None else answers

    async def answer(value: Any) -> None:
        noted.append(value)

    text = "" if isinstance(message, bytes) else message if isinstance(message, str) else orjson.dumps(message).decode()
    return FeedEvent(name, message, text, message, datetime.now(UTC), shared, broadcast, answer, seat)
