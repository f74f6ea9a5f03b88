"""A server that goes over to another plan: who is connected stays, and what is said holds from the next message on."""

import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import threading
from pathlib import Path

import httpx
import pytest
from sanic import Sanic
from websockets.exceptions import ConnectionClosed

from signalpost import node, server
from signalpost.config.certificates import load_certificate
from signalpost.config.model import SlowPolicy, StateConfig, TlsConfig
from signalpost.errors import ConfigError, ListenError, OperatorError, PluginError
from signalpost.memory import default_outboxes
from signalpost.serving.listener import Listener
from signalpost.state.state import State
from signalpost.testing import serve

ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""


def app_of(*lines):
    return ENDPOINTS + "\n".join(lines) + "\n"


ANSWERS = """
from signalpost import hookimpl, route, signal

@signal("ask")
async def ask(event):
    event.reply("{version} " + str(event.data.message))

@route("tell")
async def tell(event):
    return "{version}"
"""

LOGS = """
from signalpost import hookimpl

@hookimpl
def startup(context):
    context.state["log"] = (*context.state.get("log", ()), "{version} up")

@hookimpl
def shutdown(context):
    context.state["log"] = (*context.state.get("log", ()), "{version} down")

@hookimpl
def client_connected(client):
    print("{version} in", client.path)

@hookimpl
def client_disconnected(client, code):
    print("{version} out", client.path, code)
"""


def log_of(app):
    return list(app.server.node.shared.state.get("log", ()))


async def closed(client):
    """Wait for the end of a connection; give its code and reason."""
    try:
        while True:
            await client.receive()
    except ConnectionClosed as end:
        return end.rcvd.code, end.rcvd.reason


async def ask(client, message="?", **keys):
    await client.send(message, **keys)
    return await client.receive()


# Who stays, and what holds


async def test_clients_stay_and_the_next_message_is_handled_by_the_new_code():
    text = app_of("signals: [{path: /ask, handler: ask}]")
    async with serve(text, plugins={"p": ANSWERS.format(version="old")}) as app, app.connect("/ask") as client:
        assert await ask(client) == "old ?"
        done = await app.reload(plugins={"p": ANSWERS.format(version="new")})
        assert str(done) == "reloaded: ~1 plugin, 1 client kept"
        assert await ask(client) == "new ?"


async def test_nothing_changed_is_said_to_be_that():
    async with serve(app_of("signals: [{path: /}]")) as app, app.connect("/"):
        assert str(await app.reload()) == "reloaded: nothing changed"


async def test_a_connection_that_is_kept_alive_gets_the_routes_of_the_new_plan():
    text = app_of("routes: [{path: /old, handler: tell}]")
    plugins = {"p": ANSWERS.format(version="old")}
    async with serve(text, plugins=plugins) as app, httpx.AsyncClient(base_url=app.url("web")) as http:
        assert (await http.post("/old")).text == "old"
        (stream,) = http._transport._pool.connections
        await app.reload(text.replace("/old", "/new"), {"p": ANSWERS.format(version="new")})
        assert (await http.post("/old")).status_code == 404
        answer = await http.post("/new")
        assert (answer.text, answer.headers["x-content-type-options"]) == ("new", "nosniff")
        assert http._transport._pool.connections == [stream]


async def test_a_connection_that_is_kept_alive_may_send_as_much_as_the_new_limit_says():
    text = app_of("routes: [{path: /, handler: tell}]", "limits: {message: 8KiB}")
    plugins = {"p": ANSWERS.format(version="old")}
    async with serve(text, plugins=plugins) as app, httpx.AsyncClient(base_url=app.url("web")) as http:
        assert (await http.post("/", content=b"x" * 5_000)).text == "old"
        (stream,) = http._transport._pool.connections
        await app.reload(text.replace("8KiB", "100KiB"))
        assert (await http.post("/", content=b"x" * 50_000)).text == "old"
        assert http._transport._pool.connections == [stream]
        await app.reload(text)
        assert (await http.post("/", content=b"x" * 50_000)).status_code == 413


async def test_a_schema_and_a_rule_hold_from_the_next_message_on():
    text = app_of("signals: [{path: /}]")
    async with serve(text) as app, app.connect("/") as client, app.connect("/other") as other:
        assert await ask(client, "hello") == await other.receive() == "hello"
        await app.reload(
            app_of("signals: [{path: /, rebroadcast: sender, schema: {properties: {message: {const: 1}}}}]")
        )
        await client.send("hello")
        assert (await client.receive_json())["error"]["code"] == "schema-mismatch"
        assert await ask(client, 1) == "1"
        assert await ask(other, "mine") == "mine"  # and nothing that was for the sender alone


