"""How messages reach handlers: their order, how many at once, who is next, and when no more is read."""

import sys

import orjson
import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError
from signalpost.signals.inbox import MOST_WAITING
from signalpost.signals.slots import HandlerSlots
from signalpost.testing import serve

PLUGIN = """
    import asyncio
    from signalpost import signal

    gates = {}

    def gate(what):
        return gates.setdefault(what, asyncio.Event())

    async def handle(event):
        what = f"{event.path} {event.data.message}"
        event.broadcast(what, path="/log")
        await gate(what).wait()
        event.reply(event.data.message)

    one = signal("one")(handle)
    many = signal("many")(handle)

    @signal("fails", path="/fails")
    async def fails(event):
        if event.data.message == "cancel":
            waiting = asyncio.get_running_loop().create_future()
            waiting.cancel()
            await waiting
        event.reply("fine")
"""
APP = """
    endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]
    signals:
      - {{path: "/one/<name>", handler: one}}
      - {{path: "/many/<name>", handler: many, parallel: 3}}
      - {{path: /echo, rebroadcast: sender}}
    limits: {{handlers: {handlers}}}
"""


def messages(numbers):
    payloads = [orjson.dumps({"message": str(number)}) for number in numbers]
    return b"".join(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload for payload in payloads)


class House:
    """A server whose handlers tell when they begin, and then wait until the test lets them go."""

    def __init__(self, app, log, echo):
        self.app = app
        self._log = log
        self._echo = echo
        self._plugin = next(module for name, module in sys.modules.items() if name.endswith(".gates"))

    async def began(self, count):
        """Give what the next handlers to begin have got, as ``/path message``."""
        return [await self._log.receive() for _ in range(count)]

    async def settled(self):
        """Wait until the server has read what was sent before, by a round trip of another client."""
        for _ in range(2):
            await self._echo.send("marker")
            assert await self._echo.receive() == "marker"

    def let_go(self, what):
        """Let a handler finish."""
        self._plugin.gate(what).set()

    def suspended(self, client):
        return self._connection(client).suspended

    def waiting(self, client):
        """Give how many of its messages wait for a handler."""
        return len(self._connection(client)._conversation._inbox or ())

    def _connection(self, client):
        return next(each for each in self.app.server._sockets.connections if each._client.id == client.id)


@pytest.fixture
async def house(request):
    """A server with a thousand slots, or as many as the test says."""
    async with (
        serve(APP.format(handlers=getattr(request, "param", 1000)), plugins={"gates": PLUGIN}) as app,
        app.connect("/log") as log,
        app.connect("/echo") as echo,
    ):
        yield House(app, log, echo)


async def test_one_message_is_handled_at_a_time_in_the_order_of_arrival(house):
    async with house.app.connect("/one/a") as client:
        client.socket.transport.write(messages(range(4)))
        for number in range(4):
            assert await house.began(1) == [f"/one/a {number}"]
            await house.settled()
            house.let_go(f"/one/a {number}")
            assert await client.receive() == str(number)


