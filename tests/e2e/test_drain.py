"""A server that stops, over real sockets: who is told what, what still arrives, and what is waited for."""

import asyncio
import contextlib
import socket

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from signalpost.server import Server
from signalpost.testing import load_app

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: safe, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
    plugins: {settings: {work: {}}}
    limits: {outbox: 1MiB, drain: %s}
"""
WORK = """
    from signalpost import hookimpl, route, signal, timer

    @hookimpl
    async def startup(context):
        global go, log
        go, log = context.settings["go"], context.settings["log"]
        dict.__setitem__(context.settings, "broadcast", context.broadcast)

    @hookimpl
    def client_disconnected(client, code):
        log.append(code)

    @hookimpl
    def shutdown(context):
        log.append("shutdown")

    async def wait(what):
        log.append(f"{what} began")
        try:
            await go.wait()
        finally:
            log.append(f"{what} ended")

    @signal("work", path="/work")
    async def work(event):
        await wait("handler")
        event.reply("done")

    @route("page", path="/page", methods=["GET"])
    async def page(event):
        await wait("request")
        return "done"

    @route("quick", path="/quick", methods=["GET"])
    async def quick(event):
        return "quick"

    @timer("job", every="1h", on_start=True)
    async def job(event):
        await wait("job")
        event.broadcast("from the job", path="/work")
"""
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Log(list):
    """What the plugin has seen."""

    def __init__(self):
        super().__init__()
        self._longer = asyncio.Event()

    def append(self, entry):
        super().append(entry)
        self._longer.set()

    async def has(self, entry):
        """Wait until it is there."""
        while entry not in self:
            self._longer.clear()
            await self._longer.wait()


class Stopping:
    """A server with work that waits until the test lets it go on.

    Attributes:
        go: lets handlers, jobs and requests finish.
        log: what the plugin has seen.

    """

    def __init__(self, plan):
        self.go = asyncio.Event()
        self.log = Log()
        self._settings = plan.config.plugins.settings["work"]
        dict.update(self._settings, go=self.go, log=self.log)  # a plugin may not change them
        self.server = Server(plan)
        self._ports = {}
        self._stop = None

    def broadcast(self, value):
        self._settings["broadcast"](value)

    def connect(self, path="/", **options):
        return connect(self.server.url("live") + path, **{"proxy": None, "compression": None, **options})

    def stop(self):
        """Begin to stop, and give what ends when the server has."""
        self._stop = self._stop or asyncio.ensure_future(self.server.stop())
        return self._stop

    async def refused(self, name):
        """Wait until an endpoint takes no more connections; give its port."""
        port = int(self._ports[name])
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
        return port

    async def start(self):
        await self.server.start()
        self._ports = {endpoint.name: endpoint.port for endpoint in self.server.endpoints}


@pytest.fixture
async def start(tmp_path):
    """Start a server that has so much time to stop."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(drain="30s"):
            plan = load_app(APP % drain, tmp_path, {"work": WORK})
            stack.callback(plan.registry.unload)
            stopping = Stopping(plan)
            await stopping.start()
            stack.push_async_callback(stopping.stop)
            stack.callback(stopping.go.set)
            return stopping

        yield make


async def end_of(client):
    """Read until the connection ends; give what came, and the code."""
    frames = []
    try:
        while True:
            frames.append(await client.recv())
    except ConnectionClosed as closed:
        return frames, closed.rcvd.code


async def test_plain_clients_are_closed_with_1001_and_those_of_v1_with_1012_and_told_when_to_come_back(start):
    app = await start()
    app.go.set()
    async with contextlib.AsyncExitStack() as stack:
        plain = [await stack.enter_async_context(app.connect()) for _ in range(3)]
        told = [await stack.enter_async_context(app.connect(subprotocols=["signalpost.v1"])) for _ in range(3)]
        ends = [asyncio.ensure_future(end_of(client)) for client in (*plain, *told)]
        await app.stop()
        assert [await end for end in ends[:3]] == [([], 1001)] * 3
        retries = []
        for end in ends[3:]:
            (welcome, bye), code = await end
            assert "welcome" in orjson.loads(welcome)
            assert code == 1012
            retries.append(orjson.loads(bye)["bye"]["retry_ms"])
    assert len(set(retries)) == 3
    assert all(500 <= retry < 1_000 for retry in retries)
    assert app.log[-7:] == [1001] * 3 + [1012] * 3 + ["shutdown"]