async def test_a_list_of_actions_may_take_the_place_of_a_handler_and_back():
    plugins = {"p": ANSWERS.format(version="code")}
    code = app_of("signals: [{path: /, handler: ask}]")
    steps = app_of("signals: [{path: /, do: [{broadcast: {value: steps}}]}]")
    async with serve(code, plugins=plugins) as app, app.connect("/") as client:
        assert await ask(client) == "code ?"
        await app.reload(steps)
        assert await ask(client) == "steps"
        await app.reload(code)
        assert await ask(client) == "code ?"


async def test_the_path_and_the_parameters_of_clients_are_those_that_the_new_pattern_gives():
    source = """
        from signalpost import signal

        @signal("who")
        async def who(event):
            event.broadcast([event.path, dict(event.params), event.route], path="/Rooms/blue/7")
    """
    old, new = (f"signals: [{{path: {path}, handler: who}}]" for path in ("/rooms/<room>/<n>", "/Rooms/<name>/<n:int>"))
    async with serve(app_of(old), plugins={"p": source}) as app, app.connect("/ROOMS/blue/007") as client:
        await app.reload(app_of(new))
        await client.send("?")
        assert await client.receive_json() == ["/Rooms/blue/7", {"name": "blue", "n": 7}, "/Rooms/<name>/<n:int>"]


async def test_groups_stay():
    source = """
        from signalpost import signal

        @signal("in")
        async def join(event):
            event.client.join("g")
            event.broadcast("hello", group="g")
    """
    text = app_of("signals: [{path: /, handler: in}]")
    async with serve(text, plugins={"p": source}) as app, app.connect("/") as client:
        assert await ask(client) == "hello"
        await app.reload(app_of("signals: [{path: /}]"))
        assert await ask(client, "still", group="g") == "still"


async def test_clients_of_a_signal_that_is_gone_are_told_so_whatever_becomes_of_other_paths():
    text = app_of("signals: [{path: /stays}, {path: /gone}]")
    async with (
        serve(text) as app,
        app.connect("/stays") as stays,
        app.connect("/gone") as gone,
        app.connect("/gone", subprotocols=["signalpost.v1"]) as first,
        app.connect("/gone", subprotocols=["signalpost.v1"]) as second,
        app.connect("/undeclared") as undeclared,
    ):
        done = await app.reload(app_of("signals: [{path: /stays}]"))
        assert str(done) == "reloaded: -1 signal, 2 clients kept, 3 clients closed"
        assert await closed(gone) == (1001, "this signal is gone")
        waits = set()
        for client in (first, second):
            assert "welcome" in await client.receive_json()
            waits.add((await client.receive_json())["bye"]["retry_ms"])
            assert await closed(client) == (1012, "this signal is gone")
        assert waits in ({0}, {0, 1}, {1})  # one after the other, at most 2,000 a second
        assert await ask(undeclared, "hello") == await stays.receive() == "hello"


async def test_where_other_paths_are_refused_now_their_clients_go():
    async with serve(app_of("signals: [{path: /}]")) as app, app.connect("/other") as other, app.connect("/") as root:
        await app.reload(app_of("signals: [{path: /}]", "undeclared: refuse"))
        assert await closed(other) == (1001, "this signal is gone")
        assert await ask(root, "still") == "still"


async def test_a_path_that_was_not_declared_is_held_to_the_signal_that_takes_it_now():
    async with serve(app_of()) as app, app.connect("/a") as client, app.connect("/b") as other:
        await app.reload(app_of("signals: [{path: /a, rebroadcast: sender}]"))
        assert await ask(client, "mine") == "mine"
        assert await ask(other, "ours") == "ours"
        assert await client.receive() == "ours"


async def test_state_outlives_a_reload():
    source = """
        from signalpost import signal

        @signal("count")
        async def count(event):
            event.state["n"] = event.state.get("n", 0) + 1
            event.reply(event.state["n"])
    """
    text = app_of("signals: [{path: /, handler: count}]")
    async with serve(text, plugins={"p": source}) as app, app.connect("/") as client:
        assert await ask(client) == "1"
        await app.reload(plugins={"p": source.replace("+ 1", "+ 10")})
        assert await ask(client) == "11"