async def test_behind_sixteen_waiting_messages_no_more_is_read_until_half_of_them_are_gone(house):
    async with house.app.connect("/one/a") as client:
        client.socket.transport.write(messages(range(MOST_WAITING)))
        assert await house.began(1) == ["/one/a 0"]
        await house.settled()
        assert (house.waiting(client), house.suspended(client)) == (MOST_WAITING - 1, False)
        client.socket.transport.write(messages([MOST_WAITING]))
        await house.settled()
        assert (house.waiting(client), house.suspended(client)) == (MOST_WAITING, True)
        client.socket.transport.write(messages(range(MOST_WAITING + 1, 40)))
        await house.settled()
        assert house.waiting(client) == MOST_WAITING
        for number in range(40):
            house.let_go(f"/one/a {number}")
            assert await client.receive() == str(number)
            if number < 39:
                assert await house.began(1) == [f"/one/a {number + 1}"]
            if number == MOST_WAITING // 2 - 2:
                assert (house.waiting(client), house.suspended(client)) == (MOST_WAITING // 2 + 1, True)
            if number == MOST_WAITING // 2 - 1:
                await house.settled()
                assert (house.waiting(client), house.suspended(client)) == (MOST_WAITING, True)
        assert not house.suspended(client)


async def test_parallel_handles_so_many_of_one_client_at_once_and_no_more(house):
    async with house.app.connect("/many/a") as client, house.app.connect("/many/b") as other:
        client.socket.transport.write(messages(range(5)))
        assert await house.began(3) == ["/many/a 0", "/many/a 1", "/many/a 2"]
        await house.settled()
        await other.send("mine")
        assert await house.began(1) == ["/many/b mine"]
        house.let_go("/many/a 1")
        assert await client.receive() == "1"
        assert await house.began(1) == ["/many/a 3"]
        await house.settled()
        for number in (2, 0, 3, 4):
            house.let_go(f"/many/a {number}")
            assert await client.receive() == str(number)
        house.let_go("/many/b mine")
        assert await other.receive() == "mine"


@pytest.mark.parametrize("house", [2], indirect=True)
async def test_over_all_clients_only_so_many_handlers_are_at_work_and_clients_take_turns(house):
    async with (
        house.app.connect("/one/a") as a,
        house.app.connect("/many/b") as b,
        house.app.connect("/one/c") as c,
    ):
        a.socket.transport.write(messages(range(3)))
        assert await house.began(1) == ["/one/a 0"]
        b.socket.transport.write(messages(range(3)))
        assert await house.began(1) == ["/many/b 0"]
        await house.settled()  # two of b's stand in line
        await c.send("0")
        await house.settled()
        for done, next_one in (
            ("/one/a 0", "/many/b 1"),
            ("/many/b 0", "/many/b 2"),
            ("/many/b 1", "/one/c 0"),
            ("/many/b 2", "/one/a 1"),
        ):
            house.let_go(done)
            assert await house.began(1) == [next_one]
        for what in ("/one/c 0", "/one/a 1", "/one/a 2"):
            house.let_go(what)
        assert [await a.receive() for _ in range(3)] == ["0", "1", "2"]
        assert [await c.receive()] == ["0"]


@pytest.mark.parametrize("house", [1], indirect=True)
async def test_who_waits_for_a_place_is_paused_behind_sixteen_messages_too(house):
    async with house.app.connect("/one/a") as a, house.app.connect("/one/b") as b:
        await a.send("0")
        assert await house.began(1) == ["/one/a 0"]
        b.socket.transport.write(messages(range(MOST_WAITING - 1)))
        await house.settled()
        assert not house.suspended(b)
        b.socket.transport.write(messages(range(MOST_WAITING - 1, 30)))
        await house.settled()
        assert house.suspended(b)
        house.let_go("/one/a 0")
        for number in range(30):
            assert await house.began(1) == [f"/one/b {number}"]
            house.let_go(f"/one/b {number}")
            assert await b.receive() == str(number)


@pytest.mark.parametrize("house", [1], indirect=True)
async def test_a_client_that_goes_does_not_keep_its_place(house):
    async with house.app.connect("/one/a") as a, house.app.connect("/one/b") as b:
        await a.send("0")
        assert await house.began(1) == ["/one/a 0"]
        await b.send("0")
        await a.close()
        await house.settled()
        house.let_go("/one/a 0")
        assert await house.began(1) == ["/one/b 0"]
        house.let_go("/one/b 0")
        assert await b.receive() == "0"


async def test_what_a_handler_waits_for_may_be_cancelled_and_the_next_message_is_handled(house):
    async with house.app.connect("/fails") as client:
        await client.send("cancel")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        await client.send("again")
        assert await client.receive() == "fine"


def test_a_place_that_is_not_needed_goes_to_the_next_in_line_however_long_that_is():
    class Waiter:
        def __init__(self, needs):
            self.needs = needs
            self.asked = 0

        def proceed(self):
            self.asked += 1
            return self.needs

    slots = HandlerSlots(1)
    assert (slots.acquire(), slots.acquire(), slots.crowded) == (True, False, False)
    nobody, somebody = Waiter(needs=False), Waiter(needs=True)
    for _ in range(5_000):
        slots.line_up(nobody)
    slots.line_up(somebody)
    assert slots.crowded
    slots.release()
    assert (nobody.asked, somebody.asked, slots.crowded, slots.acquire()) == (5_000, 1, False, False)
    slots.release()
    assert slots.acquire()


def test_places_may_become_more_or_fewer_while_some_are_taken():
    class Waiter:
        begun = 0

        def proceed(self):
            Waiter.begun += 1
            return True

    slots = HandlerSlots(2)
    assert (slots.acquire(), slots.acquire(), slots.acquire()) == (True, True, False)
    slots.line_up(Waiter())
    slots.line_up(Waiter())
    slots.resize(1)
    assert (Waiter.begun, slots.crowded) == (1, True)
    slots.resize(-2)  # one place, and three are at work
    slots.release()
    slots.release()
    assert (Waiter.begun, slots.acquire()) == (1, False)
    slots.release()
    assert (Waiter.begun, slots.crowded) == (2, False)
    slots.release()
    assert (slots.acquire(), slots.acquire()) == (True, False)


def test_parallel_without_a_handler_is_pointed_out(tmp_path):
    text = (
        "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
        "signals: [{path: /x, parallel: 2}, {path: /y, handler: y, parallel: 4}, {path: /z, handler: y}]"
    )
    with pytest.raises(ConfigError) as caught:
        parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert "routes.yaml:2:22: signals[0].parallel: only handlers run in parallel" in str(caught.value)
    sound = text.replace("{path: /x, parallel: 2}, ", "")
    assert [
        each.parallel for each in parse_config(sound, file="routes.yaml", folder=tmp_path, actions=BUILT_IN).signals
    ] == [4, 1]
