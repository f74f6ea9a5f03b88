"""Servers that listen on a control socket, in this process, and commands that ask them."""

import asyncio
import contextlib
import socket

import orjson
import pytest

from signalpost.cli.controlsocket import ControlSocket, ask_server, socket_path
from signalpost.node import Seams
from signalpost.server import Server
from signalpost.testing import App, load_app


class Controlled(App):
    """An app whose server listens on a control socket.

    Attributes:
        file: its routes.yaml.
        path: of the socket.

    """

    def __init__(self, server, folder):
        super().__init__(server, folder)
        self.file = str(folder / "routes.yaml")
        self.path = socket_path(self.file)

    async def ask(self, command, **options):
        """Ask the server as a command does."""
        return await asyncio.to_thread(ask_server, self.file, command, **options)

    async def say(self, data, *, ends=True):
        """Send bytes as they are; return the answer's line, read as JSON, or None if the connection just ends."""
        reader, writer = await asyncio.open_unix_connection(sock=self.connect_bare())
        writer.write(data)
        if ends:
            with contextlib.suppress(OSError):
                writer.write_eof()
        try:
            line = await reader.readline()
        except ConnectionError:
            line = b""
        writer.close()
        return orjson.loads(line) if line else None

    def connect_bare(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(self.path))
        return sock


@pytest.fixture
def controlled(tmp_path):
    """Serve an app with a control socket."""

    @contextlib.asynccontextmanager
    async def controlled(text, folder=tmp_path, patience=None, backplane=None):
        plan = load_app(text, folder)
        control = ControlSocket.open(str(folder / "routes.yaml"))
        assert isinstance(control, ControlSocket), control
        server = Server(plan, seams=Seams(backplane=backplane), control=control.listening)
        await server.start()
        if patience is not None:
            server._control._patience = patience
        try:
            yield Controlled(server, folder)
        finally:
            await server.stop()
            control.remove()
            plan.registry.unload()

    return controlled