async def test_a_backplane_that_changes_takes_a_restart():
    text = app_of("signals: [{path: /}]")
    async with serve(text) as app:
        changes = await app.reload(text + "backplane: redis://:hunter2@127.0.0.1:1/0\n")
        assert changes.changes.settings == ("backplane",)
        assert changes.notes == (
            "backplane: this node stays with the nodes that it began with until the server restarts",
        )
        assert "hunter2" not in str(changes)


async def test_the_limit_of_the_state_changes_with_the_plan_and_its_file_with_the_next_start(tmp_path):
    source = """
        from signalpost import signal

        @signal("keep")
        async def keep(event):
            event.state["kept"] = event.data.message
            event.reply("kept")
    """
    text = app_of("signals: [{path: /, handler: keep}]", "state: {file: a.db, limit: 50B}")
    async with serve(text, folder=tmp_path, plugins={"p": source}) as app, app.connect("/") as client:
        assert "handler-failed" in await ask(client, "x" * 50)
        changes = await app.reload(text.replace("a.db, limit: 50B", "b.db, limit: 1KiB"))
        assert changes.changes.settings == ("state.file", "state.limit")
        assert changes.notes == ("state.file: the state stays where it was until the server restarts",)
        assert await ask(client, "x" * 50) == "kept"
        await app.reload(text.replace("limit: 50B", "forget: [kept]"))
        assert await ask(client, "y") == "kept"
    assert [each.name for each in tmp_path.glob("*.db")] == ["a.db"]
    state = State.open(StateConfig(file=tmp_path / "a.db"), app.server.plan.config.source)
    state.close()
    assert state == {"kept": "x" * 50}, "what came after is not kept"


# Endpoints


async def test_an_endpoint_that_is_new_listens_and_one_that_is_gone_lets_its_clients_go():
    one = ENDPOINTS + "  - {name: more, address: 127.0.0.1, port: 0, protocol: ws}\n"
    async with serve(ENDPOINTS) as app, app.connect("/") as client:
        assert str(await app.reload(one)) == "reloaded: +1 endpoint, 1 client kept"
        url = app.url("more")
        async with app.connect("/", endpoint="more") as more:
            assert await ask(more, "hello") == await client.receive() == "hello"
            assert str(await app.reload(ENDPOINTS)) == "reloaded: -1 endpoint, 1 client kept, 1 client closed"
            assert await closed(more) == (1001, "this endpoint is gone")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
        assert await ask(client, "still") == "still"


async def test_a_request_that_is_under_way_at_an_endpoint_that_is_gone_is_answered():
    source = """
        import asyncio
        from signalpost import route, signal

        @route("slow")
        async def slow(event):
            event.broadcast("begun")
            while "go" not in event.state:
                await asyncio.sleep(0)
            return "done"

        @signal("go")
        async def go(event):
            event.state["go"] = True
    """
    more = ENDPOINTS + "  - {name: more, address: 127.0.0.1, port: 0, protocol: http}\n"
    rest = "routes: [{path: /slow, handler: slow}]\nsignals: [{path: /, handler: go}]\n"
    async with (
        serve(more + rest, plugins={"p": source}) as app,
        app.connect("/") as client,
        httpx.AsyncClient(base_url=app.url("more")) as http,
    ):
        answer = asyncio.ensure_future(http.post("/slow"))
        assert await client.receive() == "begun"
        await app.reload(ENDPOINTS + rest)
        await client.send("go")
        assert (await answer).text == "done"


async def test_an_endpoint_may_take_another_name_and_other_origins_and_keeps_its_clients():
    async with serve(ENDPOINTS) as app, app.connect("/") as client:
        url = app.url("live")
        await app.reload(ENDPOINTS.replace("live", "sockets"))
        # A port that the system chose belongs to the name.
        assert await closed(client) == (1001, "this endpoint is gone")
        port = int(app.url("sockets").rpartition(":")[2])
        assert app.url("sockets") != url
        fixed = ENDPOINTS.replace(
            "name: live, address: 127.0.0.1, port: 0", f"name: a, address: localhost, port: {port}"
        )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fixed = ENDPOINTS.replace("port: 0, protocol: ws", f"port: {port}, protocol: ws")
    async with serve(fixed) as app, app.connect("/") as client:
        renamed = fixed.replace("name: live", "name: sockets, origins: ['https://a.example']")
        assert str(await app.reload(renamed)) == "reloaded: +1 endpoint, -1 endpoint, 1 client kept"
        assert await ask(client, "still") == "still"
        async with app.connect("/", endpoint="sockets", origin="https://a.example"):
            pass


