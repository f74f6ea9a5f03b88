"""Event streams on the wire: what a client that requests a signal by plain HTTP reads, byte by byte."""

import asyncio
import base64
import socket

import orjson
import pytest

from signalpost.testing import serve

ECHO = "signals: [{path: '/rooms/<room>', rebroadcast: path, targets: [path, group, clientId, direct]}]"
KEPT = "signals: [{path: '/rooms/<room>', rebroadcast: path, history: {keep: 5, replay: 2}}]"
V1 = "?v=1"


async def says(app, plain, path, *values):
    """Send values by POST; return where they are in the history."""
    answers = [await plain.post(app, path, value) for value in values]
    assert {answer.status for answer in answers} == {202}, [answer.body for answer in answers]
    return [answer.json["ack"].get("at") for answer in answers]


class TestHead:
    async def test_a_stream_has_a_head_that_keeps_caches_and_proxies_from_holding_it_back(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            headers = stream.answer.headers
            assert stream.answer.head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert headers["content-type"].partition(";")[0] == "text/event-stream"
            assert headers["cache-control"] == "no-store"
            assert headers["x-accel-buffering"] == "no"
            assert headers["vary"] == "accept"
            assert headers["connection"] == "close"
            assert headers["x-content-type-options"] == "nosniff"
            assert "date" in headers
            assert not {"content-length", "transfer-encoding", "keep-alive"} & headers.keys()
            assert stream.id in app.server.node.hub.clients

    async def test_the_endpoints_headers_are_in_the_head_of_a_stream_and_of_an_answer(self, plain):
        text = """
            endpoints:
              - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse], headers: {x-of-us: "1"}}
            signals: [{path: /rooms/<room>, rebroadcast: path}]
        """
        async with serve(text) as app:
            assert (await plain.stream(app, "/rooms/blue")).answer.headers["x-of-us"] == "1"
            assert (await plain.post(app, "/rooms/blue", "hi")).headers["x-of-us"] == "1"

    async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_its_connection(self, sse, plain):
        async with sse(ECHO) as app:
            connection = await plain.connect(app)
            await connection.send(plain.request("GET", "/rooms/blue", (plain.accept,), version="1.0"))
            answer = await connection.head()
            assert answer.status == 200
            assert "transfer-encoding" not in answer.headers
            await says(app, plain, "/rooms/blue", "hi")
            assert await connection.reader.readuntil(b"hi\n\n")


class TestValues:
    async def test_a_plain_client_reads_bare_values_and_the_time_to_come_back_first(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            await says(app, plain, "/rooms/blue", "hello", {"n": 1}, [1, "ä"], 7, False)
            assert [await stream.data() for _ in range(5)] == ["hello", '{"n":1}', '[1,"ä"]', "7", "false"]
            assert stream.wire == (
                'retry: 2000\n\ndata: hello\n\ndata: {"n":1}\n\ndata: [1,"ä"]\n\ndata: 7\n\ndata: false\n\n'.encode()
            )
            assert stream.parser.retry == 2_000

    async def test_no_text_can_add_a_field_or_an_event_of_its_own(self, sse, plain):
        texts = [
            "a\nb",
            "a\r\nb",
            "a\rb",
            "\rid: 666",
            "a\rid: 666\revent: close\rretry: 1\r\rdata: forged",
            "\nevent: gap",
            "\n\ndata: x\n\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "ends with one\n",
            "ends with one\r",
            ": no comment",
            " begins with a space",
            "  two",
            "data: data",
            "retry: 3",
            "\ufeffmark",
            "nul \0 byte",
            "separator \u2028 \u2029 \x85 \x0b \x0c \x1c",
        ]
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            await says(app, plain, "/rooms/blue", *texts)
            for text in texts:
                assert await stream.event() == ("message", text.replace("\r\n", "\n").replace("\r", "\n"), "")
            assert (stream.parser.retry, stream.parser.comments, stream.parser.unknown) == (2_000, 0, [])
            assert b"\r" not in stream.wire

    async def test_an_empty_text_comes_as_an_event_where_a_signal_passes_one_on(self, sse, plain):
        async with sse("signals: [{path: /raw, rebroadcast: path, format: raw}]") as app:
            stream = await plain.stream(app, "/raw")
            await plain.post(app, "/raw", raw=b"")
            await plain.post(app, "/raw", raw=b"a\r\nb\rc")
            assert await stream.data() == ""
            assert await stream.data() == "a\nb\nc"

    async def test_a_binary_frame_of_a_raw_signal_is_an_event_of_its_own_in_base64(self, both, plain):
        data = bytes(range(256))
        async with both("signals: [{path: /raw, rebroadcast: path, format: raw}]") as app, app.connect("/raw") as ada:
            stream = await plain.stream(app, "/raw")
            structured = await plain.stream(app, "/raw" + V1)
            await structured.object()
            await ada.send_raw(data)
            assert await stream.event() == ("binary", base64.b64encode(data).decode(), "")
            assert await structured.event() == ("binary", base64.b64encode(data).decode(), "")
            await plain.ask(app, "POST", "/raw", "Content-Type: application/octet-stream", body=b"\xff\x00")
            assert await stream.event() == ("binary", "/wA=", "")
            assert [await ada.receive(), await ada.receive()] == [data, b"\xff\x00"]

    async def test_a_value_for_a_stream_alone_its_groups_or_its_path_reaches_it(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            stream.client.join("g")
            await plain.post(app, "/rooms/red", "by id", clientId=stream.id)
            await plain.post(app, "/rooms/red", "by group", group="g")
            await plain.post(app, "/rooms/red", "by path", path="/ROOMS/blue")
            await plain.post(app, "/rooms/red", "not for it")
            await plain.post(app, "/rooms/blue", "end")
            assert await stream.until("end") == ["by id", "by group", "by path"]

    async def test_a_websocket_and_a_stream_read_the_same_values_in_the_same_order(self, both, plain):
        async with both(ECHO) as app, app.connect("/rooms/blue") as ada:
            stream = await plain.stream(app, "/rooms/blue")
            for number in range(40):
                if number % 2:
                    await ada.send(str(number))
                    assert await ada.receive() == str(number)
                else:
                    await says(app, plain, "/rooms/blue", str(number))
                    assert await ada.receive() == str(number)
            assert [await stream.data() for _ in range(40)] == [str(number) for number in range(40)]

    async def test_what_is_sent_in_one_turn_comes_whole_however_long_it_is(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            texts = [f"{number}{'é' * 20_000}\n" for number in range(10)]
            for text in texts:
                app.server.node.broadcaster(text, path="/rooms/blue")
            assert [await stream.data() for _ in texts] == texts


class TestV1:
    async def test_a_client_reads_the_objects_of_v1_each_in_one_event(self, sse, plain):
        async with sse(KEPT) as app:
            stream = await plain.stream(app, "/rooms/blue" + V1)
            welcome = (await stream.object())["welcome"]
            assert welcome.keys() == {"clientId", "path", "session", "at", "missed"}
            assert welcome["clientId"] == stream.id
            assert stream.parser.last_id == welcome["at"]
            (at,) = await says(app, plain, "/rooms/blue", "one\r\ntwo")
            assert await stream.object() == {"signal": {"path": "/rooms/blue", "at": at, "value": "one\r\ntwo"}}
            assert stream.parser.last_id == at
            assert stream.wire.startswith(b"retry: 2000\nid: ")

    async def test_lagged_values_and_closes_are_objects_too(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue" + V1)
            await stream.object()
            stream.client.close(4009, "en\r\nough")
            assert [orjson.loads(data) for _, data, _ in await stream.rest()] == [
                {"close": {"code": 4009, "reason": "en\r\nough"}}
            ]

    @pytest.mark.parametrize("version", ["2", "01", "v1", "1 "])
    async def test_a_version_that_is_none_is_refused_with_what_there_is(self, sse, plain, version):
        async with sse(ECHO) as app:
            answer = await plain.ask(app, "GET", f"/rooms/blue?v={version.replace(' ', '%20')}", plain.accept)
            assert answer.status == 400
            assert "?v=1" in answer.json["error"]["detail"]


class TestPositions:
    async def test_the_position_of_a_kept_value_is_its_id_and_the_beginning_has_one(self, sse, plain):
        async with sse(KEPT) as app:
            stream = await plain.stream(app, "/rooms/blue")
            positions = await says(app, plain, "/rooms/blue", "a", "b")
            assert [await stream.event(), await stream.event()] == [
                ("message", "a", positions[0]),
                ("message", "b", positions[1]),
            ]
            first = stream.wire.split(b"\n\n")[0].decode()
            assert first.startswith("retry: 2000\nid: ")
            came = first.partition("id: ")[2]
            late = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {came}")
            assert [await late.data(), await late.data()] == ["a", "b"], "who read only that misses nothing"

    async def test_a_stream_that_still_has_values_to_come_has_no_id_before_they_have_come(self, sse, plain):
        async with sse(KEPT) as app:
            _, _, last = await says(app, plain, "/rooms/blue", "a", "b", "c")
            stream = await plain.stream(app, "/rooms/blue")
            assert await stream.data() == "b"
            assert await stream.event() == ("message", "c", last)
            assert stream.wire.startswith(b"retry: 2000\n\nid: ")

    async def test_the_last_event_id_of_a_browser_wins_over_the_older_position_in_its_address(self, sse, plain):
        async with sse(KEPT) as app:
            one, two, three = await says(app, plain, "/rooms/blue", "1", "2", "3")
            by_query = await plain.stream(app, f"/rooms/blue?at={one}")
            assert [await by_query.data(), await by_query.data()] == ["2", "3"]
            both = await plain.stream(app, f"/rooms/blue?at={one}", f"Last-Event-ID: {two}")
            assert await both.event() == ("message", "3", three)
            empty = await plain.stream(app, f"/rooms/blue?at={one}", "Last-Event-ID: ")
            assert await empty.data() == "2"

    @pytest.mark.parametrize("position", ["rubbish", "6bvws1:5:hypf", "x" * 2_000, "%00", "\u00ff\u00fe"])
    async def test_an_unknown_position_is_told_with_a_gap_from_which_it_goes_on(self, sse, plain, position):
        async with sse(KEPT) as app:
            _, two, three = await says(app, plain, "/rooms/blue", "1", "2", "3")
            stream = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {position}")
            name, data, at = await stream.event()
            told = orjson.loads(data)
            assert (name, told["why"], told["path"], told["at"]) == ("gap", "lost", "/rooms/blue", at)
            assert [await stream.event(), await stream.event()] == [("message", "2", two), ("message", "3", three)]
            again = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {at}")
            assert [await again.data(), await again.data()] == ["2", "3"]

    async def test_a_position_that_is_too_old_is_told_with_a_gap(self, sse, plain):
        async with sse(KEPT) as app:
            positions = await says(app, plain, "/rooms/blue", *"abcdefgh")
            stream = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {positions[0]}")
            name, data, _ = await stream.event()
            assert (name, orjson.loads(data)["why"]) == ("gap", "too-old")
            assert [await stream.data(), await stream.data()] == ["g", "h"]
            structured = await plain.stream(app, f"/rooms/blue{V1}", f"Last-Event-ID: {positions[0]}")
            kinds = [await structured.object() for _ in range(4)]
            assert kinds[0]["welcome"]["recovered"] is False
            assert kinds[1]["gap"]["why"] == "too-old"
            assert [each["signal"]["value"] for each in kinds[2:]] == ["g", "h"]

    async def test_a_path_without_a_history_has_no_ids_and_looks_at_no_position(self, sse, plain):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue", "Last-Event-ID: 6bvws1:5:hypf")
            await says(app, plain, "/rooms/blue", "a")
            assert await stream.event() == ("message", "a", "")
            assert b"id:" not in stream.wire

    async def test_a_client_that_comes_back_again_and_again_reads_each_value_once_and_in_order(self, sse, plain):
        async with sse(KEPT.replace("keep: 5", "keep: 1000")) as app:
            stream = await plain.stream(app, "/rooms/blue")
            heard, said = [], 0
            for round_ in range(20):
                for _ in range(round_ % 4 + 1):
                    await says(app, plain, "/rooms/blue", str(said))
                    said += 1
                if round_ % 3:  # else it has read none of them
                    while not heard or heard[-1] != str(said - 1):
                        heard.append(await stream.data())
                last = stream.parser.last_id
                if not last:  # it has not even read where it is
                    await stream.more()
                    last = stream.parser.last_id
                    heard += [data for _, data, _ in stream._events]
                stream.close()
                stream = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {last}")
            while not heard or heard[-1] != str(said - 1):
                heard.append(await stream.data())
            assert heard == [str(number) for number in range(said)]

    async def test_where_a_position_in_the_head_has_lone_bytes_the_server_goes_on(self, sse, plain):
        async with sse(KEPT) as app:
            connection = await plain.connect(app)
            head = b"GET /rooms/blue HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            await connection.send(head + b"Last-Event-ID: \xff\xfe\x80\r\nLAST-EVENT-ID: twice\r\n\r\n")
            assert (await connection.head()).status == 200
            assert b"event: gap\n" in await connection.reader.readuntil(b'"why":"lost"}\n\n')


class TestClient:
    async def test_a_stream_counts_as_a_client_and_is_gone_when_its_connection_ends(self, sse, plain, settled):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/Blue" + V1)
            plainer = await plain.stream(app, "/rooms/Blue")
            views = {view.id: view for view in app.server.inspect().clients}
            assert {stream.id: "sse.v1", plainer.id: "sse"} == {key: view.protocol for key, view in views.items()}
            assert {(view.path, view.endpoint) for view in views.values()} == {("/rooms/Blue", "web")}
            stream.close()
            plainer.connection.reset()
            await settled(app)

    async def test_a_client_that_ends_its_half_of_the_connection_has_left(self, sse, plain, settled):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            stream.connection.writer.write_eof()
            assert await stream.rest() == []
            await settled(app)

    async def test_literals_are_compared_without_case_and_parameters_are_decoded(self, sse, plain):
        async with sse("signals: [{path: '/Rooms/<room>', rebroadcast: path}]") as app:
            stream = await plain.stream(app, "/rOOMS/caf%C3%A9%20%2F1")
            assert stream.client.params == {"room": "café /1"}
            await says(app, plain, "/ROOMS/caf%c3%a9%20%2f1", "hi")
            await says(app, plain, "/rooms/CAF%C3%89", "another room")
            await says(app, plain, "/rooms/caf%C3%A9%20%2F1", "end")
            assert await stream.until("end") == ["hi"]

    @pytest.mark.parametrize("path", ["/rooms/%ff", "/rooms/%00", "/rooms/a/b", "/rooms", "/none", "//rooms/a", "/"])
    async def test_what_no_signal_declares_is_404_over_http(self, both, plain, path):
        async with both(ECHO) as app:
            for method, body in (("GET", None), ("HEAD", None), ("POST", b"{}")):
                assert (await plain.ask(app, method, path, plain.accept, body=body)).status == 404
            async with app.connect("/none") as ada:  # as always
                await ada.send("hi")
                assert await ada.receive() == "hi"

    async def test_a_signal_of_another_endpoint_is_served_only_there(self, both, plain):
        text = """
            signals:
              - {path: /sockets, rebroadcast: path, endpoint: live}
              - {path: /plain, rebroadcast: path, endpoint: web}
              - {path: /each, rebroadcast: path, endpoint: [web, live]}
            undeclared: refuse
        """
        async with both(text) as app:
            for path, there in (("/sockets", False), ("/plain", True), ("/each", True)):
                answer = await plain.post(app, path, "hi")
                assert answer.status == (202 if there else 404)
                if there:
                    await plain.stream(app, path)
            async with app.connect("/sockets"), app.connect("/each"):
                pass
            with pytest.raises(Exception, match="404"):
                await app.connect("/plain").__aenter__()

    async def test_it_counts_in_limits_connections_with_websockets_and_messages(self, both, plain, settled):
        async with both(ECHO + "\nlimits: {connections: 2}") as app, app.connect("/rooms/blue"):
            stream = await plain.stream(app, "/rooms/blue")
            for method, body in (("GET", None), ("POST", b'{"message":1}')):
                answer = await plain.ask(app, method, "/rooms/blue", plain.accept, body=body)
                assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            with pytest.raises(Exception, match="503"):
                await app.connect("/rooms/blue").__aenter__()
            stream.close()
            await settled(app, 1)
            await plain.stream(app, "/rooms/blue")

    async def test_connected_and_disconnected_run_as_for_a_websocket(self, sse, plain):
        text = """
            signals:
              - path: /rooms/<room>
                rebroadcast: none
                connected: [{reply: {value: "hello {{ client.id }}"}}, {broadcast: {value: came, path: /log}}]
                disconnected: [{broadcast: {value: "gone {{ code }}", path: /log}}]
              - {path: /log}
        """
        async with sse(text) as app:
            log = await plain.stream(app, "/log")
            one, two = await plain.stream(app, "/rooms/a"), await plain.stream(app, "/rooms/b")
            assert await one.data() == f"hello {one.id}"
            one.close()
            assert [await log.data() for _ in range(3)] == ["came", "came", "gone 1005"]
            two.client.close(4009)
            assert await log.data() == "gone 4009"

    async def test_a_connected_list_that_waits_holds_the_client_out_of_audiences(self, sse, plain):
        plugin = """
            import asyncio
            from signalpost import action

            go = asyncio.Event()

            @action("hold")
            async def hold(event, options):
                await go.wait()
        """
        text = "signals: [{path: /a, rebroadcast: none, connected: [{hold: {}}, {reply: {value: hello}}]}]"
        async with sse(text, plugins={"p": plugin}) as app:
            stream = await plain.stream(app, "/a")
            app.server.node.broadcaster("too early")
            (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
            module.go.set()
            assert await stream.data() == "hello"
            app.server.node.broadcaster("later")
            assert await stream.data() == "later"

    async def test_an_app_closes_a_stream_with_the_reason_behind_what_was_sent(self, sse, plain, settled):
        async with sse(ECHO) as app:
            stream = await plain.stream(app, "/rooms/blue")
            app.server.node.broadcaster("last", path="/rooms/blue")
            stream.client.close(4009, "enough\r\nid: 3")
            (_, last, _), (name, data, at) = await stream.rest()
            assert (last, name, orjson.loads(data), at) == (
                "last",
                "close",
                {"code": 4009, "reason": "enough\r\nid: 3"},
                "",
            )
            await settled(app)


class TestUpstream:
    async def test_what_a_client_sends_behind_its_request_is_no_request(self, sse, plain):
        async with sse(ECHO) as app:
            connection = await plain.connect(app)
            post = plain.request("POST", "/rooms/blue", body=b'{"message":"smuggled"}')
            await connection.send(plain.request("GET", "/rooms/blue", (plain.accept,)) + post)
            assert (await connection.head()).status == 200
            await connection.send(post * 3)
            await says(app, plain, "/rooms/blue", "end")
            assert await connection.reader.readuntil(b"end\n\n") == b"retry: 2000\n\ndata: end\n\n"

    async def test_megabytes_behind_a_request_end_that_stream_and_no_other(self, sse, plain, settled):
        async with sse(ECHO) as app:
            honest, loud = await plain.stream(app, "/rooms/blue"), await plain.stream(app, "/rooms/blue")
            with pytest.raises(ConnectionError):
                await loud.connection.send(bytes(64 * 1024 * 1024))
            await settled(app, 1)
            await says(app, plain, "/rooms/blue", "end")
            assert await honest.until("end") == []

    async def test_a_body_with_the_request_of_a_stream_is_not_taken_for_a_message(self, sse, plain):
        async with sse(ECHO) as app:
            connection = await plain.connect(app)
            await connection.send(plain.request("GET", "/rooms/blue", (plain.accept,), body=b'{"message":"body"}'))
            assert (await connection.head()).status == 200
            await says(app, plain, "/rooms/blue", "end")
            assert b"body" not in await connection.reader.readuntil(b"end\n\n")

    async def test_requests_before_it_on_its_connection_are_answered_first(self, sse, plain):
        async with sse(ECHO) as app:
            connection = await plain.connect(app)
            post = plain.request("POST", "/rooms/blue", body=b'{"message":"hi"}')
            await connection.send(post + post + plain.request("GET", "/rooms/blue", (plain.accept,)))
            assert [(await connection.answer()).status for _ in range(2)] == [202, 202]
            assert (await connection.head()).headers["content-type"].startswith("text/event-stream")
            await says(app, plain, "/rooms/blue", "end")
            assert await connection.reader.readuntil(b"end\n\n") == b"retry: 2000\n\ndata: end\n\n"


async def test_a_stream_of_https_is_served_as_well(plain, trusting, settled):
    text = """
        endpoints:
          - {name: web, address: 127.0.0.1, port: 0, protocol: https, fallbacks: [sse], self_signed: true}
        signals: [{path: /rooms/<room>, rebroadcast: path, history: 10}]
    """
    async with serve(text) as app:
        stream = await plain.stream(app, "/rooms/blue", ssl=trusting)
        big = "x" * 300_000
        for value in ("a\nb", big):
            answer = await plain.ask(app, "POST", "/rooms/blue", body=orjson.dumps({"message": value}), ssl=trusting)
            assert answer.status == 202
        assert await stream.data() == "a\nb"
        _, data, at = await stream.event()
        assert data == big
        stream.client.close(4009, "enough")
        assert [name for name, *_ in await stream.rest()] == ["close"]
        await settled(app)
        again = await plain.stream(app, "/rooms/blue", f"Last-Event-ID: {at}", ssl=trusting)
        assert again.id in app.server.node.hub.clients


async def test_sockets_and_streams_may_share_a_port(plain):
    text = """
        endpoints:
          - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
        signals: [{path: /rooms/<room>, rebroadcast: path}]
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = text.replace("port: 0", f"port: {port}").replace(
        "fallbacks: [sse]}",
        f"fallbacks: [sse]}}\n          - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}",
    )
    async with serve(shared) as app, app.connect("/rooms/blue") as ada:
        stream = await plain.stream(app, "/rooms/blue")
        await ada.send("from a socket")
        assert (await plain.post(app, "/rooms/blue", "from a request")).status == 202
        assert [await stream.data(), await stream.data()] == ["from a socket", "from a request"]
        assert [await ada.receive(), await ada.receive()] == ["from a socket", "from a request"]
        assert (await plain.ask(app, "GET", "/rooms/blue")).status == 406


async def test_a_stream_whose_client_is_gone_before_it_begins_leaves_nothing(sse, plain, settled):
    async with sse(ECHO) as app:
        for _ in range(20):
            connection = await plain.connect(app)
            await connection.send(plain.request("GET", "/rooms/blue", (plain.accept,)))
            connection.reset()
        await asyncio.sleep(0)
        await says(app, plain, "/rooms/blue", "served")
        await settled(app)
