"""HTTP routes on a real socket, and what they are made of."""

import asyncio
import contextlib
import socket
from pathlib import Path
from time import monotonic

import httpx
import pytest

from signalpost.actions.builtin.broadcast import broadcast
from signalpost.actions.builtin.respond import respond
from signalpost.actions.program import Program
from signalpost.actions.steps import Leaf, Options
from signalpost.config.model import EndpointConfig, LimitsConfig, RouteConfig, Scheme
from signalpost.delivery.inbound import Inbound
from signalpost.delivery.target import Receipt
from signalpost.events import Shared
from signalpost.handlers import Handler, HandlerKind
from signalpost.http.app import build_app, discard_app
from signalpost.http.intake import Intake
from signalpost.http.protocol import HandingOver
from signalpost.http.services import RouteServices
from signalpost.paths import PathPattern
from signalpost.plan import RouteRule
from signalpost.state.state import State


class Air:
    """A broadcast that keeps what is sent, with where to, and reaches three clients."""

    def __init__(self):
        self.sent = []

    def __call__(self, value, *, to=None, path=None, group=None, client=None):
        self.sent.append((value, {"to": to, "path": path, "group": group, "client": client}))
        return Receipt(matched=3, queued=3)


class Site:
    """An app that is being served: its address, and an HTTP client of it."""

    def __init__(self, app, port, client):
        self.app = app
        self.port = port
        self.client = client

    async def raw(self, request):
        """Send bytes over a connection of their own and return all that comes until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture
def air():
    return Air()


@pytest.fixture
def services(tmp_path, air):
    """What routes need; the app's folder is `tmp_path`. Keyword arguments change single fields."""

    def make(**changes):
        fields = {
            "shared": Shared(asyncio.Lock(), State()),
            "broadcast": air,
            "endpoint": EndpointConfig(("endpoints", 0), "web", "127.0.0.1", 0, Scheme.HTTP),
            "folder": tmp_path,
        }
        return RouteServices(**{**fields, **changes})

    return make


@pytest.fixture
def rule():
    """Make a rule: a path, and one of file, static, view, handler (a function) and do."""

    def make(path, *methods, handler=None, **what):
        if handler is not None:
            what["handler"] = Handler(
                getattr(handler, "__name__", "handler"), HandlerKind.ROUTE, handler, (), "shop", "plugins/shop.py:7"
            )
        methods = methods or (("GET",) if {"file", "static", "view"} & set(what) else ("POST",))
        said = {name: what.pop(name) for name in ("file", "static", "view", "headers") if name in what}
        config = RouteConfig((), PathPattern.parse(path), methods, **said)
        return RouteRule(config, "routes.yaml:14", frozenset({"web"}), **what)

    return make


@pytest.fixture
def sending():
    """Make what ``broadcast: {…}`` on a route is short for."""

    def make(value, **target):
        answer = Options(
            None,
            lambda scope: {"status": 202, "json": {"sent": True, **scope}},
            (("matched", lambda run: run.matched),),
        )
        return Program(
            (),
            (
                Leaf("broadcast", "routes.yaml:15:9", Options({"value": value, **target}), broadcast),
                Leaf("respond", "routes.yaml:15:9", answer, respond),
            ),
        )

    return make


@pytest.fixture
async def serve(services):
    """Serve rules on a socket of their own until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*rules, **changes):
            app = build_app("test", rules, services(**changes))
            stack.callback(discard_app, app)
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            intake = Intake.open(LimitsConfig(), Inbound(), lambda: 0, asyncio.get_running_loop())
            server = await app.create_server(
                sock=listener,
                return_asyncio_server=True,
                protocol=lambda **options: HandingOver(begun=monotonic(), intake=intake, **options),
            )
            await server.startup()
            await server.start_serving()

            async def stop():
                server.close()
                for connection in list(server.connections):
                    connection.close_if_idle() or connection.abort()
                await server.wait_closed()

            stack.push_async_callback(stop)
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
            return Site(app, port, client)

        yield start


@pytest.fixture
def write(tmp_path):
    """Write a file below the app's folder."""

    def make(name, content="") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