async def test_pages_may_come_to_the_port_of_the_signals_and_go_again():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    alone = f"endpoints:\n  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}\n"
    both = alone + f"  - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}\n"
    routes = "routes: [{path: /, broadcast: {value: posted}}]\n"
    async with serve(alone) as app, app.connect("/") as client, httpx.AsyncClient() as http:
        page = f"http://127.0.0.1:{port}/"
        assert (await http.post(page)).status_code == 426
        await app.reload(both + routes)
        assert (await http.post(page)).status_code == 202
        assert await client.receive() == "posted"
        await app.reload(alone)
        assert (await http.post(page)).status_code == 426
        assert await ask(client, "still") == "still"


async def test_a_port_that_cannot_be_bound_keeps_the_old_plan():
    plugins = {"p": LOGS.format(version="old")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        new = (
            ENDPOINTS
            + f"  - {{name: more, address: 127.0.0.1, port: {port}, protocol: ws}}\nlimits: {{message: 1KiB}}\n"
        )
        async with serve(ENDPOINTS, plugins=plugins) as app, app.connect("/") as client:
            before = footprint()
            with pytest.raises(
                ListenError, match=rf"routes\.yaml:4: endpoint more: 127\.0\.0\.1 port {port} is in use"
            ):
                await app.reload(new, {"p": LOGS.format(version="new")})
            assert footprint() == before
            assert log_of(app) == ["old up"]
            assert await ask(client, "x" * 5000) == "x" * 5000
            assert [endpoint.name for endpoint in app.server.endpoints] == ["web", "live"]


async def test_an_address_that_means_one_still_held_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = f"endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}]"
    async with serve(text) as app:
        with pytest.raises(
            ListenError, match=r'the endpoint "live" .* still has port \d+ of 127\.0\.0\.1, and localhost'
        ):
            await app.reload(text.replace("127.0.0.1", "localhost"))


def certificate_of(url):
    """Give the certificate that a TLS endpoint shows."""
    host, port = url.split("//")[1].rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)))


def pem(path):
    """Write a certificate, and give it as a client sees it."""
    made = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1",))
    path.write_bytes(made.chain + made.key)
    return made.chain.decode()


async def test_a_certificate_that_was_renewed_is_shown_to_whoever_connects_and_nobody_is_disturbed(tmp_path):
    old = pem(tmp_path / "our.pem")
    text = ENDPOINTS.replace("protocol: ws", "protocol: wss, certificate: our.pem")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with serve(text, folder=tmp_path) as app, app.connect("/", ssl=trusting) as client:
        url = app.url("live")
        assert await asyncio.to_thread(certificate_of, url) == old
        for _ in range(2):
            new = pem(tmp_path / "our.pem")
            assert str(await app.reload()) == "reloaded: ~1 endpoint, 1 client kept"
            assert await asyncio.to_thread(certificate_of, url) == new != old
        assert await ask(client, "still") == "still"
        async with app.connect("/", ssl=trusting) as other:
            assert await ask(other, "and here") == await client.receive() == "and here"
        (tmp_path / "our.pem").write_text("broken")
        with pytest.raises(OperatorError, match=r"our\.pem"):
            await app.reload()
        assert await asyncio.to_thread(certificate_of, url) == new


async def test_a_certificate_that_was_made_at_start_stays(tmp_path):
    text = ENDPOINTS.replace("protocol: ws", "protocol: wss, self_signed: true")
    async with serve(text, folder=tmp_path) as app:
        before = await asyncio.to_thread(certificate_of, app.url("live"))
        await app.reload(text + "limits: {message: 1KiB}")
        assert await asyncio.to_thread(certificate_of, app.url("live")) == before


async def test_an_endpoint_may_go_over_to_tls_at_its_port_and_its_clients_come_back_by_it():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plain = f"endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}]"
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with serve(plain) as app, app.connect("/") as client:
        await app.reload(plain.replace("protocol: ws", "protocol: wss, self_signed: true"))
        assert (await closed(client))[0] == 1001
        async with app.connect("/", ssl=trusting) as secure:
            assert await ask(secure, "hello") == "hello"
            await app.reload(plain)
            assert (await closed(secure))[0] == 1001
        async with app.connect("/") as again:
            assert await ask(again, "hello") == "hello"


# Plugins


