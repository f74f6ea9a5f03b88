"""For the tests of apps and plugins: a real server from YAML text, and real clients of it.

::

    from signalpost.testing import serve

    async def test_shouting():
        async with serve('''
            endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
            signals: [{path: /shout, handler: shout}]
        ''', plugins={"shout": SOURCE}) as app, app.connect("/shout") as client:
            await client.send("hello")
            assert await client.receive() == "HELLO"

Everything runs in the test's own event loop. Port 0 lets the system choose; `App.url` knows what it chose.
"""

import tempfile
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from signalpost.plan import Plan, load_beside, load_plan
from signalpost.server import Reloaded, Server

__all__ = ["App", "Client", "load_app", "serve"]

ROUTES = "routes.yaml"
_MAX_MESSAGE = 64 * 1024 * 1024


class Client:
    """A connected client.

    Attributes:
        id: as the server chose it.
        socket: the connection of the `websockets` library, for whatever is not here.

    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        response = socket.response
        self.id = response.headers["X-Signalpost-Client-Id"] if response is not None else ""

    async def send(self, message: Any, **keys: Any) -> None:
        """Send a message: ``send("hi", path="/x", clientId=…, group=…, direct=True, ref=1)``."""
        await self.send_raw(orjson.dumps({"message": message, **keys}).decode())

    async def send_raw(self, data: str | bytes) -> None:
        """Send text or bytes as they are."""
        await self.socket.send(data)

    async def receive(self) -> Any:
        """Give the next frame as it is: a string is text, bytes are binary.

        Raises:
            websockets.ConnectionClosed: the connection has ended; its `code` and `reason` say how.

        """
        return await self.socket.recv()

    async def receive_json(self) -> Any:
        """Give the next frame, read as JSON."""
        return orjson.loads(await self.socket.recv())

    async def close(self) -> None:
        """Close in order."""
        await self.socket.close()


class App:
    """A running app.

    Attributes:
        server: the server.
        folder: the app's folder; write there what else is to change, then `reload`.

    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def url(self, endpoint: str = "") -> str:
        """Give an endpoint's URL; without a name, the first WebSocket endpoint's, or else the first one's."""
        endpoints = self.server.endpoints
        sockets = [candidate for candidate in endpoints if candidate.scheme.websocket]
        return self.server.url(endpoint or (sockets or list(endpoints))[0].name)

    async def reload(self, routes_yaml: str | None = None, plugins: Mapping[str, str] | None = None) -> Reloaded:
        """Change the app and reload it, as saving its files does; clients stay connected.

        Args:
            routes_yaml: the new text; None leaves the file as it is.
            plugins: Python source by plugin name; further ones stay as they are.

        Raises:
            ConfigError: with every problem; the app goes on as before.
            OperatorError: the new plan cannot be put to work; likewise.
            PluginError: a plugin could not start; likewise.

        """
        if routes_yaml is None:
            routes_yaml = (self.folder / ROUTES).read_text(encoding="utf-8")
        write_app(routes_yaml, self.folder, plugins)
        plan = self.server.plan
        return await self.server.reload(await load_beside(plan.config.file, plan))

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
        routes_yaml: the text of routes.yaml; its common indentation is taken off.
        folder: where to write it; must exist.
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


@asynccontextmanager
async def serve(
    routes_yaml: str, *, folder: Path | None = None, plugins: Mapping[str, str] | None = None
) -> AsyncIterator[App]:
    """Run an app for the length of a block; the arguments are those of `load_app`.

    Args:
        routes_yaml: the text of routes.yaml.
        folder: the app's folder, with its pages and templates; a temporary one when not given.
        plugins: Python source by plugin name.

    Raises:
        ConfigError: with every problem.
        ListenError: an endpoint cannot listen.

    """
    with tempfile.TemporaryDirectory(prefix="signalpost-") as temporary:
        home = folder or Path(temporary)
        server = Server(load_app(routes_yaml, home, plugins))
        await server.start()
        try:
            yield App(server, home)
        finally:
            await server.stop()
            server.plan.registry.unload()
