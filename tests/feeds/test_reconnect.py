"""A feed that is away: when it is tried again, and what the log says of it."""

import asyncio
import logging
import socket
import ssl

import pytest
from websockets.exceptions import ConnectionClosed, InvalidProxy

from signalpost.config.model import FeedSource
from signalpost.feeds import dialing
from signalpost.plan import Feed

RELAY = """
feeds:
  - name: prices
    url: {url}
    broadcast: {{value: "{{{{ message }}}}"}}
"""
AT = 'feed "prices" (routes.yaml:4)'


async def test_a_feed_that_is_away_keeps_no_server_from_starting_and_is_told_once(run_app, time, told, free_port):
    port = free_port
    time.chance = 1.0
    async with run_app(RELAY.format(url=f"ws://127.0.0.1:{port}/x")) as app:
        assert [await time.skip() for _ in range(5)] == [2, 4, 8, 16, 32]
        assert not app.server.feeds.status("prices").connected
        assert await time.waited() == 60
        lines = told()
        there = f"{AT} at ws://127.0.0.1:{port}/x: cannot be reached: Connection refused; next try in"
        assert lines == [
            f"WARNING {there} 2 s",
            *(f"DEBUG {there} {wait}" for wait in ("4 s", "8 s", "16 s", "32 s", "60 s")),
        ]


async def test_a_feed_that_comes_back_is_connected_again_and_that_is_told(run_app, elsewhere, time, told):
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send("one")
        assert await ada.receive() == "one"
        await elsewhere.close()
        for _ in range(2):
            await time.skip()
        await elsewhere.open()
        await time.skip()
        feed = await elsewhere.accept()
        await feed.send("two")
        assert await ada.receive() == "two"
        assert app.server.feeds.status("prices").connected
    at = f"{AT} at {elsewhere.url}: "
    assert told() == [
        f"INFO {AT} is connected to {elsewhere.url}",
        f"WARNING {at}its server stops or restarts (1001); next try in 0.5 s",
        f"WARNING {at}cannot be reached: Connection refused; next try in 0.5 s",
        f"DEBUG {at}cannot be reached: Connection refused; next try in 0.5 s",
        f"WARNING {AT} is connected to {elsewhere.url}, after 3 tries",
    ]


async def test_a_connection_that_brings_nothing_does_not_shorten_the_waits(run_app, elsewhere, time):
    time.chance = 1.0
    async with run_app(RELAY.format(url=elsewhere.url)):
        for wait in (2, 4, 8):
            feed = await elsewhere.accept()
            await feed.close()
            assert await time.skip() == wait


async def test_a_message_does(run_app, elsewhere, time):
    time.chance = 1.0
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/") as ada:
        for _ in range(3):
            feed = await elsewhere.accept()
            await feed.send("x")
            assert await ada.receive() == "x"
            await feed.close()
            assert await time.skip() == 2


async def test_a_minute_of_connection_does_too(run_app, elsewhere, time):
    time.chance = 1.0
    async with run_app(RELAY.format(url=elsewhere.url) + "    send: here\n"):
        for held, wait in ((59, 2), (59, 4), (60, 2), (1, 4)):
            feed = await elsewhere.accept()
            assert await feed.recv() == "here"
            time.now += held
            await feed.close()
            assert await time.skip() == wait


@pytest.mark.parametrize(
    "answer",
    [
        ((401, {}), "refused with 401: check headers"),
        ((403, {}), "refused with 403: check headers"),
        ((404, {}), "refused with 404: check the path of url"),
        ((200, {}), "refused with 200"),
        ((302, {"Location": "ws://127.0.0.1:1/stolen"}), "refused with 302: it has moved, and redirects are not"),
        ((500, {"Retry-After": "99"}), "refused with 500; next try in 0.5 s"),
        ((503, {"Retry-After": "99"}), "refused with 503; next try in 99.5 s"),
        ((429, {"Retry-After": "Tue, 01 Jan 2030 00:00:10 GMT"}), "refused with 429; next try in 10.5 s"),
    ],
)
async def test_a_refusal_is_told_with_what_to_look_at(run_app, elsewhere, time, told, answer):
    text = RELAY.format(url=elsewhere.url) + "    headers: {Authorization: wrong}\n"
    refusal, said = answer
    elsewhere.refusals = [refusal]
    async with run_app(text):
        await time.skip()
        await elsewhere.accept()
    assert told()[0].startswith(f"WARNING {AT} at {elsewhere.url}: {said}")
    assert len(elsewhere.requests) == 2


