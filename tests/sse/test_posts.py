"""Messages by POST: each is judged as on a WebSocket, and answered in the response."""

import asyncio

import orjson
import pytest

from signalpost.sockets import rate

SIGNALS = """
signals:
  - {path: '/rooms/<room>', rebroadcast: path, history: 20, targets: [path, direct]}
  - {path: /echo, rebroadcast: sender, targets: [direct]}
  - {path: /none, rebroadcast: none}
  - {path: /raw, rebroadcast: path, format: raw}
  - {path: /raw-echo, rebroadcast: sender, format: raw}
  - {path: /strict, rebroadcast: path, schema: {type: object, properties: {message: {type: integer}}}}
  - {path: /reply, do: [{reply: {value: {you: "{{ message }}"}}}, {reply: {value: more}}]}
  - {path: /waits, do: [{wait: 30ms}, {reply: {value: waited}}, {wait: 30ms}, {reply: {value: after}}]}
  - {path: /silent, do: [{set: {last: "{{ message }}"}}]}
  - {path: /fails, do: [{reply: {value: "{{ message.a.b.c }}"}}]}
  - {path: /close, do: [{close: {code: "{{ message }}", reason: enough}}]}
  - {path: /present, presence: {every: 10ms, grace: 0}, rebroadcast: path}
  - {path: /closed, connected: [{reply: {value: hi}}], rebroadcast: none}
"""
PLUGIN = """
import asyncio
from signalpost import signal, Veto

started = asyncio.Queue()
gates = []
ended = []

@signal("answers", path="/answers")
async def answers(event):
    return {"got": event.data.message, "ref": event.data.ref, "path": event.path}

@signal("goes-on", path="/goes-on")
async def goes_on(event):
    event.reply("first")
    await asyncio.sleep(0)
    event.reply("second")
    event.broadcast("third", client=event.client.id)
    await asyncio.sleep(0)
    event.broadcast("to all", path="/answers")
    event.reply("last")
    return "unused"

@signal("raises", path="/raises")
async def raises(event):
    raise RuntimeError("a secret")

@signal("closes", path="/closes")
async def closes(event):
    event.reply("early") if event.data.message == "replies" else None
    event.close(4009, "you have to go")

@signal("hold", path="/hold")
async def hold(event):
    await held(event)

@signal("cancel", path="/cancel", cancel_when_gone=True)
async def cancel(event):
    await held(event)

async def held(event):
    gate = asyncio.Event()
    gates.append(gate)
    started.put_nowait(event.client)
    try:
        await gate.wait()
        event.broadcast(f"done {event.data.message}", path="/answers")
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    else:
        ended.append("done")
"""


@pytest.fixture
def app(sse):
    return sse(SIGNALS, plugins={"p": PLUGIN})