async def test_handlers_and_jobs_finish_and_what_they_send_arrives(start):
    app = await start()
    async with app.connect("/work") as client, app.connect("/") as idle:
        await client.send('{"message": "go"}')
        await app.log.has("handler began")
        stopped = app.stop()
        assert await end_of(idle) == ([], 1001)
        assert not stopped.done()
        app.go.set()
        frames, code = await end_of(client)
        assert (sorted(frames), code) == (["done", "from the job"], 1001)
        await stopped
    assert app.log.index("shutdown") > app.log.index("handler ended")
    assert app.log[-1] == "shutdown"


async def test_requests_under_way_are_answered_and_no_others_are_taken(start):
    app = await start()
    url = app.server.url("web")
    async with httpx.AsyncClient(base_url=url, timeout=None) as http, httpx.AsyncClient(base_url=url) as idle:
        assert (await idle.get("/quick")).headers["connection"] == "keep-alive"
        request = asyncio.ensure_future(http.get("/page"))
        await app.log.has("request began")
        stopped = app.stop()
        for name in ("web", "live", "safe"):
            await app.refused(name)
        # A connection from before is still answered, once.
        answer = await idle.get("/quick")
        assert (answer.text, answer.headers["connection"]) == ("quick", "close")
        with pytest.raises(httpx.ConnectError):
            await idle.get("/quick")
        assert not stopped.done()
        app.go.set()
        answer = await request
        assert (answer.status_code, answer.text, answer.headers["connection"]) == (200, "done", "close")
        await stopped
    assert app.log.index("shutdown") > app.log.index("request ended")


async def test_a_handshake_on_a_connection_from_before_is_answered_with_503(start):
    app = await start()
    url = app.server.url("live").replace("ws", "http")
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/")).status_code == 426
        app.stop()
        await app.refused("live")
        answer = await http.get("/", headers=HANDSHAKE)
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"
        assert int(answer.headers["retry-after"]) > 0
        assert "restart" in answer.text


@pytest.mark.parametrize("protocol", ["ws", "wss"])
async def test_a_client_that_is_slow_to_read_gets_everything_that_waits_before_it_is_closed(start, protocol, trusting):
    app = await start()
    app.go.set()
    endpoint = "safe" if protocol == "wss" else "live"
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", app._ports[endpoint]))
        options = {"sock": sock, "proxy": None, "compression": None, "max_queue": 1}
        if protocol == "wss":
            options["ssl"] = trusting
        async with connect(f"{protocol}://localhost/feed", **options) as slow:
            hub = app.server.node.hub
            (client,) = hub.clients.values()
            sent = []
            while client.waiting < 900_000:
                sent.append(f"{len(sent)} ".ljust(60_000, "-"))
                app.broadcast(sent[-1])
                await asyncio.sleep(0)
            stopped = app.stop()
            await app.refused(endpoint)
            assert hub.closing == {client}
            assert client.waiting
            assert not stopped.done()
            received, code = await end_of(slow)
            await stopped
    assert (len(received), code) == (len(sent), 1001)
    assert received == sent


async def test_with_no_time_to_drain_everything_ends_at_once(start, caplog):
    app = await start(drain="0s")
    async with app.connect("/work") as client, httpx.AsyncClient(base_url=app.server.url("web")) as http:
        await client.send('{"message": "go"}')
        request = asyncio.ensure_future(http.get("/page"))
        await app.log.has("handler began")
        await app.log.has("request began")
        await app.stop()
        assert await end_of(client) == ([], 1001)
        with pytest.raises(httpx.TransportError):
            await request
    assert {"handler ended", "job ended", "request ended", 1001} <= set(app.log)
    assert app.log[-1] == "shutdown"
    assert "the handler on /work for client" in caplog.text