async def test_the_new_plugins_are_up_before_the_old_ones_are_shut_down(capsys):
    async with serve(ENDPOINTS, plugins={"p": LOGS.format(version="old")}) as app, app.connect("/here") as client:
        await app.reload(plugins={"p": LOGS.format(version="new")})
        assert log_of(app) == ["old up", "new up", "old down"]
        await client.close()
        await client.socket.wait_closed()
        async with app.connect("/there"):
            pass
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "old in /here"
    assert told[1] == "new out /here 1000"  # whom the old plugin greeted the new one sees off
    assert "new in /there" in told


@pytest.mark.parametrize("how", ["1 / 0", "raise asyncio.CancelledError"])
async def test_a_plugin_that_cannot_start_keeps_the_old_plan_and_those_that_did_are_shut_down(how):
    failing = f"import asyncio\nfrom signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    {how}\n"
    old = {"a": LOGS.format(version="old"), "p": ANSWERS.format(version="old")}
    text = app_of("signals: [{path: /, handler: ask}]")
    async with serve(text, plugins=old) as app, app.connect("/") as client:
        before = footprint()
        with pytest.raises((PluginError, asyncio.CancelledError)):
            await app.reload(
                plugins={"a": LOGS.format(version="new"), "b": failing, "p": ANSWERS.format(version="new")}
            )
        assert log_of(app) == ["old up", "new up", "new down"]
        assert await ask(client) == "old ?"
        assert footprint() == before
        (app.folder / "plugins" / "b.py").unlink()
        await app.reload()
        assert await ask(client) == "new ?"


async def test_what_keeps_a_plugin_from_starting_is_said_with_its_place():
    failing = "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    raise OSError('no coffee')\n"
    async with serve(ENDPOINTS) as app:
        with pytest.raises(PluginError, match=r"^plugin b \(.*b\.py:3\): its startup failed: OSError: no coffee$"):
            await app.reload(plugins={"b": failing})


async def test_problems_of_the_file_keep_the_old_plan():
    async with serve(app_of("signals: [{path: /}]")) as app, app.connect("/") as client:
        before = footprint()
        with pytest.raises(ConfigError) as caught:
            await app.reload(app_of("signals: [{path: /, handler: nobody}, {paht: /}]"))
        assert len(caught.value.problems) == 2
        assert footprint() == before
        assert await ask(client, "still") == "still"


WORKS = """
import asyncio
from signalpost import hookimpl, signal

{other}

@signal("work")
async def work(event):
    event.reply("{version} begins " + event.data.message)
    while event.data.message not in event.state.get("free", ()):
        await asyncio.sleep(0)
    event.reply("{version} ends " + event.data.message)

@signal("free")
async def free(event):
    event.state["free"] = (*event.state.get("free", ()), event.data.message)
"""


def works(version):
    return {"p": WORKS.format(version=version, other=LOGS.format(version=version))}


WORK = "signals: [{path: /work, handler: work}, {path: /free, handler: free}]"


async def test_what_is_under_way_and_what_waits_is_handled_by_the_old_code_and_in_order_before_what_comes():
    async with (
        serve(app_of(WORK), plugins=works("old")) as app,
        app.connect("/work") as client,
        app.connect("/free") as free,
    ):
        for message in "ab":
            await client.send(message)
        assert await client.receive() == "old begins a"
        await app.reload(plugins=works("new"))
        await client.send("c")
        assert log_of(app) == ["old up", "new up"]  # the old one is still needed
        for message in "abc":
            await free.send(message)
        assert [await client.receive() for _ in range(5)] == [
            "old ends a",
            "old begins b",
            "old ends b",
            "new begins c",
            "new ends c",
        ]
        await asyncio.gather(*app.server._ending)
        assert log_of(app) == ["old up", "new up", "old down"]


async def test_a_rule_without_a_handler_lets_nothing_overtake_what_the_old_handler_is_at():
    async with (
        serve(app_of(WORK), plugins=works("old")) as app,
        app.connect("/work") as client,
        app.connect("/free") as free,
    ):
        for message in "ab":
            await client.send(message)
        assert await client.receive() == "old begins a"
        await app.reload(app_of("signals: [{path: /work, rebroadcast: sender}, {path: /free, handler: free}]"))
        for message in "cd":
            await client.send(message)
        for message in "ab":
            await free.send(message)
        assert [await client.receive() for _ in range(5)] == ["old ends a", "old begins b", "old ends b", "c", "d"]


async def test_a_second_reload_frees_who_waited_for_the_handlers_of_the_first_plan():
    waits = app_of("signals: [{path: /work, rebroadcast: sender}, {path: /free, handler: free}]")
    async with (
        serve(app_of(WORK), plugins=works("old")) as app,
        app.connect("/work") as client,
        app.connect("/free") as free,
    ):
        await client.send("a")
        assert await client.receive() == "old begins a"
        await app.reload(waits)
        await client.send("b")
        await app.reload(app_of(WORK), works("new"))
        for message in "ab":
            await free.send(message)
        assert [await client.receive() for _ in range(3)] == ["old ends a", "new begins b", "new ends b"]