def module_of(app):
    (found,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
    return found


def nobody_is_left(app):
    node = app.server.node
    return not node.hub.clients and not node.hub.closing and not node.running and not len(node.memory.sessions)


class TestAnswers:
    async def test_a_message_that_is_passed_on_is_acknowledged_with_its_position(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/rooms/blue")
            answer = await plain.post(running, "/rooms/blue", "hi", ref=7)
            _, data, at = await stream.event()
            assert (answer.status, data) == (202, "hi")
            assert answer.json == {"ack": {"at": at}}
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["vary"] == "accept"
            assert len(answer.headers["x-signalpost-client-id"]) == 32

    @pytest.mark.parametrize(
        ("request_", "status", "expected"),
        [
            (("/none", "hi"), 202, {"ack": {}}),
            (("/silent", "hi"), 202, {"ack": {}}),
            (("/echo", [1]), 202, {"ack": {}, "signals": [{"path": "/echo", "value": [1]}]}),
            (
                ("/reply", "me"),
                200,
                {"reply": {"value": {"you": "me"}}, "signals": [{"path": "/reply", "value": "more"}]},
            ),
            (("/waits", 1), 200, {"reply": {"value": "waited"}, "signals": [{"path": "/waits", "value": "after"}]}),
            (("/answers", 1), 200, {"reply": {"value": {"got": 1, "ref": None, "path": "/answers"}}}),
            (
                ("/goes-on", 1),
                200,
                {
                    "reply": {"value": "first"},
                    "signals": [{"path": "/goes-on", "value": text} for text in ("second", "third", "last")],
                },
            ),
        ],
    )
    async def test_what_is_sent_to_the_sender_alone_is_in_the_answer(self, app, plain, request_, status, expected):
        async with app as running:
            answer = await plain.post(running, *request_)
            assert (answer.status, answer.json) == (status, expected)
            assert nobody_is_left(running)

    async def test_what_a_handler_returns_to_a_post_is_not_said_to_be_dropped(self, app, plain, caplog):
        async with app as running:
            assert (await plain.post(running, "/answers", 1)).status == 200
        assert "nobody gets" not in caplog.text

    async def test_the_mark_of_a_message_changes_nothing_but_what_a_handler_sees(self, app, plain):
        async with app as running:
            for ref in (7, "x", 0, ""):
                answer = await plain.post(running, "/rooms/blue", "hi", ref=ref)
                assert (answer.status, *answer.json) == (202, "ack")
                assert "ref" not in answer.json["ack"]
            answer = await plain.post(running, "/answers", 1, ref="mine")
            assert answer.json == {"reply": {"value": {"got": 1, "ref": "mine", "path": "/answers"}}}
            answer = await plain.post(running, "/rooms/blue", 1, ref=[1])
            assert answer.status == 400 or answer.json.keys() == {"ack"}

    async def test_a_message_for_the_sender_alone_comes_in_the_answer(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/rooms/blue")
            answer = await plain.post(running, "/rooms/blue", "mine", direct=True)
            assert (answer.status, answer.json) == (
                202,
                {"ack": {}, "signals": [{"path": "/rooms/blue", "value": "mine"}]},
            )
            await plain.post(running, "/rooms/blue", "end")
            assert await stream.until("end") == []

    async def test_it_is_in_no_audience(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/hold")
            asking = asyncio.create_task(plain.post(running, "/hold", 1))
            client = await module_of(running).started.get()
            node = running.server.node
            assert client.id in node.hub.clients
            client.join("g")
            counts = [
                node.broadcaster("x").matched,
                node.broadcaster("x", path="/hold").matched,
                node.broadcaster("x", group="g").matched,
                node.broadcaster("for it", client=client.id).matched,
            ]
            assert counts == [1, 1, 0, 1]
            client.leave("g")
            module_of(running).gates[0].set()
            answer = await asking
            assert answer.json == {"ack": {}, "signals": [{"path": None, "value": "for it"}]}
            assert [await stream.data(), await stream.data()] == ["x", "x"]

    async def test_a_request_for_the_history_or_who_is_present_is_answered(self, app, plain):
        async with app as running:
            ats = [(await plain.post(running, "/rooms/blue", value)).json["ack"]["at"] for value in "abc"]
            answer = await plain.post(running, "/rooms/blue", raw=b'{"signalpost":{"history":{"limit":2}}}')
            assert answer.status == 200
            assert answer.json == {
                "history": {
                    "path": "/rooms/blue",
                    "signals": [
                        {"path": "/rooms/blue", "at": at, "value": value}
                        for at, value in zip(ats[1:], "bc", strict=True)
                    ],
                    "at": ats[2],
                    "more": True,
                }
            }
            after = orjson.dumps({"signalpost": {"history": {"after": ats[1]}}, "ref": 3})
            assert (await plain.post(running, "/rooms/blue", raw=after)).json["history"]["at"] == ats[2]
            stream = await plain.stream(running, "/present?v=1")
            answer = await plain.post(running, "/present", raw=b'{"signalpost":{"presence":{}}}')
            assert (answer.status, answer.json["presence"]["count"]) == (200, 1), "who asks is not there"
            assert answer.json["presence"]["users"].keys() == {stream.id}

    @pytest.mark.parametrize(
        ("path", "body", "expected"),
        [
            ("/rooms/blue", b"no json", (400, "bad-message")),
            ("/rooms/blue", b"", (400, "bad-message")),
            ("/rooms/blue", b"[" * 100_000, (400, "bad-message")),
            ("/rooms/blue", b'{"message":' + b"[" * 900 + b"]" * 900 + b"}", (400, "bad-message")),
            ("/rooms/blue", b'{"message":{"error":{"code":"forbidden","detail":"x"}}}', (400, "bad-message")),
            ("/rooms/blue", b'{"message":1,"group":"g"}', (403, "target-not-allowed")),
            ("/rooms/blue", b'{"message":1,"clientId":"x"}', (403, "target-not-allowed")),
            ("/strict", b'{"message":"text"}', (422, "schema-mismatch")),
            ("/rooms/blue", b'{"signalpost":{"presence":{}}}', (400, "unknown-request")),
            ("/rooms/blue", b'{"signalpost":{"history":{"path":"/rooms/red"}}}', (403, "forbidden")),
            ("/rooms/blue", b'{"signalpost":{"history":{"after":"6bvws1:5:hypf"}}}', (410, "unknown-position")),
            ("/fails", b'{"message":1}', (500, "handler-failed")),
            ("/raises", b'{"message":1}', (500, "handler-failed")),
        ],
    )
    async def test_an_error_has_the_status_that_its_code_has_elsewhere(self, app, plain, path, body, expected):
        async with app as running:
            answer = await plain.post(running, path, raw=body)
            assert (answer.status, answer.json["error"]["code"]) == expected
            assert answer.json["error"].keys() <= {"code", "pointer", "detail"}
            assert b"secret" not in answer.body
            assert nobody_is_left(running)

    async def test_a_deep_value_is_judged_and_read_as_on_a_websocket(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/rooms/blue")
            deep = b"[" * 100 + b"]" * 100
            assert (await plain.post(running, "/rooms/blue", raw=b'{"message":%b}' % deep)).status == 202
            assert await stream.data() == deep.decode()
            answer = await plain.post(running, "/echo", raw=b'{"message":%b}' % deep)
            assert answer.json["signals"][0]["value"] == orjson.loads(deep)
            for depth in (240, 252, 253, 254, 255, 300):  # near what orjson writes at most
                deep = b"[" * depth + b"]" * depth
                answer = await plain.post(running, "/echo", raw=b'{"message":%b}' % deep)
                assert answer.status in {202, 400}, (depth, answer.head)
            assert list(running.server.node.hub.clients) == [stream.id]

    async def test_a_handler_that_closes_the_client_refuses_its_message(self, app, plain):
        async with app as running:
            answer = await plain.post(running, "/closes", 1)
            assert (answer.status, answer.json["error"]) == (403, {"code": "forbidden", "detail": "you have to go"})
            answer = await plain.post(running, "/closes", "replies")
            assert (answer.status, answer.json) == (200, {"reply": {"value": "early"}})
            for code, status in ((4009, 403), (1008, 403), (1000, 403), (1011, 503), (1012, 503)):
                answer = await plain.post(running, "/close", code)
                assert answer.status == status, answer.body
            assert nobody_is_left(running)

    async def test_a_signal_with_connected_takes_no_post_and_says_what_it_takes(self, app, plain):
        async with app as running:
            answer = await plain.post(running, "/closed", 1)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert (await (await plain.stream(running, "/closed")).data()) == "hi"


class TestBodies:
    async def test_raw_frames_are_passed_on_as_they_are(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/raw")
            answer = await plain.post(running, "/raw", raw='not "JSON" ä'.encode())
            assert (answer.status, answer.json) == (202, {"ack": {}})
            assert await stream.data() == 'not "JSON" ä'
            answer = await plain.post(running, "/raw-echo", raw=b"a\nb\xc2\x85c")
            assert answer.json == {"ack": {}, "signals": [{"path": "/raw-echo", "value": "a\nb\x85c"}]}

    @pytest.mark.parametrize(
        "kind", ["", "text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "é"]
    )
    async def test_whatever_its_type_a_body_is_the_text_of_a_message(self, app, plain, kind):
        async with app as running:
            stream = await plain.stream(running, "/rooms/blue")
            answer = await plain.post(running, "/rooms/blue", "hi", *([f"Content-Type: {kind}"] if kind else ()))
            assert answer.status == 202
            assert await stream.data() == "hi"

    async def test_a_binary_body_is_refused_where_a_binary_frame_is(self, app, plain):
        async with app as running:
            for kind in ("application/octet-stream", "Application/Octet-Stream; x=1"):
                answer = await plain.post(running, "/rooms/blue", "hi", f"Content-Type: {kind}")
                assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported-frame")

    @pytest.mark.parametrize("body", [b"\xff", b'{"message":"\xc3"}', b"\xed\xa0\x80", b"\xc0\x80"])
    @pytest.mark.parametrize("path", ["/rooms/blue", "/raw"])
    async def test_a_body_that_is_not_utf_8_is_refused(self, app, plain, path, body):
        async with app as running:
            assert (await plain.post(running, path, raw=body)).status == 400
            assert nobody_is_left(running)

    async def test_a_message_that_is_larger_than_messages_may_be_is_413(self, sse, plain):
        text = SIGNALS + "limits: {message: 1KiB}\n"
        async with sse(text, plugins={"p": PLUGIN}) as running:
            stream = await plain.stream(running, "/rooms/blue")
            fits = orjson.dumps({"message": "x" * (1024 - len('{"message":""}'))})
            assert len(fits) == 1024
            assert (await plain.post(running, "/rooms/blue", raw=fits)).status == 202
            assert (await plain.post(running, "/rooms/blue", raw=fits + b" ")).status == 413
            connection = await plain.connect(running)
            await connection.send(
                plain.request("POST", "/rooms/blue", ("Transfer-Encoding: chunked",))
                + b"3e8\r\n"
                + b"x" * 1000
                + b"\r\n3e8\r\n"
                + b"x" * 1000
                + b"\r\n0\r\n\r\n"
            )
            assert (await connection.answer()).status == 413
            await plain.post(running, "/rooms/blue", "end")
            assert len(await stream.until("end")) == 1

    async def test_a_body_may_come_in_chunks_and_after_the_server_has_asked_for_it(self, app, plain):
        async with app as running:
            connection = await plain.connect(running)
            await connection.send(
                plain.request("POST", "/echo", ("Transfer-Encoding: chunked",))
                + b'5\r\n{"mes\r\n6;x=y\r\nsage":\r\n3\r\n12}\r\n0\r\n\r\n'
            )
            assert (await connection.answer()).json["signals"][0]["value"] == 12
            head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n"
            await connection.send(head)
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await connection.send(b'{"message":1}')
            assert (await connection.answer()).json["signals"][0]["value"] == 1

    async def test_requests_on_one_connection_are_answered_in_order(self, app, plain):
        async with app as running:
            connection = await plain.connect(running)
            paths = ["/waits", "/echo", "/none", "/fails", "/rooms/blue", "/reply"]
            await connection.send(
                b"".join(plain.request("POST", path, body=orjson.dumps({"message": path})) for path in paths)
            )
            answers = [await connection.answer() for _ in paths]
            assert [answer.status for answer in answers] == [200, 202, 202, 500, 202, 200]
            assert answers[1].json["signals"] == [{"path": "/echo", "value": "/echo"}]
            assert len({answer.headers["x-signalpost-client-id"] for answer in answers if answer.status != 500}) == 5
            assert nobody_is_left(running)

    async def test_a_client_of_http_1_0_is_answered_and_its_connection_ends(self, app, plain):
        async with app as running:
            connection = await plain.connect(running)
            await connection.send(plain.request("POST", "/echo", body=b'{"message":1}', version="1.0"))
            answer = await connection.answer()
            assert answer.json["signals"] == [{"path": "/echo", "value": 1}]
            assert await connection.ended() == b""

    async def test_a_post_that_asks_for_an_event_stream_is_a_message_like_any_other(self, app, plain):
        async with app as running:
            answer = await plain.post(running, "/echo", 1, plain.accept)
            assert (answer.status, answer.headers["content-type"]) == (202, "application/json")

    async def test_an_error_is_a_page_for_who_prefers_pages(self, app, plain):
        async with app as running:
            answer = await plain.ask(running, "GET", "/rooms/blue", "Accept: text/html,*/*;q=0.8")
            assert (answer.status, answer.headers["content-type"]) == (406, "text/html; charset=utf-8")
            assert b"EventSource" in answer.body


class TestGone:
    async def test_a_handler_goes_on_when_its_client_hangs_up(self, app, plain, settled):
        async with app as running:
            stream = await plain.stream(running, "/answers")
            module = module_of(running)
            for number in range(3):
                connection = await plain.connect(running)
                await connection.send(plain.request("POST", "/hold", body=b'{"message":%d}' % number))
                await module.started.get()
                connection.close() if number else connection.reset()
                await settled(running, 1)
                module.gates[-1].set()
                assert await stream.data() == f"done {number}"
            assert module.ended == ["done"] * 3

    async def test_a_handler_that_is_to_end_with_its_client_is_cancelled(self, app, plain, settled):
        async with app as running:
            module = module_of(running)
            connection = await plain.connect(running)
            await connection.send(plain.request("POST", "/cancel", body=b'{"message":1}'))
            await module.started.get()
            connection.close()
            await settled(running)
            while running.server.node.running:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0)
            assert module.ended == ["cancelled"]
            assert nobody_is_left(running)

    async def test_a_message_whose_client_hangs_up_before_its_end_is_not_handled(self, app, plain):
        async with app as running:
            stream = await plain.stream(running, "/rooms/blue")
            connection = await plain.connect(running)
            await connection.send(plain.request("POST", "/rooms/blue", body=b'{"message":"half"}')[:-2])
            connection.close()
            await plain.post(running, "/rooms/blue", "end")
            assert await stream.until("end") == []


async def test_a_message_that_waits_for_its_turn_among_all_handlers_is_answered_when_it_has_had_it(sse, plain):
    async with sse(SIGNALS + "limits: {handlers: 1}\n", plugins={"p": PLUGIN}) as running:
        first = asyncio.create_task(plain.post(running, "/hold", "first"))
        module = module_of(running)
        await module.started.get()
        further = [asyncio.create_task(plain.post(running, path, 1)) for path in ("/answers", "/waits", "/goes-on")]
        while len(running.server.node.hub.clients) < 4:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)
        assert not any(each.done() for each in further)
        module.gates[0].set()
        assert (await first).json == {"ack": {}}
        assert [next(iter((await each).json)) for each in further] == ["reply"] * 3
        assert nobody_is_left(running)


class TestRate:
    @pytest.fixture
    def clock(self, monkeypatch):
        """Let allowances follow a clock of the test's own."""
        moment = [0.0]
        begin = rate.Allowance.__init__

        def init(self, pace, _clock):
            begin(self, pace, lambda: moment[0])

        monkeypatch.setattr(rate.Allowance, "__init__", init)
        return moment

    async def test_messages_beyond_the_rate_are_429_until_time_has_passed(self, sse, plain, clock):
        async with sse(SIGNALS + "limits: {rate: 2/s}\n", plugins={"p": PLUGIN}) as running:
            connection, again = await plain.connect(running), await plain.connect(running)
            other = await plain.connect(running, local_addr=("127.0.0.2", 0))
            request = plain.request("POST", "/echo", body=b'{"message":1}')

            async def statuses(count, connection=connection):
                await connection.send(request * count)
                return [(await connection.answer()).status for _ in range(count)]

            assert await statuses(5) == [202] * 4 + [429]
            await connection.send(request)
            answer = await connection.answer()
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            assert answer.json["error"]["code"] == "too-many-requests"
            assert await statuses(1, again) == [429], "another connection of the same address earns nothing"
            assert await statuses(4, other) == [202] * 4, "another address has an allowance of its own"
            clock[0] += 0.5
            assert await statuses(2) == [202, 429]
            clock[0] += 60
            assert await statuses(6) == [202] * 4 + [429] * 2
            assert nobody_is_left(running)

    async def test_the_bytes_of_messages_count_too(self, sse, plain, clock):
        text = SIGNALS + "limits: {message: 1KiB, rate: {frames: 0, bytes: 1KiB/s}}\n"
        async with sse(text, plugins={"p": PLUGIN}) as running:
            connection = await plain.connect(running)
            body = orjson.dumps({"message": "x" * 1_000})
            await connection.send(plain.request("POST", "/none", body=body) * 4)
            assert [(await connection.answer()).status for _ in range(4)] == [202, 202, 202, 429]
            clock[0] += 3
            await connection.send(plain.request("POST", "/none", body=body))
            assert (await connection.answer()).status == 202

    async def test_with_a_session_there_is_one_allowance_for_all_connections(self, sse, plain, clock):
        async with sse(SIGNALS + "limits: {rate: 2/s}\n", plugins={"p": PLUGIN}) as running:
            stream = await plain.stream(running, "/echo?v=1")
            session = (await stream.object())["welcome"]["session"]
            statuses = [(await plain.post(running, "/echo", 1, session=session)).status for _ in range(6)]
            assert statuses == [202] * 4 + [429] * 2
            clock[0] += 0.5
            assert (await plain.post(running, "/echo", 1, session=session)).status == 202
            assert (await plain.post(running, "/echo", 1)).status == 202
