"""Clients that are not in yet: what `connected` and `client_connected` wait for is passed by by nobody."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
GATE = """
import asyncio
from signalpost import action, hookimpl, signal

GO = {}
BEGUN = asyncio.Event()
LOG = []

def gate(name):
    return GO.setdefault(name, asyncio.Event())

@action("gate")
async def waits(event, options):
    BEGUN.set()
    await gate(event.request.query.get("gate", "x")).wait()
    if event.request.query.get("refuse"):
        event.close(4001, "no")

@signal("open")
async def opens(event):
    gate(event.data.message).set()

@signal("to")
async def to(event):
    event.reply(event.broadcast("by id", client=event.data.message).queued)

@hookimpl
def client_disconnected(client, code):
    LOG.append((client.path, code))
"""
SIGNALS = """
signals:
  - path: /room
    rebroadcast: path
    connected: [{gate: {}}]
  - {path: /open, handler: open}
  - {path: /to, handler: to}
  - {path: /say}
"""


@asynccontextmanager
async def arriving(app, path, **options):
    """Connect a client whose arrival waits at a gate; in the end all gates are opened."""
    module = next(each.module for each in app.server.plan.registry.plugins if each.name == "gate")
    async with app.connect(path, **options) as guest:
        try:
            yield guest
        finally:
            for gate in module.GO.values():
                gate.set()


def held(app):
    return [client for client in app.server.node.hub.clients.values() if client.arriving]


async def until(condition):
    """Give the loop turns until a condition holds."""
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


@pytest.fixture
def app():
    return serve(LIVE + SIGNALS, plugins={"gate": GATE})


async def test_a_client_whose_connected_waits_neither_speaks_nor_hears_until_it_is_through(app):
    async with (
        app as running,
        running.connect("/room?gate=a") as member,
        running.connect("/open") as opener,
        running.connect("/say") as speaker,
    ):
        await opener.send("a")
        await member.send("in")
        assert await member.receive() == "in"
        async with arriving(running, "/room?gate=b") as guest:
            await until(lambda: held(running))
            await guest.send("too early")
            await member.send("members only")
            await speaker.send("to everyone")
            assert [await member.receive() for _ in range(2)] == ["members only", "to everyone"]
            await opener.send("b")
            assert await guest.receive() == "too early"  # what waited is taken up, and nothing of before is read
            assert await member.receive() == "too early"


async def test_a_client_that_a_waiting_step_refuses_has_never_been_in_an_audience(app):
    async with app as running, running.connect("/room?gate=a") as member, running.connect("/open") as opener:
        await opener.send("a")
        await member.send("in")
        assert await member.receive() == "in"
        async with arriving(running, "/room?gate=b&refuse=1") as guest:
            await until(lambda: held(running))
            await guest.send("let me in")
            await member.send("secret")
            assert await member.receive() == "secret"
            await opener.send("b")
            with pytest.raises(ConnectionClosed):
                await guest.receive()
            assert (guest.socket.close_code, guest.socket.close_reason) == (4001, "no")
        await member.send("still alone")
        assert await member.receive() == "still alone"
        assert not held(running)


async def test_an_arriving_client_is_reached_by_its_own_list_and_by_the_server_by_id_but_by_no_other_client():
    signals = """
signals:
  - path: /room/<name>
    connected:
      - join: guests
      - reply: {value: hello}
      - broadcast: {value: "{{ params.name }} to path", path: "{{ path }}"}
      - broadcast: {value: "{{ params.name }} to guests, {{ matched }}", group: guests}
      - broadcast: {value: "{{ params.name }} to others", to: others}
      - broadcast: {value: "{{ params.name }} to all, {{ clients | length }}"}
      - broadcast: {value: "{{ params.name }} elsewhere", path: /say}
      - reply: {value: "{{ matched }}"}
      - gate: {}
  - {path: /to, handler: to}
  - {path: /open, handler: open}
  - {path: /say}
"""
    async with (
        serve(LIVE + signals, plugins={"gate": GATE}) as app,
        app.connect("/say") as other,
        arriving(app, "/room/ada?gate=a", subprotocols=["signalpost.v1"]) as ada,
        app.connect("/to") as to,
        app.connect("/open") as opener,
    ):
        welcome, *values = [await ada.receive_json() for _ in range(6)]
        assert len(welcome["welcome"].pop("session")) == 22
        assert welcome == {"welcome": {"clientId": ada.id, "path": "/room/ada"}}
        assert [each["signal"]["value"] for each in values] == [
            "hello",
            "ada to path",
            "ada to guests, 1",
            "ada to all, 2",
            1,
        ]
        assert [await other.receive() for _ in range(3)] == ["ada to others", "ada to all, 2", "ada elsewhere"]
        await other.send("from a stranger", clientId=ada.id)
        await other.send("to the group", group="guests")
        await (await other.socket.ping())
        await to.send(ada.id)
        assert await to.receive() == "1"
        assert (await ada.receive_json())["signal"]["value"] == "by id"
        await opener.send("a")
        await until(lambda: not held(app))
        await other.send("to the group", group="guests")  # groups count from when it is in
        assert (await ada.receive_json())["signal"]["value"] == "to the group"


async def test_what_takes_longer_than_limits_handshake_is_cancelled_and_the_client_closed(caplog):
    signals = """
