"""Endpoints that redirect to another one, on real ports."""

import asyncio

import httpx
import pytest

from signalpost.testing import serve

APP = """
endpoints:
  - {name: plain, address: 127.0.0.1, port: 0, protocol: http, redirect: web, headers: {x-from: plain}}
  - {name: old, address: 127.0.0.1, port: 0, protocol: ws, redirect: live}
  - {name: web, address: 127.0.0.1, port: 0, protocol: https, self_signed: true}
  - {name: live, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
undeclared: refuse
routes:
  - {path: /echo, method: [GET, POST, PUT], do: [{respond: {text: "{{ request.method }} {{ data }}"}}]}
signals: [{path: /echo, rebroadcast: sender}]
"""


@pytest.fixture
async def app():
    async with serve(APP) as running:
        yield running


@pytest.fixture
async def http():
    async with httpx.AsyncClient(verify=False) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_every_method_is_answered_with_308_and_the_same_address_there(app, http, method):
    answer = await http.request(method, f"{app.url('plain')}/a%20b//c?x=1&y=%2F")
    assert (answer.status_code, answer.content) == (308, b"")
    assert answer.headers["location"] == f"{app.url('web')}/a%20b//c?x=1&y=%2F"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-from"] == "plain"


async def test_a_post_arrives_there_with_its_method_and_its_body(app, http):
    answer = await http.post(f"{app.url('plain')}/echo", json={"a": 1}, follow_redirects=True)
    assert (answer.status_code, answer.text) == (200, 'POST {"a":1}')


async def test_the_connection_serves_the_next_request(app):
    port = next(each.port for each in app.server.endpoints if each.name == "plain")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in (b"", b"abc", b""):
        length = b"content-length: %d\r\n" % len(body) if body else b""
        writer.write((b"POST" if body else b"GET") + b" /x HTTP/1.1\r\nhost: localhost\r\n" + length + b"\r\n" + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 308 ")
        assert b"connection: keep-alive\r\n" in head
    writer.close()


async def test_a_handshake_is_redirected_to_the_same_address_there(app):
    async with httpx.AsyncClient() as http:
        asked = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        answer = await http.get(app.url("old").replace("ws", "http", 1) + "/echo?at=1", headers=asked)
        assert (answer.status_code, answer.headers["location"]) == (308, app.url("live") + "/echo?at=1")


async def test_what_is_no_handshake_is_told_so_at_a_ws_endpoint(app, http):
    answer = await http.get(app.url("old").replace("ws", "http", 1) + "/echo")
    assert answer.status_code == 426


async def test_neither_signals_nor_the_apps_own_addresses_are_served_there(app, http):
    where = (await http.get(f"{app.url('web')}/.well-known/signalpost")).json()
    assert list(where["endpoints"]) == ["live"]
    assert (await http.get(f"{app.url('plain')}/.well-known/signalpost")).status_code == 308


async def test_pages_of_a_port_may_be_redirected_while_its_websockets_are_served(tmp_path):
    app = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: plain, address: 127.0.0.1, port: PORT, protocol: http, redirect: web}
  - {name: live, address: 127.0.0.1, port: PORT, protocol: ws}
"""
    async with serve("endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]", folder=tmp_path) as first:
        port = first.server.endpoints[0].port
    async with (
        serve(app.replace("PORT", str(port)), folder=tmp_path) as running,
        running.connect("/x") as client,
        httpx.AsyncClient() as http,
    ):
        await client.send("hi")
        assert await client.receive() == "hi"
        assert (await http.get(f"http://127.0.0.1:{port}/x")).headers["location"] == f"{running.url('web')}/x"


async def test_a_reload_begins_and_ends_redirects_on_open_connections():
    served = APP.replace("redirect: web, ", "").replace(", redirect: live", "")
    async with serve(served) as app, httpx.AsyncClient() as http, app.connect("/echo") as client:
        url = f"{app.url('plain')}/echo"
        await client.send("hi")
        assert await client.receive() == "hi"
        assert (await http.get(url)).status_code == 200
        await app.reload(APP)
        assert (await http.get(url)).headers["location"] == f"{app.url('web')}/echo"
        await asyncio.wait_for(client.socket.wait_closed(), 10)  # its endpoint serves nothing any more
        await app.reload(served)
        assert (await http.get(url)).status_code == 200
