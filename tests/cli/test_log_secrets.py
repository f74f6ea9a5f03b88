"""No credential that a client sends, and none of the file, is in the log, at whatever level and whoever logs it."""

import json
import signal
import socket
import urllib.request
from contextlib import suppress
from http.client import HTTPException

import jwt
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SIGNS = "signs-" * 8
KEY = "shop-key-0123456789abcdef0123456789"
SECRETS = f"signs: {SIGNS}\nshop: {KEY}\nsessions: {'sess-' * 8}\n"
APP = """
    undeclared: refuse
    auth:
      tokens: {keys: {secret: !secret signs}, algorithms: [HS256]}
      from: [header, protocol, cookie, query]
      cookie: tok
      keys: {shop: {key: !secret shop, may: [publish]}}
      secret: !secret sessions
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
    signals:
      - {path: /rooms/<room>, endpoint: [web, live], handler: said}
    routes:
      - {path: /page, method: GET, may: anyone, handler: page}
"""
PLUGIN = """
    import logging
    from signalpost import hookimpl, route, signal

    LOG = logging.getLogger("plugin")

    @signal("said", path="/own")
    async def said(event):
        LOG.info("document %r", event.data.document)
        raise ValueError(f"cannot fetch https://api.example.com/?access_token={event.data.message}")

    @route("page", path="/own")
    async def page(event):
        LOG.info("head %r", event.request.head)
        LOG.info("headers %r", dict(event.request.headers))
        LOG.info("list %r", list(event.request.headers.items()))
        LOG.info("url %s", event.request.url)
        raise RuntimeError(event.request.head)

    @hookimpl
    def client_connected(client, request):
        LOG.info("came with %r", dict(request.headers))
        LOG.info("came for %s", request.target)
"""


def token(name, key=SIGNS):
    return jwt.encode({"sub": name, "exp": 4_000_000_000}, key, "HS256")


@pytest.mark.parametrize("style", [pytest.param("text", marks=pytest.mark.slow), "json"])
def test_no_credential_of_a_client_is_logged_at_any_level_by_anybody(write, folder, process, style):
    (folder / "secrets.yaml").write_text(SECRETS)
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    text = APP
    for port in ports:
        text = text.replace("port: 0", f"port: {port}", 1)
    write(text, leaky=PLUGIN)
    with (folder / "log").open("w+") as log:
        server = process("run", "--log-level", "debug", "--access-log", "--log-format", style, stderr=log)
        wait_for(ports[1], server)
        shown = attack(*ports)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        log.seek(0)
        said = log.read()
    assert "came for" in said
    assert "cannot fetch https://api.example.com/?access_token=***" in said
    assert [each for each in (*shown, SIGNS, KEY) if each in said] == []


def wait_for(port, server):
    """Wait until a server listens on a port."""
    while server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
    pytest.fail("the server has ended")


def attack(web, live):
    """Show credentials in each place, good ones and bad ones; return them."""
    good, bad = token("ann"), token("ann", "another-" * 8)
    room, page = f"ws://127.0.0.1:{live}/rooms/blue", f"http://127.0.0.1:{web}/page"
    for shown in (good, bad):
        for url, options in (
            (room, {"additional_headers": {"Authorization": f"Bearer {shown}"}}),
            (room, {"additional_headers": {"Cookie": f"a=1; tok={shown}"}}),
            (f"{room}?access_token={shown}", {}),
            (room, {"subprotocols": ["signalpost.v1", f"signalpost.bearer.{shown}"]}),
            (room, {"subprotocols": ["signalpost.v1", "signalpost.session.sessiontext0123456789"]}),
        ):
            with suppress(WebSocketException), connect(url, proxy=None, **options) as client:
                client.send(json.dumps({"message": "messagetoken", "password": "pass-word-1", "token": shown}))
                while "error" not in client.recv(timeout=10):
                    pass  # of signalpost.v1, a welcome comes first
    fields = {"Authorization": f"Bearer {KEY}", "Cookie": f"tok={good}; other=othercookie", "X-Api-Key": "xapikey01"}
    for url in (f"{page}?token={good}&key=keyparameter", page.replace("/page", "/rooms/blue")):
        body = None if url.startswith(page) else b'{"message": "messagetoken"}'
        with suppress(OSError, HTTPException):
            urllib.request.urlopen(urllib.request.Request(url, body, fields), timeout=10).close()
    own = ("sessiontext", "pass-word-1", "othercookie", "xapikey01", "keyparameter")
    return [good, bad, good.rpartition(".")[2], bad.rpartition(".")[2], *own]


def test_the_password_of_the_backplane_is_not_logged_when_it_is_away(write, process):
    write("backplane: redis://app:hunter2@127.0.0.1:1/0\nsignals: [{path: /}]")
    server = process("run", "--log-level", "debug", "--log-format", "json")
    said = []
    for line in server.stderr:
        said.append(line)
        if "backplane is away" in json.loads(line)["message"]:
            break
    server.kill()
    assert "away" in said[-1]
    assert not any("hunter2" in line for line in said)