async def test_fewer_at_once_than_are_at_work_finish_and_then_keep_their_order():
    many = app_of("signals: [{path: /work, handler: work, parallel: 3}, {path: /free, handler: free}]")
    async with serve(many, plugins=works("old")) as app, app.connect("/work") as client, app.connect("/free") as free:
        for message in "abc":
            await client.send(message)
        assert sorted([await client.receive() for _ in range(3)]) == ["old begins a", "old begins b", "old begins c"]
        await app.reload(app_of(WORK), works("new"))
        for message in "de":
            await client.send(message)
        for message in "cab":
            await free.send(message)
            assert await client.receive() == f"old ends {message}"
        assert await client.receive() == "new begins d"
        await free.send("e")
        await free.send("d")
        assert [await client.receive() for _ in range(3)] == ["new ends d", "new begins e", "new ends e"]


async def test_a_stop_does_not_wait_for_what_an_old_plan_is_at_longer_than_its_drain():
    text = app_of(WORK, "limits: {drain: 0s}")
    async with serve(text, plugins=works("old")) as app, app.connect("/work") as client:
        await client.send("a")
        assert await client.receive() == "old begins a"
        await app.reload(plugins=works("new"))
        shared = app.server.node.shared
    assert list(shared.state["log"]) == ["old up", "new up", "old down", "new down"]


async def test_a_server_that_stops_loads_nothing_any_more():
    async with serve(ENDPOINTS) as app:
        pass
    with pytest.raises(OperatorError, match="the server stops"):
        await app.server.reload(app.server.plan)


async def test_two_servers_of_one_folder_do_not_disturb_each_other(tmp_path):
    text = app_of("signals: [{path: /, handler: ask}]")
    old, new = ({"p": ANSWERS.format(version=version)} for version in ("old", "new"))
    async with (
        serve(text, folder=tmp_path, plugins=old) as one,
        serve(text, folder=tmp_path, plugins=old) as other,
        one.connect("/") as client,
        other.connect("/") as another,
    ):
        await one.reload(plugins=new)
        assert (await ask(client), await ask(another)) == ("new ?", "old ?")


# Timers and schedules


async def test_timers_that_are_unchanged_go_on_counting_and_the_others_stop_or_start():
    def clocks(text, **jobs):
        source = "from signalpost import timer\n"
        for name, every in jobs.items():
            source += f"@timer('{name}', every='{every}')\nasync def {name}(event):\n"
            source += f"    event.broadcast([event.name, event.run, '{text}'])\n"
        return {"p": source}

    async with serve(ENDPOINTS, plugins=clocks("old", kept="20ms", changed="20ms", gone="20ms")) as app:
        async with app.connect("/") as client:
            seen = [await client.receive_json() for _ in range(9)]
            last = max(run for name, run, _ in seen if name == "kept")
            await app.reload(plugins=clocks("new", kept="20ms", changed="30ms", fresh="20ms"))
            first = {}
            while set(first) != {"kept", "changed", "fresh"}:  # what the old ones had sent before may come first
                name, run, text = await client.receive_json()
                if text == "new":
                    first.setdefault(name, run)
        assert (first["changed"], first["fresh"]) == (1, 1)
        assert first["kept"] > last


# Limits


async def test_a_message_may_be_as_large_as_the_new_limit_says():
    small, large = (f"limits: {{message: {size}}}" for size in ("1KiB", "8KiB"))
    async with (
        serve(app_of(large)) as app,
        app.connect("/") as client,
        app.connect("/", compression="deflate") as other,
    ):
        assert await ask(client, "x" * 5000) == await other.receive()
        await app.reload(app_of(small))
        await client.send("x" * 5000)
        assert (await closed(client))[0] == 1009
        assert await ask(other, "still") == "still"
        await app.reload(app_of(large))
        assert await ask(other, "x" * 5000) == "x" * 5000


async def test_a_compressed_message_under_way_is_no_bomb_when_the_limit_sinks_below_it():
    text = ENDPOINTS.replace("protocol: ws", "protocol: ws, compression: true")
    async with serve(text + "limits: {message: 1MiB}") as app, app.connect("/", compression="deflate") as client:
        half = '{"message":"' + "x" * 5000
        sender = client.socket.send(iter_of(half, app, text + "limits: {message: 1KiB}", "x" * 500_000 + '"}'))
        await sender
        assert (await closed(client))[0] == 1009