async def test_neither_log_nor_tables_have_what_is_secret(run_app, elsewhere, time, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    port = elsewhere.port
    (tmp_path / "secrets.yaml").write_text(
        f"token: hunter2-token\nwhole: ws://127.0.0.1:{port}/secret-path?key=hunter2-key\n"
    )
    text = f"""
feeds:
  - name: partly
    url: ws://ann:hunter2-password@127.0.0.1:{port}/open?key=hunter2-query
    headers: {{X-Token: !secret token}}
    send: {{token: !secret token}}
    broadcast: {{value: x}}
  - {{name: wholly, url: !secret whole, broadcast: {{value: x}}}}
"""
    elsewhere.refusals = [(401, {}), (503, {})]
    async with run_app(text, folder=tmp_path) as app:
        for _ in range(2):
            await time.skip()
        for _ in range(2):
            feed = await elsewhere.accept()
            await feed.close(4000, "no")
        for _ in range(2):
            await time.skip()
        shown = {feed.name: feed.shown for feed in app.server.plan.feeds}
        assert shown == {"partly": f"ws://127.0.0.1:{port}/open", "wholly": "!secret whole"}
        assert "hunter2" not in repr(app.server.plan.feeds) + repr(app.server.plan.config.feeds)
        assert "hunter2" not in "".join(feed.source.__repr__() for feed in app.server.plan.feeds)
    asked = {request.path: request.headers for request in elsewhere.requests}
    assert asked["/open?key=hunter2-query"]["X-Token"] == "hunter2-token"
    assert asked["/open?key=hunter2-query"]["Authorization"].startswith("Basic ")
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert any("!secret whole" in line for line in ours)
    assert not [line for line in ours if "hunter2" in line or "secret-path" in line]


async def test_a_feed_of_this_machine_is_reached_without_the_proxies_of_the_environment(
    run_app, elsewhere, free_port, monkeypatch
):
    for name in ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    async with run_app(RELAY.format(url=elsewhere.url)):
        await elsewhere.accept()


async def test_another_feed_is_reached_by_the_proxy(run_app, time, told, monkeypatch):
    asked = asyncio.Queue()

    async def proxy(reader, writer):
        asked.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    async with server, run_app(RELAY.format(url="ws://feed.invalid/x?hunter2")):
        request = await asked.get()
        await time.waited()
    assert "the proxy of the environment (HTTPS_PROXY) did not connect it; next try in" in told()[0]
    assert request.startswith(b"CONNECT feed.invalid:80 HTTP/1.1\r\n")
    assert b"hunter2" not in request


async def test_a_message_that_is_too_large_ends_the_connection_and_the_log_names_the_key(
    run_app, elsewhere, time, told
):
    text = RELAY.format(url=elsewhere.url) + "    max_message: 1KiB\n"
    async with run_app(text) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send("x" * 1024)
        assert await ada.receive() == "x" * 1024
        await feed.send("x" * 1025)
        with pytest.raises(ConnectionClosed) as ended:
            await feed.recv()
        assert ended.value.rcvd.code == 1009
        await time.waited()
    assert "a message was larger than 1KiB (max_message); next try" in told()[-1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "is none of a WebSo",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is none of a WebSocket server ("),
        (b"", "its answer is none of a WebSocket server ("),
        (b"\x00" * 100_000, "its answer is none of a WebSocket server ("),
    ],
)
async def test_what_is_no_websocket_server_is_told(run_app, time, told, answer, said):
    async def speak(_reader, writer):
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, run_app(RELAY.format(url=f"ws://127.0.0.1:{port}")):
        await time.waited()
    assert said in told()[0]


async def test_a_server_that_says_nothing_is_given_up(run_app, time, told, monkeypatch):
    async def wait(reader, writer):
        await reader.read()
        writer.close()

    monkeypatch.setattr(dialing, "HANDSHAKE", 0.05)
    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, run_app(RELAY.format(url=f"ws://127.0.0.1:{port}")):
        await time.waited()
    assert "its server has not answered within 0.05 s; next try in" in told()[0]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param((b"\x81\x02\xc3\x28", 1007), id="no UTF-8"),
        pytest.param((b"\xf1\x00", 1002), id="reserved bits"),
        pytest.param((b"\x80\x00", 1002), id="a continuation of nothing"),
    ],
)
async def test_frames_that_are_none_end_the_connection_alone(run_app, elsewhere, time, told, bad):
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        frame, code = bad
        feed.transport.write(frame)
        await time.skip()
        feed = await elsewhere.accept()
        await feed.send("still here")
        assert await ada.receive() == "still here"
    assert f"closed here with {code}" in told()[1]


async def test_a_line_that_breaks_is_told(run_app, elsewhere, time, told):
    async with run_app(RELAY.format(url=elsewhere.url)):
        feed = await elsewhere.accept()
        feed.transport.abort()
        await time.waited()
        again = told()[-1]
    assert again == f"WARNING {AT} at {elsewhere.url}: the line broke; next try in 0.5 s"


async def test_a_close_is_told_with_its_code_and_its_reason_on_one_line(run_app, elsewhere, time, told):
    async with run_app(RELAY.format(url=elsewhere.url)):
        feed = await elsewhere.accept()
        await feed.close(4001, "go\naway\x1b[31m")
        await time.waited()
    assert "closed by its server with 4001: go\ufffdaway\ufffd[31m; next try in 0.5 s" in told()[-1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name of its host is not known"),
        (FileNotFoundError(2, "No such file"), "the file of ca is gone"),
        (ConnectionResetError(), "its server hung up"),
        (
            OSError("Multiple exceptions: [Errno 111] a ('::1', 1), [Errno 113] b"),
            "cannot be reached: No route to host",
        ),
        (OSError("what else"), "cannot be reached"),
        (InvalidProxy("hunter2", "no proxy"), "the proxy of the environment (HTTPS_PROXY) did not connect it"),
        (ssl.SSLError(1, "x"), "TLS failed (no reason is given); is its port one for wss?"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_else_may_go_wrong_is_told_without_addresses(error, said):
    feed = Feed("a", None, "routes.yaml:1", FeedSource("ws://x"), "ws://x", 1)
    assert dialing.failure_of(error, feed, lambda: None).text == said