limits: {handshake: 50ms}
signals:
  - path: /room
    connected: [{gate: {}}]
    disconnected: [{broadcast: {value: "gone with {{ code }}", path: /say}}]
  - {path: /say}
"""
    async with serve(LIVE + signals, plugins={"gate": GATE}) as app, app.connect("/say") as other:
        async with app.connect("/room") as guest:
            with pytest.raises(ConnectionClosed):
                await guest.receive()
            assert guest.socket.close_code == 1011
        assert await other.receive() == "gone with 1011"
    assert "on /room was closed: connected (" in caplog.text
    assert "routes.yaml:5) took longer than limits.handshake (0.05 s)" in caplog.text


async def test_arriving_clients_count_as_connections_and_take_no_place_of_handlers():
    limits = "limits: {connections: 3, handlers: 1}\n"
    async with (
        serve(LIVE + limits + SIGNALS, plugins={"gate": GATE}) as app,
        arriving(app, "/room?gate=b") as guest,
        app.connect("/open") as opener,
        arriving(app, "/room?gate=c"),
    ):
        await until(lambda: len(held(app)) == 2)
        with pytest.raises(InvalidStatus, match="503"):
            async with app.connect("/say"):
                pass
        await opener.send("b")  # its handler runs, though two clients arrive
        await guest.send("in")
        assert await guest.receive() == "in"


async def test_the_keepalive_pings_no_client_that_is_arriving(app):
    async with app as running, arriving(running, "/room?gate=b"):
        await until(lambda: held(running))
        keepalive = running.server._sockets.keepalive
        (connection,) = running.server._sockets.connections
        connection.heard_at = -1e9
        keepalive.look()
        keepalive.look()
        assert connection.pinged_at == 0.0
        assert not connection.client.closing


async def test_a_client_that_is_closed_while_it_arrives_has_its_two_lists_done_in_their_order():
    signals = """
signals:
  - path: /room
    connected: [{gate: {}}, {broadcast: {value: came, path: /say}}]
    disconnected: [{broadcast: {value: went, path: /say}}]
  - {path: /open, handler: open}
  - {path: /say}
"""
    async with (
        serve(LIVE + signals, plugins={"gate": GATE}) as app,
        app.connect("/say") as other,
        arriving(app, "/room?gate=b") as guest,
        app.connect("/open") as opener,
    ):
        await until(lambda: held(app))
        (client,) = held(app)
        client.drop(4008)
        with pytest.raises(ConnectionClosed):
            await guest.receive()
        await until(lambda: client not in app.server.node.hub.closing)
        await opener.send("b")
        assert [await other.receive() for _ in range(2)] == ["came", "went"]
        assert not held(app)


@pytest.mark.parametrize("first", ["", "gate: {}"])
async def test_a_client_that_a_hook_refuses_is_one_of_whom_the_lists_of_its_signal_hear_nothing(first):
    hook = """
from signalpost import hookimpl

@hookimpl
def client_connected(client):
    if client.path == "/room":
        client.close(4001, "no")
"""
    waiting = hook.replace("def client", "async def client")
    step = "{gate: {}}, " if first else ""
    signals = f"""
signals:
  - path: /room
    connected: [{step}{{broadcast: {{value: came, path: /say}}}}]
    disconnected: [{{broadcast: {{value: went, path: /say}}}}]
  - {{path: /say}}
"""
    for source in (hook, waiting):
        async with serve(LIVE + signals, plugins={"gate": GATE, "door": source}) as app, app.connect("/say") as other:
            async with app.connect("/room") as guest:
                with pytest.raises(ConnectionClosed):
                    await guest.receive()
                assert guest.socket.close_code == 4001
            await until(lambda app=app: len(app.server.node.hub.clients) == 1 and not app.server.inspect().closing)
            await other.send("nothing before this")
            assert await other.receive() == "nothing before this"


async def test_a_hook_that_waits_keeps_a_client_out_and_the_list_comes_behind_it():
    hook = """
import asyncio
from signalpost import hookimpl, signal

GO = asyncio.Event()

@hookimpl
async def client_connected(client):
    if client.path == "/room":
        await GO.wait()
        client.join("staff")

@signal("let", path="/let")
async def let(event):
    GO.set()
"""
    signals = """
signals:
  - {path: /room, connected: [{reply: {value: "{{ client.groups }}"}}]}
  - {path: /say}
