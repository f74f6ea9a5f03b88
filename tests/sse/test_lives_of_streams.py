"""How streams last and end: reloads, stops, peers that vanish, peers that read slowly; and what is left of them."""

import asyncio
import gc
import socket

import orjson
import pytest

from signalpost.sockets.keepalive import CLOSING
from signalpost.testing import serve

SIGNALS = """
signals:
  - {path: '/rooms/<room>', rebroadcast: path, history: 10}
  - {path: /b, rebroadcast: path}
"""
WEB = "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]\n"
V1 = "?v=1"


def events_of(stream_events):
    return [(name, orjson.loads(data)) for name, data, _ in stream_events]


async def until(happened):
    """Return once something has happened that nothing signals."""
    while not happened():  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0)


async def all_has_moved(client):
    """Return once the kernels have moved what they could to a peer that reads nothing."""
    held = -1
    while held != (held := client.unconfirmed):  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0.05)


HOLD = """
    import asyncio
    from signalpost import signal

    started, go = asyncio.Event(), asyncio.Event()

    @signal("hold", path="/hold")
    async def hold(event):
        started.set()
        await go.wait()
        return "held"
"""


class TestReload:
    async def test_streams_stay_and_follow_the_new_plan(self, sse, plain):
        async with sse(SIGNALS) as app:
            plainer, stream = await plain.stream(app, "/rooms/blue"), await plain.stream(app, "/rooms/blue" + V1)
            await stream.object()
            port = app.server.endpoints[0].port
            await app.reload(WEB + SIGNALS.replace("<room>", "<name>").replace("history: 10", "history: 3"))
            assert app.server.endpoints[0].port == port
            assert stream.client.params == {"name": "blue"}
            await plain.post(app, "/rooms/blue", "hi")
            assert await plainer.data() == "hi"
            assert (await stream.object())["signal"]["value"] == "hi"

    @pytest.mark.parametrize("change", ["the signal", "the fallbacks", "the signal's endpoint"])
    async def test_who_reads_what_is_gone_is_told_so_and_when_to_come_back(self, both, plain, change, settled):
        async with both(SIGNALS) as app:
            before = (app.folder / "routes.yaml").read_text()
            streams = [await plain.stream(app, "/rooms/blue") for _ in range(3)]
            structured = await plain.stream(app, "/rooms/blue" + V1)
            await structured.object()
            stays = await plain.stream(app, "/b") if change != "the fallbacks" else None
            after = {
                "the signal": before.replace("/rooms/", "/halls/"),
                "the fallbacks": before.replace(", fallbacks: [sse]", ""),
                "the signal's endpoint": before.replace("{path: '/rooms", "{endpoint: live, path: '/rooms"),
            }[change]
            await app.reload(after)
            retries = []
            for stream in streams:
                ((name, told),) = events_of(await stream.rest())
                assert (name, told) == ("close", {"code": 1012, "reason": "this signal is gone"})
                retries.append(stream.parser.retry)
            bye, close = (told for _, told in events_of(await structured.rest()))
            assert close == {"close": {"code": 1012, "reason": "this signal is gone"}}
            assert bye["bye"]["retry_ms"] == structured.parser.retry
            assert all(0 <= each < 2_000 for each in retries)
            await settled(app, 0 if stays is None else 1)
            assert (await plain.ask(app, "GET", "/rooms/blue", plain.accept)).status == 404
            assert (await plain.post(app, "/rooms/blue", 1)).status == 404
            if stays is not None:
                await plain.post(app, "/b", "still here")
                assert await stays.data() == "still here"
            await app.reload(before)
            again = await plain.stream(app, "/rooms/blue")
            assert (await plain.post(app, "/rooms/blue", "back")).status == 202
            assert await again.data() == "back"

    async def test_a_connection_that_is_open_is_served_by_the_new_plan(self, both, plain):
        async with both(SIGNALS) as app:
            before = (app.folder / "routes.yaml").read_text()
            connection = await plain.connect(app)

            async def status():
                await connection.send(plain.request("POST", "/rooms/blue", body=b'{"message":1}'))
                return (await connection.answer()).status

            assert await status() == 202
            await app.reload(before.replace(", fallbacks: [sse]", ""))
            assert await status() == 404
            await app.reload(before)
            assert await status() == 202

    async def test_a_post_that_is_being_handled_over_a_reload_is_answered(self, sse, plain):
        async with sse("signals: []", plugins={"p": HOLD}) as app:
            (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
            posting = asyncio.create_task(plain.post(app, "/hold", 1))
            await module.started.wait()
            await app.reload(WEB + "signals: [{path: /x}]\n")
            module.go.set()
            assert (await posting).json == {"reply": {"value": "held"}}


class TestStop:
    async def test_every_stream_is_told_when_to_come_back_and_its_connection_ends(self, both, plain):
        async with both(SIGNALS) as app:
            plains = [await plain.stream(app, "/rooms/blue") for _ in range(20)]
            structured = [await plain.stream(app, "/rooms/blue" + V1) for _ in range(20)]
            app.server.node.broadcaster("last")
        retries = []
        for stream in plains:
            (_, last, _), (name, told, _) = await stream.rest()
            assert (last, name) == ("last", "close")
            assert orjson.loads(told)["code"] == 1012
            retries.append(stream.parser.retry)
        for stream in structured:
            kinds = [orjson.loads(data) for _, data, _ in await stream.rest()]
            assert [next(iter(kind)) for kind in kinds] == ["welcome", "signal", "bye", "close"]
            assert kinds[2]["bye"]["retry_ms"] == stream.parser.retry
            retries.append(stream.parser.retry)
        assert all(each >= 500 for each in retries), retries
        assert len(set(retries)) > 30, "they come back one after the other"

    async def test_a_stop_waits_for_no_stream_that_does_not_read(self, plain):
        async with serve(WEB + SIGNALS + "limits: {drain: 1s}\n") as app:
            stream = await plain.stream(app, "/b")
            stream.connection.writer.transport.pause_reading()
            while not stream.client.waiting:
                app.server.node.broadcaster("x" * 65_536, path="/b")
                await asyncio.sleep(0)
        assert not app.server.node.hub.clients
        assert not app.server.node.hub.closing

    async def test_a_post_under_way_is_answered_before_the_server_is_gone(self, sse, plain):
        async with sse("signals: []", plugins={"p": HOLD}) as app:
            (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
            posting = asyncio.create_task(plain.post(app, "/hold", 1))
            await module.started.wait()
            stopping = asyncio.create_task(app.server.stop())
            await until(lambda: not app.server._listeners[0]._door.open)
            module.go.set()
            answer = await posting
            await stopping
            assert answer.json == {"reply": {"value": "held"}}

    @pytest.mark.slow
    async def test_a_post_whose_handler_does_not_end_is_told_to_try_again(self, sse, plain):
        plugin = """
            import asyncio
            from signalpost import signal

            started = asyncio.Event()

            @signal("hold", path="/hold")
            async def hold(event):
                started.set()
                await asyncio.Event().wait()
        """
        async with sse("limits: {drain: 1s}\n", plugins={"p": plugin}) as app:
            (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
            posting = asyncio.create_task(plain.post(app, "/hold", 1))
            await module.started.wait()
        answer = await posting
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert not app.server.node.hub.clients

    async def test_while_it_stops_nobody_new_is_let_in_over_connections_that_are_open(self, sse, plain):
        plugin = """
            import asyncio
            from signalpost import signal

            started, go = asyncio.Event(), asyncio.Event()

            @signal("hold", path="/hold")
            async def hold(event):
                started.set()
                await go.wait()
        """
        async with sse(SIGNALS, plugins={"p": plugin}) as app:
            (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
            first = await plain.connect(app)
            await first.send(plain.request("POST", "/hold", body=b'{"message":1}'))
            await module.started.wait()
            await first.send(plain.request("GET", "/rooms/blue", (plain.accept,)))  # its turn comes when it stops
            stopping = asyncio.create_task(app.server.stop())
            await until(lambda: not app.server._listeners[0]._door.open)
            module.go.set()
            assert (await first.answer()).status == 202
            assert await first.ended() == b""
            await stopping


class Clock:
    """Lets a server's keepalive see another time."""

    def __init__(self, keepalive):
        self.keepalive = keepalive
        self.now = keepalive.now
        keepalive._clock = lambda: self.now

    def advance(self, seconds):
        for _ in range(seconds):
            self.now += 1.0
            self.keepalive.look()


class TestKeepalive:
    @pytest.fixture
    async def served(self, sse):
        async with sse(SIGNALS) as app:
            # From now on only the test looks.
            app.server._sockets.keepalive.stop()
            yield app, Clock(app.server._sockets.keepalive)

    async def test_a_stream_on_which_nothing_is_said_gets_a_comment_every_15_seconds(self, served, plain):
        app, clock = served
        stream = await plain.stream(app, "/b")
        structured = await plain.stream(app, "/b" + V1)
        await structured.object()
        for number in range(1, 5):
            clock.advance(14)
            assert stream.parser.comments == number - 1
            clock.advance(2)
            while stream.parser.comments < number or structured.parser.comments < number:
                await (stream if stream.parser.comments < number else structured).more()
            await until(lambda: not (stream.client.unconfirmed or structured.client.unconfirmed))
        assert stream.wire == b"retry: 2000\n\n" + b":\n\n" * 4
        app.server.node.broadcaster("still here")
        assert await stream.data() == "still here"

    async def test_a_peer_that_reads_nothing_more_is_given_up_and_nobody_else(self, served, plain, settled):
        app, clock = served
        lives, vanished = await plain.stream(app, "/rooms/blue"), await plain.stream(app, "/b")
        vanished.connection.writer.transport.pause_reading()
        while not vanished.client.waiting:  # its machine takes no more, as one that has vanished takes nothing
            app.server.node.broadcaster("x" * 60_000, path="/b")
            await asyncio.sleep(0)
        await all_has_moved(vanished.client)
        for _ in range(30):
            clock.advance(1)
            await until(lambda: not lives.client.unconfirmed)
        await settled(app, 1)
        await plain.post(app, "/rooms/blue", "end")
        assert await lives.until("end") == []

    async def test_a_peer_that_always_has_something_yet_to_confirm_lives_as_long_as_it_confirms(self, served, plain):
        app, clock = served
        stream = await plain.stream(app, "/b")
        await stream.more()
        await until(lambda: not stream.client.unconfirmed)
        client, transport = stream.client, stream.connection.writer.transport
        clock.advance(15)  # it is sent a comment, when it has confirmed everything
        (connection,) = app.server._sockets.connections
        assert connection.pinged_at
        for _ in range(40):
            # At each look something is on its way: its machine is far off, and much is said.
            transport.pause_reading()
            before = client.confirmed
            while not client.waiting:
                app.server.node.broadcaster("x" * 30_000, path="/b")
                await asyncio.sleep(0)
            transport.resume_reading()
            while client.confirmed <= before or client.waiting > 500_000:
                await stream.more()
            transport.pause_reading()
            while not client.waiting:
                app.server.node.broadcaster("x" * 30_000, path="/b")
                await asyncio.sleep(0)
            assert client.unconfirmed
            clock.advance(1)
            assert not client.closing
            transport.resume_reading()

    async def test_a_peer_that_does_not_take_the_end_is_not_waited_for_for_ever(self, served, plain, settled):
        app, clock = served
        stream = await plain.stream(app, "/b")
        stream.connection.writer.transport.pause_reading()
        while not stream.client.waiting:
            app.server.node.broadcaster("x" * 60_000, path="/b")
            await asyncio.sleep(0)
        stream.client.close(4009)
        assert app.server.node.hub.closing
        (client,) = app.server.node.hub.closing
        await all_has_moved(client)
        clock.advance(int(CLOSING) + 2)
        await settled(app)


class TestSlowReaders:
    MESSAGE = 8_192

    async def slow(self, app, plain, path):
        """Open a stream whose machine holds little; give it unread."""
        with_little = socket.socket()
        with_little.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with_little.setblocking(False)
        port = app.server.endpoints[0].port
        await asyncio.get_running_loop().sock_connect(with_little, ("127.0.0.1", port))
        stream = await plain.stream(app, path, sock=with_little)
        stream.connection.writer.transport.pause_reading()
        return stream

    @pytest.fixture
    def serve_slow(self, both):
        return lambda slow, extra="": both(
            f"signals: [{{path: '/rooms/<room>', rebroadcast: path, slow: {slow}{extra}}}]\nlimits: {{rate: 0}}\n"
        )

    async def flood(self, app, honest, enough):
        """Send to the path until something has happened; all that is honest reads each value. Return the count."""
        count = 0
        while not enough():
            assert count < 8_000, "it never happened"
            app.server.node.broadcaster(f"{count} ".ljust(self.MESSAGE, "-"), path="/rooms/blue")
            for stream in honest:
                text = await (stream.data() if hasattr(stream, "wire") else stream.receive())
                assert text.startswith(f"{count} ")
            count += 1
        return count

    async def numbers(self, stream, last):
        """Read on until a value has come; return the numbers of all, and the notices."""
        stream.connection.writer.transport.resume_reading()
        numbers, notices = [], []
        while not numbers or numbers[-1] != last:
            name, data, _ = await stream.event()
            if name == "message" and not data.startswith("{"):
                numbers.append(int(data.split()[0]))
            elif name == "message":
                ((kind, body),) = orjson.loads(data).items()
                if kind == "signal":
                    numbers.append(int(body["value"].split()[0]))
                else:
                    notices.append((kind, body))
            else:
                notices.append((name, orjson.loads(data)))
        return numbers, notices

    @pytest.mark.parametrize("version", ["", V1])
    async def test_disconnect_ends_it_and_harms_no_other(self, serve_slow, plain, version, settled):
        async with serve_slow("{policy: disconnect, buffer: 128KiB}") as app, app.connect("/rooms/blue") as socket_:
            honest = await plain.stream(app, "/rooms/blue")
            slow = await self.slow(app, plain, "/rooms/blue" + version)
            client = slow.client
            await self.flood(app, [honest, socket_], lambda: client.closing)
            assert client.close_code == 4008
            await settled(app, 2)
            app.server.node.broadcaster("end", path="/rooms/blue")
            assert (await honest.data(), await socket_.receive()) == ("end", "end")

    @pytest.mark.parametrize("version", ["", V1])
    @pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
    async def test_where_values_are_left_out_the_stream_says_so(self, serve_slow, plain, policy, version):
        async with serve_slow(f"{{policy: {policy}, buffer: 128KiB}}") as app, app.connect("/rooms/blue") as socket_:
            honest = await plain.stream(app, "/rooms/blue")
            slow = await self.slow(app, plain, "/rooms/blue" + version)
            client = slow.client
            count = await self.flood(
                app, [honest, socket_], lambda: client._outbox is not None and bool(client._outbox._gaps)
            )
            numbers, notices = await self.numbers(slow, count - 1)
            assert numbers == sorted(set(numbers))
            missed = sum(body["missed"] for kind, body in notices if kind == "lagged")
            assert missed == count - len(numbers) > 0
            app.server.node.broadcaster("-1 is the end", path="/rooms/blue")
            assert (await self.numbers(slow, -1))[0] == [-1]

    @pytest.mark.parametrize("version", ["", V1])
    async def test_with_catch_up_it_reads_all_that_is_kept_in_order_and_is_told_of_a_gap(
        self, serve_slow, plain, version
    ):
        slow_, extra = "{policy: catch_up, buffer: 64KiB}", ", history: {keep: 100}"
        async with serve_slow(slow_, extra) as app, app.connect("/rooms/blue") as socket_:
            honest = await plain.stream(app, "/rooms/blue")
            slow = await self.slow(app, plain, "/rooms/blue" + version)
            client = slow.client
            count = await self.flood(app, [honest, socket_], lambda: client.waiting > 0 and client.stream.top > 900)
            numbers, notices = await self.numbers(slow, count - 1)
            assert numbers == sorted(set(numbers))
            assert numbers[-100:] == list(range(count - 100, count))
            assert [body["why"] for kind, body in notices if kind == "gap"] == (
                ["slow"] if len(numbers) < count else []
            )
            assert not client.closing

    async def test_a_close_reaches_a_slow_reader_behind_all_that_waits(self, serve_slow, plain):
        async with serve_slow("{policy: disconnect, buffer: 1MiB}") as app:
            slow = await self.slow(app, plain, "/rooms/blue")
            client = slow.client
            count = await self.flood(app, [], lambda: client.waiting > 200_000)
            client.close(4009, "enough")
            slow.connection.writer.transport.resume_reading()
            events = await slow.rest()
            assert [int(data.split()[0]) for _, data, _ in events[:-1]] == list(range(count))
            assert events[-1][0] == "close"


class TestCrowds:
    """Many come and go, and nothing is left of them."""

    def holdings(self, app):
        node, sockets = app.server.node, app.server._sockets
        memory, intake = node.memory, sockets.intake
        return {
            "clients": len(node.hub.clients),
            "closing": len(node.hub.closing),
            "everyone": len(node.hub.everyone),
            "paths": len(node.hub._paths),
            "groups": len(node.hub._groups),
            "wards": len(node.hub.wards),
            "unwritten": len(node.hub._unwritten),
            "backlog": node.hub._backlog.total,
            "connections": len(sockets.connections),
            "slow": len(sockets.keepalive._slow),
            "readers": sum(each.readers for each in memory.streams),
            "repeats": len(memory.repeats),
            "connected": len(memory.sessions._connected),
            "running": len(node.running),
            "asking": node.admitter.waiting,
            "work": node.work.open,
            "requests": intake.requests,
            "inbound": sockets.inbound.held,
            "handlers": node.slots._free,
            "present": sum(len(room.ledger) for room in memory.presence._rooms.values()),
        }

    SIGNALS = """
signals:
  - {path: '/rooms/<room>', rebroadcast: path, history: 10, presence: {grace: 0, every: 10ms}}
  - {path: '/join', do: [{join: "g{{ message }}"}, {reply: {value: ok}}]}
  - {path: '/waits', do: [{wait: 30ms}, {reply: {value: ok}}]}
limits: {rate: 0, connections: 5000}
"""

    @pytest.mark.slow
    async def test_a_thousand_streams_at_once_are_served_and_their_descriptors_are_freed(
        self, sse, plain, settled, count_descriptors
    ):
        async with sse(self.SIGNALS) as app:
            before = count_descriptors()
            streams = [await plain.stream(app, f"/rooms/{n % 10}{V1 if n % 2 else ''}") for n in range(1_000)]
            assert len(app.server.node.hub.clients) == 1_000
            for number in range(10):
                app.server.node.broadcaster(f"to {number}", path=f"/rooms/{number}")
            for number, stream in enumerate(streams):
                while f"to {number % 10}".encode() not in stream.wire:
                    await stream.more()
            for number, stream in enumerate(streams):
                stream.connection.reset() if number % 3 else stream.close()
            await settled(app)
            while count_descriptors() > before:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.01)

    @pytest.mark.slow
    async def test_two_thousand_streams_that_come_and_go_leave_nothing(self, sse, plain, settled):
        async with sse(self.SIGNALS) as app:

            async def visit(number):
                stream = await plain.stream(app, f"/rooms/{number % 7}{V1 if number % 2 else ''}")
                if number % 5 == 0:
                    stream.client.join("g")
                if number % 3 == 0:
                    stream.client.close(4009)
                    await stream.rest()
                elif number % 3 == 1:
                    stream.connection.reset()
                stream.close()

            await visit(0)
            await settled(app)
            gc.collect()
            before = self.holdings(app)
            for start in range(1, 2_001, 50):
                await asyncio.gather(*(visit(number) for number in range(start, start + 50)))
            await settled(app)
            await asyncio.sleep(0.1)
            gc.collect()
            assert self.holdings(app) == before
            assert len(app.server.node.memory.sessions) <= app.server.node.memory.sessions.most

    @pytest.mark.slow
    async def test_two_thousand_posts_leave_nothing_but_what_they_have_said(self, sse, plain, settled):
        async with sse(self.SIGNALS) as app:
            reader = await plain.stream(app, "/join" + V1)
            session = (await reader.object())["welcome"]["session"]

            async def post(number):
                path = ["/rooms/1", "/join", "/waits", "/rooms/1", "/join"][number % 5]
                known = session if path == "/join" else "unknown" * (number % 2)
                answer = await plain.post(app, path, number % 3, session=known)
                assert answer.status in {200, 202}

            await post(0)
            await post(1)
            await asyncio.gather(*(post(number) for number in range(5)))
            await settled(app, 1)
            for number in range(3):
                reader.client.leave(f"g{number}")
            before, sessions = self.holdings(app), len(app.server.node.memory.sessions)
            assert before["groups"] == 0
            for start in range(0, 2_000, 50):
                await asyncio.gather(*(post(number) for number in range(start, start + 50)))
            await settled(app, 1)
            assert reader.client.groups == {"g0", "g1", "g2"}
            for number in range(3):
                reader.client.leave(f"g{number}")
            assert self.holdings(app) == before
            assert len(app.server.node.memory.sessions) == sessions