async def iter_of(first, app, text, rest):
    """Send a message in two fragments, with a reload between them."""
    yield first
    async with app.connect("/") as other:
        await ask(other, "the first fragment is there")
    await app.reload(text)
    yield rest


async def test_a_rate_holds_for_clients_that_were_held_to_none_and_for_them_no_longer_when_it_goes():
    unlimited = app_of("limits: {rate: 0}")
    async with serve(unlimited) as app, app.connect("/", subprotocols=["signalpost.v1"]) as client:
        await client.receive()
        await app.reload(app_of("limits: {rate: 5/s}"))
        for number in range(17):
            await client.send(number)
        seen = [(await client.receive_json())["signal"]["value"] for _ in range(10)]
        # The rest waits for tokens; without a limit it comes at once, in order.
        (connection,) = app.server._sockets.connections
        assert connection.suspended
        await app.reload(unlimited)
        seen += [(await client.receive_json())["signal"]["value"] for _ in range(7)]
        assert seen == list(range(17))
        for number in range(50):
            await client.send(number)
        assert [(await client.receive_json())["signal"]["value"] for _ in range(50)] == list(range(50))


async def test_outboxes_are_as_the_new_plan_says():
    before = app_of("signals: [{path: /a}, {path: /b}]", "limits: {outbox: 2MiB, outboxes: 64MiB}")
    after = app_of("signals: [{path: /a, slow: {policy: latest, buffer: 4MiB}}, {path: /b}]", "limits: {outbox: 3MiB}")
    async with serve(before) as app, app.connect("/a"), app.connect("/b"):
        hub = app.server.node.hub
        await app.reload(after)
        allowed = {client.path: (client.policy, client._limit) for client in hub.clients.values()}
        assert allowed == {"/a": (SlowPolicy.LATEST, 4 << 20), "/b": (SlowPolicy.DISCONNECT, 3 << 20)}
        assert hub._backlog.most == default_outboxes()
        await app.reload(before)
        assert {client._limit for client in hub.clients.values()} == {2 << 20}
        assert hub._backlog.most == 64 << 20


async def test_connections_are_bounded_as_the_new_limit_says():
    async with serve(app_of("limits: {connections: 1}")) as app, app.connect("/") as client:
        await app.reload(app_of("limits: {connections: 2}"))
        async with app.connect("/") as other:
            assert await ask(other, "in") == await client.receive() == "in"
            await app.reload(app_of("limits: {connections: 1}"))
            assert await ask(other, "still") == "still"


async def test_handlers_are_as_many_as_the_new_limit_says():
    text = app_of(WORK, "limits: {handlers: 1}")
    async with (
        serve(text, plugins=works("old")) as app,
        app.connect("/work") as one,
        app.connect("/work") as two,
        app.connect("/free") as free,
    ):
        await one.send("a")
        assert await one.receive() == "old begins a"
        await two.send("b")
        await two.socket.ping()
        await app.reload(app_of(WORK, "limits: {handlers: 3}"))
        assert await two.receive() == "old begins b"
        await app.reload(app_of(WORK, "limits: {handlers: 1}"))
        await free.send("a")  # waits for the one place that there is, which two are at
        app.server.node.shared.state["free"] = ("a", "b")
        assert [await one.receive(), await two.receive()] == ["old ends a", "old ends b"]


# Under load

PASSES = """
import asyncio
from signalpost import signal

@signal("pass")
async def pass_on(event):
    for _ in range(event.data.message[1] % 7):
        await asyncio.sleep(0)
    event.broadcast(event.data.message)

VERSION = {version}
"""
WAYS = (
    "{path: /a/b}",
    "{path: /a/b, handler: pass}",
    "{path: /A/b, rebroadcast: path, schema: {type: object}}",
    "{path: /a/<x>, handler: pass, slow: {policy: drop_oldest}}",
    '{path: /a/b, do: [{broadcast: {value: "{{ message }}"}}]}',
    "{path: /<rest:path>, rebroadcast: path}",
)
RELOADS, SENDERS, LISTENERS, LAST = 12, 5, 45, -1


