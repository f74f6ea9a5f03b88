"""Servers that believe proxies, and clients that speak as proxies do."""

import asyncio

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from signalpost.edge.limiter import Limiter

WEB = "{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse], proxies: PROXIES}"
LIVE = "{name: live, address: 127.0.0.1, port: 0, protocol: ws, proxies: PROXIES}"
SEEN = "{{ request.peer }} {{ request.scheme }} {{ request.host }}"
ROUTES = f"""
endpoints: [{WEB}, {LIVE}]
signals:
  - {{path: /who, do: [{{reply: {{value: "{SEEN}"}}}}]}}
  - {{path: /chat}}
  - {{path: /hello, endpoint: [web, live], rebroadcast: none, connected: [{{reply: {{value: "{SEEN}"}}}}]}}
routes:
  - {{path: /steps, method: [GET, POST], do: [{{respond: {{text: "{SEEN}"}}}}]}}
"""
PLUGIN = """
from signalpost import route, signal

@route("web-who", path="/web-who", methods=["GET"])
async def web_who(event):
    names = ("ip", "port", "remote_addr", "client_ip", "scheme", "host", "url")
    return {name: getattr(event.request, name) for name in names}

@signal("live-who", path="/live-who")
async def live_who(event):
    event.reply({"peer": event.request.peer, "scheme": event.request.scheme, "host": event.request.host})
"""


@pytest.fixture
def routes():
    """Return the app whose endpoints believe some proxies."""
    return lambda proxies="[127.0.0.1]", more="": ROUTES.replace("PROXIES", proxies) + more


@pytest.fixture
def plugin():
    return {"who": PLUGIN}


@pytest.fixture
async def http():
    """Ask a server over plain HTTP: ``await http(app, "/path", headers, method=…)``."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def ask(app, path, headers=(), method="GET", **options):
            return await client.request(method, app.url("web") + path, headers=headers, **options)

        yield ask


@pytest.fixture
async def plain_stream():
    """Read the first line of data of an event stream."""

    async def plain_stream(app, path, headers):
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", app.url("web") + path, headers={"Accept": "text/event-stream", **headers}) as answer,
        ):
            return await anext(line async for line in answer.aiter_lines() if line.startswith("data:"))

    return plain_stream


@pytest.fixture
def refused():
    """Open a WebSocket that is refused, and return the response."""

    async def refused(app, path, **options):
        with pytest.raises(InvalidStatus) as raised:
            async with app.connect(path, **options):
                pass
        return raised.value.response

    return refused


@pytest.fixture
def clock(monkeypatch):
    """Let limits follow a clock of the test's own: a list of its one moment."""
    moment = [1_000.0]
    monkeypatch.setattr(Limiter.__init__, "__defaults__", (lambda: moment[0],))
    return moment


@pytest.fixture
def shake():
    """Open a WebSocket by a bare handshake, and return the status of the response."""

    async def shake(app, path, headers):
        lines = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", int(app.url("live").rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        writer.close()
        return status

    return shake