"""
    async with (
        serve(LIVE + signals, plugins={"door": hook}) as app,
        app.connect("/say") as other,
        app.connect("/let") as let,
        app.connect("/room") as guest,
    ):
        await until(lambda: held(app))
        await other.send("not for guests")
        assert await other.receive() == "not for guests"
        await let.send("go")
        assert await guest.receive() == '["staff"]'
        await until(lambda: not held(app))
        await other.send("for all")
        assert await guest.receive() == "for all"


async def test_a_reload_leaves_a_client_that_is_arriving_to_its_arrival_and_moves_it():
    other_signals = SIGNALS.replace("connected: [{gate: {}}]", "targets: []").replace("rebroadcast: path", "")
    async with (
        serve(LIVE + SIGNALS, plugins={"gate": GATE}) as app,
        app.connect("/say") as other,
        arriving(app, "/room?gate=b") as guest,
    ):
        await until(lambda: held(app))
        (client,) = held(app)
        gate = app.server.plan.registry.plugins[0].module.gate
        await app.reload(LIVE + "limits: {rate: 1000}\n" + other_signals)
        await other.send("meanwhile")
        assert await other.receive() == "meanwhile"
        gate("b").set()
        await until(lambda: not client.arriving)
        await guest.send("hello", path="/say")
        assert '"code":"target-not-allowed"' in await guest.receive()
        await guest.send("hello")
        assert [await guest.receive(), await other.receive()] == ["hello"] * 2


async def test_a_server_that_stops_ends_arrivals_when_its_time_is_over():
    async with serve(LIVE + "limits: {drain: 100ms}\n" + SIGNALS, plugins={"gate": GATE}) as app:
        log = app.server.plan.registry.plugins[0].module.LOG
        async with arriving(app, "/room?gate=b") as guest:
            await until(lambda: held(app))
            await app.server.stop()
            with pytest.raises(ConnectionClosed):
                await guest.receive()
            assert guest.socket.close_code == 1001
            assert log == [("/room", 1001)]
            assert not app.server.inspect().handling


async def test_an_app_whose_connected_does_not_wait_holds_nobody():
    signals = 'signals: [{path: /, connected: [{reply: {value: "{{ clients | length }}"}}]}]'
    async with serve(LIVE + signals) as app, app.connect("/") as client:
        assert await client.receive() == "1"
        (conversation,) = (watched.conversation for watched in app.server._sockets.connections)
        assert (conversation._arrival, conversation._context) == (None, None)


async def test_nobody_who_is_arriving_is_among_the_clients_that_others_see(app):
    plan = SIGNALS + "  - {path: /who, do: [{reply: {value: \"{{ clients | map(attribute='path') | sort }}\"}}]}\n"
    async with (
        serve(LIVE + plan, plugins={"gate": GATE}) as running,
        running.connect("/who") as who,
        arriving(running, "/room?gate=b"),
    ):
        await until(lambda: held(running))
        await who.send("?")
        assert await who.receive() == '["/who"]'


RAISING = """
import asyncio
from signalpost import action, hookimpl

class Own(BaseException): ...

RAISED = {"own": Own, "exit": SystemExit, "interrupt": KeyboardInterrupt, "cancelled": asyncio.CancelledError}
CAME = []

@hookimpl
def client_connected(client):
    CAME.append(client.id)
    if client.path.startswith("/plain/"):
        raise RAISED[client.params["what"]]("plain")

@action("at_once")
def at_once(event, options):
    raise RAISED[event.params["what"]]("action")

@hookimpl
async def client_disconnected(client, code):
    if client.path.startswith("/plain/"):
        raise RAISED[client.params["what"]]("gone")

@action("raising")
async def raising(event, options):
    await asyncio.sleep(0)
    raise RAISED[event.params["what"]]("action")
"""
WAITING = """
from signalpost import hookimpl
from . import raising

@hookimpl
async def client_connected(client):
    if client.path.startswith("/wait/"):
        raise raising.RAISED[client.params["what"]]("waiting")
    if client.path == "/refused":
        client.close(4001, "no")
"""


@pytest.mark.parametrize("what", ["own", "exit", "interrupt", "cancelled"])
@pytest.mark.parametrize("where", ["plain", "wait", "action", "once"])
async def test_whatever_is_raised_while_a_client_arrives_ends_neither_the_server_nor_the_next_hook(where, what, caplog):
    signals = """
signals:
  - {path: /plain/<what>, rebroadcast: sender}
  - {path: /wait/<what>, rebroadcast: sender}
  - {path: /action/<what>, rebroadcast: sender, connected: [{raising: {}}]}
  - {path: /once/<what>, rebroadcast: sender, connected: [{at_once: {}}]}
  - {path: /refused}
"""
    async with serve(LIVE + signals, plugins={"raising": RAISING, "waiting": WAITING}) as app:
        async with app.connect(f"/{where}/{what}") as client:
            await client.send("in")
            assert await client.receive() == "in"  # what fails is logged, and a client of it is as one of no hook
        async with app.connect("/refused") as refused:
            with pytest.raises(ConnectionClosed):
                await refused.receive()
            assert refused.socket.close_code == 4001
    assert any("fail" in record.getMessage() for record in caplog.records)
    assert "exception was never retrieved" not in caplog.text