async def test_no_message_is_lost_doubled_or_overtaken_by_reloads():
    reloaded = asyncio.Event()

    async def speak(client, name):
        number = 0
        while not reloaded.is_set():
            await client.send([name, number])
            number += 1
            await asyncio.sleep(0)
        await client.send([name, LAST])
        return [*range(number), LAST]

    async def listen(client):
        heard = {name: [] for name in range(SENDERS)}
        while not all(numbers[-1:] == [LAST] for numbers in heard.values()):
            name, number = await client.receive_json()
            heard[name].append(number)
        return heard

    async with (
        serve(app_of(f"signals: [{WAYS[0]}]"), plugins={"p": PASSES.format(version=0)}) as app,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(app.connect("/a/b")) for _ in range(SENDERS + LISTENERS)]
        listening = [asyncio.ensure_future(listen(client)) for client in clients]
        speaking = [asyncio.ensure_future(speak(client, name)) for name, client in enumerate(clients[:SENDERS])]
        for number in range(1, RELOADS + 1):
            way = WAYS[number % len(WAYS)]
            done = await app.reload(app_of(f"signals: [{way}]"), {"p": PASSES.format(version=number)})
            assert done.closed == 0
        reloaded.set()
        said = dict(enumerate(await asyncio.gather(*speaking)))
        for heard in await asyncio.gather(*listening):
            assert heard == said


# Nothing is left behind


def footprint():
    """Count what a reload might leave behind in this process."""
    gc.collect()
    return {
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "modules": sum(name.startswith("signalpost.plugins.folders.f") for name in sys.modules),
        "finders": len(sys.meta_path),
        "apps": len(Sanic._app_registry),
        "tasks": len(asyncio.all_tasks()),
    }


@pytest.mark.slow
async def test_many_reloads_leave_nothing_behind(tmp_path):
    (tmp_path / "page.html").write_text("hello")
    text = app_of(
        "routes: [{path: /, view: page.html}, {path: /t, handler: tell}]",
        "signals: [{path: /, handler: ask, schema: {type: object}}]",
        "timers: [{name: t, every: 1h, broadcast: {value: x}}]",
    )
    async with (
        serve(text, folder=tmp_path, plugins={"p": ANSWERS.format(version=0)}) as app,
        app.connect("/") as client,
    ):
        await app.reload(plugins={"p": ANSWERS.format(version="first")})
        before = footprint()
        for version in range(1, 16):
            await app.reload(text.replace("1h", f"{version}h"), {"p": ANSWERS.format(version=version)})
        assert footprint() == before
        assert await ask(client) == "15 ?"
        await app.reload()
        kept = footprint()
        for version in range(1, 16):
            await app.reload(text.replace("1h", f"{version}m"))
        assert footprint() == kept
        assert await ask(client) == "15 ?"


def alive(kind):
    """Give the ids of all objects of a type."""
    gc.collect()
    return {id(each) for each in gc.get_objects() if type(each).__name__ == kind}


async def test_the_plan_of_before_is_freed_and_so_are_the_apps_that_brought_the_new_routes():
    async with serve(app_of("signals: [{path: /, handler: ask}]"), plugins={"p": ANSWERS.format(version="old")}) as app:
        old, apps = id(app.server.plan), alive("_QuietApp")
        async with app.connect("/") as client:
            await app.reload(plugins={"p": ANSWERS.format(version="new")})
            assert await ask(client) == "new ?"
            assert old not in alive("Plan")
            assert alive("_QuietApp") == apps


async def test_what_lasts_is_said():
    secure = ENDPOINTS.replace("protocol: ws", "protocol: wss, self_signed: true")
    async with serve(secure + "limits: {handshake: 1s}") as app:
        done = await app.reload(secure.replace("true", "true, compression: true") + "limits: {handshake: 2s}")
        assert [note.split(":")[0] for note in done.notes] == ["endpoint live", "limits.handshake"]


# What the loop does itself


async def test_what_takes_long_with_much_in_a_plan_is_not_done_in_the_loop(monkeypatch):
    places = {}

    def noted(work):
        def note(*arguments, **options):
            places[work.__name__] = threading.get_ident()
            return work(*arguments, **options)

        return note

    for owner, name in ((server, "diff"), (node, "SignalTable"), (node, "guard_for"), (Listener, "prepare")):
        monkeypatch.setattr(owner, name, noted(getattr(owner, name)))
    async with serve(app_of("signals: [{path: /}]")) as app, app.connect("/") as client:
        places.clear()
        await app.reload(app_of("signals: [{path: /}, {path: /more}]"))
        assert await ask(client, "still") == "still"
    assert places.keys() == {"diff", "SignalTable", "guard_for", "prepare"}
    assert threading.get_ident() not in places.values()
