"""Signals over real sockets: who gets what, what is refused, and what it looks like on the wire."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.testing import serve

LIVE = "{name: live, address: 127.0.0.1, port: 0, protocol: ws}"


def app_of(*signals, more=""):
    listed = "\n".join(f"  - {signal}" for signal in signals)
    return f"endpoints: [{LIVE}]\n" + (f"signals:\n{listed}\n" if listed else "") + more


class TestRebroadcast:
    async def test_others_is_everyone_but_the_sender(self):
        app = app_of("{path: /a, rebroadcast: others}")
        async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
            await a.send("hello")
            await b.send("marker")
            assert await a.receive() == "marker"
            assert [await b.receive(), await b.receive()] == ["hello", "marker"]

    async def test_path_is_the_senders_own_path_parameters_included(self):
        app = app_of("{path: /rooms/<room>, rebroadcast: path}")
        async with (
            serve(app) as running,
            running.connect("/rooms/Red") as a,
            running.connect("/ROOMS/Red") as b,
            running.connect("/rooms/blue") as c,
        ):
            await a.send("red only")
            assert [await a.receive(), await b.receive()] == ["red only", "red only"]
            await c.send("blue only")
            assert await c.receive() == "blue only"

    async def test_group_is_the_union_of_the_senders_groups_and_each_client_gets_it_once(self):
        plugin = """
            from signalpost import hookimpl

            @hookimpl
            def client_connected(client):
                for group in client.path.strip("/").split("/"):
                    client.join(group)
        """
        app = app_of("{path: '/<groups:path>', rebroadcast: group}")
        async with (
            serve(app, plugins={"joins": plugin}) as running,
            running.connect("/red/blue") as both,
            running.connect("/red") as red,
            running.connect("/blue/red") as also_both,
            running.connect("/green") as green,
        ):
            await both.send("for red and blue")
            await red.send("for red")
            assert [await both.receive(), await both.receive()] == ["for red and blue", "for red"]
            assert [await also_both.receive(), await also_both.receive()] == ["for red and blue", "for red"]
            assert [await red.receive(), await red.receive()] == ["for red and blue", "for red"]
            await green.send("for green")
            assert await green.receive() == "for green"

    async def test_group_without_groups_is_nobody(self):
        app = app_of("{path: /a, rebroadcast: group}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send("nobody")
            await a.send("me", direct=True)
            assert await a.receive() == "me"

    async def test_sender_is_the_sender_alone(self):
        app = app_of("{path: /echo, rebroadcast: sender}")
        async with serve(app) as running, running.connect("/echo") as a, running.connect("/echo") as b:
            await a.send("mine")
            await b.send("other")
            assert [await a.receive(), await b.receive()] == ["mine", "other"]

    async def test_none_is_nobody_but_an_allowed_wish_replaces_it(self):
        app = app_of("{path: /a, rebroadcast: none, targets: [direct]}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send("nobody")
            await a.send("me", direct=True)
            assert await a.receive() == "me"


class TestTargets:
    @pytest.mark.parametrize(
        ("keys", "wish"),
        [({"clientId": "x"}, "clientId"), ({"group": "x"}, "group"), ({"direct": True}, "direct")],
    )
    async def test_a_wish_outside_targets_is_refused_and_the_connection_stays(self, keys, wish):
        app = app_of("{path: /a, targets: [path]}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send("x", ref="r", **keys)
            assert await a.receive_json() == {
                "error": {
                    "code": "target-not-allowed",
                    "pointer": f"/{wish}",
                    "detail": f"this signal does not let a message choose its {wish} (allowed: path)",
                    "ref": "r",
                }
            }
            await a.send("x", path="/a")
            assert await a.receive() == "x"

    async def test_handlers_are_not_called_for_a_wish_that_is_refused(self):
        plugin = """
            from signalpost import signal

            @signal("tell")
            async def tell(event):
                event.reply("called")
        """
        app = app_of("{path: /a, handler: tell, targets: []}")
        async with serve(app, plugins={"tell": plugin}) as running, running.connect("/a") as a:
            await a.send("x", direct=True)
            assert (await a.receive_json())["error"]["code"] == "target-not-allowed"
            await a.send("x")
            assert await a.receive() == "called"


class TestSchemas:
    SCHEMA = "schema: {type: object, required: [message], properties: {message: {type: string, maxLength: 5}}}"

    async def test_a_mismatch_is_answered_with_pointer_detail_and_ref(self):
        app = app_of(f"{{path: /a, {self.SCHEMA}}}")
        async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
            await a.send("too long", ref=12)
            error = (await a.receive_json())["error"]
            assert (error["code"], error["pointer"], error["ref"]) == ("schema-mismatch", "/message", 12)
            assert "5" in error["detail"]
            await a.send("short")
            assert [await a.receive(), await b.receive()] == ["short", "short"]

    async def test_a_signal_with_a_schema_judges_empty_messages_too(self):
        app = app_of(f"{{path: /a, {self.SCHEMA}}}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send_raw("{}")
            assert (await a.receive_json())["error"]["code"] == "schema-mismatch"

    async def test_ref_is_exempt_from_a_schema_that_allows_nothing_more(self):
        app = app_of("{path: /a, schema: {properties: {message: true}, additionalProperties: false}}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send("x", ref=1)
            assert await a.receive() == "x"
            await a.send("x", other=1)
            assert (await a.receive_json())["error"]["code"] == "schema-mismatch"

    async def test_a_schema_sees_known_keys_in_their_one_spelling(self):
        app = app_of(f"{{path: /a, {self.SCHEMA}}}")
        async with serve(app) as running, running.connect("/a") as a:
            await a.send_raw('{"MESSAGE": "short"}')
            assert await a.receive() == "short"


class TestBadMessages:
    @pytest.mark.parametrize(
        ("text", "pointer", "detail"),
        [
            ("", "", "not JSON"),
            ("hello", "", "not JSON"),
            ("[1]", "", 'a message is a JSON object such as {"message": "hello"}, not a list'),
            ('"hi"', "", "not a string"),
            ('{"message":"x","path":1}', "/path", "path is a string, not a number"),
            ('{"message":"x","clientId":[]}', "/clientId", "clientId is a string, not a list"),
            ('{"message":"x","group":{}}', "/group", "group is a string, not an object"),
            ('{"message":"x","direct":"yes"}', "/direct", "direct is true or false, not a string"),
            ('{"message":"x","ref":1.5}', "/ref", "ref is a string of at most 64 characters or a whole number"),
            ('{"message":"x","ref":"' + "r" * 65 + '"}', "/ref", "not 65 characters"),
            ('{"message":"\\ud800"}', "", "not JSON"),
            ('{"message":' + "[" * 500 + "]" * 500 + "}", "", "more than 240 lists and mappings inside each other"),
        ],
    )
    async def test_a_bad_message_is_answered_to_its_sender_alone_and_the_connection_stays(self, text, pointer, detail):
        async with serve(app_of()) as running, running.connect("/a") as a, running.connect("/b") as b:
            await a.send_raw(text)
            error = (await a.receive_json())["error"]
            assert (error["code"], error["pointer"]) == ("bad-message", pointer)
            assert detail in error["detail"]
            await a.send("next")
            assert [await a.receive(), await b.receive()] == ["next", "next"]

    async def test_binary_on_a_json_signal_is_an_unsupported_frame(self):
        async with serve(app_of()) as running, running.connect("/a") as a:
            await a.send_raw(b"\x00\x01")
            assert (await a.receive_json())["error"]["code"] == "unsupported-frame"
            await a.send("next")
            assert await a.receive() == "next"

    @pytest.mark.parametrize("key", ["path", "clientId", "group", "direct", "ref"])
    async def test_a_known_key_that_is_null_asks_for_nothing(self, key):
        async with serve(app_of()) as running, running.connect("/a") as a, running.connect("/b") as b:
            await a.send("x", **{key: None})
            assert [await a.receive(), await b.receive()] == ["x", "x"]

    async def test_too_long_a_message_closes_the_connection_with_1009_and_no_other(self):
        app = app_of(more="limits: {message: 1KiB}")
        async with serve(app) as running, running.connect("/a") as a, running.connect("/b") as b:
            await a.send("x" * 2000)
            with pytest.raises(ConnectionClosed) as closed:
                await a.receive()
            assert closed.value.rcvd.code == 1009
            await b.send("y")
            assert await b.receive() == "y"


class TestRaw:
    async def test_frames_are_relayed_as_they_are_text_or_binary(self):
        app = app_of("{path: /yjs, format: raw, rebroadcast: path}")
        async with serve(app) as running, running.connect("/yjs") as a, running.connect("/yjs") as b:
            for frame in ("no { json", b"\x00\xff", '{"message":"x","direct":true}', "", b""):
                await a.send_raw(frame)
                assert [await a.receive(), await b.receive()] == [frame, frame]

    @pytest.mark.parametrize(
        ("who", "receivers"),
        [("everyone", "abc"), ("others", "bc"), ("path", "ab"), ("sender", "a"), ("group", ""), ("none", "")],
    )
    async def test_frames_go_where_rebroadcast_says_and_empty_ones_too(self, who, receivers):
        signal = f"{{path: /raw/<room>, format: raw, rebroadcast: {who}, from_elsewhere: true}}"
        app = app_of(signal, "{path: /everyone, format: raw}")
        async with (
            serve(app) as running,
            running.connect("/raw/1") as a,
            running.connect("/raw/1") as b,
            running.connect("/raw/2") as c,
            running.connect("/everyone") as d,
        ):
            for frame in ("", b"", "text"):
                await a.send_raw(frame)
            await (await a.socket.ping())  # its pong comes behind what has been read before
            await d.send_raw("done")
            for name, client in {"a": a, "b": b, "c": c}.items():
                for frame in ["", b"", "text"] if name in receivers else []:
                    assert await client.receive() == frame, name
                assert await client.receive() == "done", name

    @pytest.mark.parametrize("fragments", [["", "", ""], ["", "between", ""], [b"", b""]])
    async def test_fragments_are_relayed_as_one_frame_if_they_are_all_empty_too(self, fragments):
        app = app_of("{path: /yjs, format: raw, rebroadcast: sender}")
        async with serve(app) as running, running.connect("/yjs") as a:
            await a.socket.send(fragments)
            assert await a.receive() == fragments[0][:0].join(fragments)

    async def test_clients_of_the_envelope_get_raw_frames_as_they_are_too(self):
        app = app_of("{path: /yjs, format: raw, rebroadcast: others}")
        async with (
            serve(app) as running,
            running.connect("/yjs") as a,
            running.connect("/yjs", subprotocols=["signalpost.v1"]) as b,
        ):
            assert list(await b.receive_json()) == ["welcome"]
            await a.send_raw(b"\x01\x02")
            assert await b.receive() == b"\x01\x02"


class TestEnvelope:
    async def test_a_client_of_v1_is_welcomed_with_its_id_and_path(self):
        app = app_of("{path: /Rooms/<room>}")
        async with serve(app) as running, running.connect("/rooms/Red", subprotocols=["signalpost.v1"]) as a:
            assert a.socket.subprotocol == "signalpost.v1"
            welcome = (await a.receive_json())["welcome"]
            assert len(welcome.pop("session")) == 22
            assert welcome == {"clientId": a.id, "path": "/Rooms/Red"}

    @pytest.mark.parametrize("value", ["a text", {"a": [1, None]}, 0, False])
    async def test_both_dialects_get_one_broadcast_each_in_its_own_words(self, value):
        async with (
            serve(app_of()) as running,
            running.connect("/a") as plain,
            running.connect("/b", subprotocols=["other", "signalpost.v1"]) as v1,
        ):
            await v1.receive()
            await plain.send(value)
            expected = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            assert await plain.receive() == expected
            assert await v1.receive_json() == {"signal": {"path": "/a", "value": value}}

    async def test_the_envelope_names_the_path_that_a_message_was_sent_to(self):
        async with (
            serve(app_of()) as running,
            running.connect("/a") as a,
            running.connect("/b", subprotocols=["signalpost.v1"]) as b,
        ):
            await b.receive()
            await a.send("x", path="/b")
            assert (await b.receive_json())["signal"]["path"] == "/b"

    async def test_a_timer_that_reaches_everyone_has_no_path(self):
        app = app_of(more="timers: [{name: tick, every: 10ms, broadcast: {value: tick}}]")
        async with serve(app) as running, running.connect("/b", subprotocols=["signalpost.v1"]) as b:
            await b.receive()
            assert await b.receive_json() == {"signal": {"path": None, "value": "tick"}}

    async def test_an_unknown_subprotocol_is_not_chosen(self):
        async with serve(app_of()) as running, running.connect("/a", subprotocols=["graphql-ws"]) as a:
            assert a.socket.subprotocol is None
            await a.send("x")
            assert await a.receive() == "x"

    async def test_at_the_end_a_client_of_v1_is_told_when_to_come_back_and_plain_clients_are_closed_with_1001(self):
        async with (
            serve(app_of()) as running,
            running.connect("/a") as plain,
            running.connect("/b", subprotocols=["signalpost.v1"]) as v1,
        ):
            await v1.receive()
            stopping = asyncio.create_task(running.server.stop())
            assert (await v1.receive_json())["bye"]["retry_ms"] > 0
            for client, code in ((plain, 1001), (v1, 1012)):
                with pytest.raises(ConnectionClosed) as closed:
                    await client.receive()
                assert closed.value.rcvd.code == code
            await stopping

    @pytest.mark.slow
    @pytest.mark.parametrize(("subprotocols", "code"), [([], 1011), (["signalpost.v1"], 1013)])
    async def test_where_there_is_no_room_for_unfinished_messages_only_v1_is_told_to_try_again_later(
        self, subprotocols, code
    ):
        app = app_of(more="limits: {message: 64KiB, inbound: 64KiB}")
        half = "x" * 40_000
        async with (
            serve(app) as running,
            running.connect("/a", subprotocols=subprotocols) as first,
            running.connect("/b", subprotocols=subprotocols) as second,
        ):
            end = asyncio.Event()

            async def parts():
                yield half
                await end.wait()

            sending = [asyncio.ensure_future(client.socket.send(parts())) for client in (first, second)]
            ended, _ = await asyncio.wait(
                [asyncio.ensure_future(client.socket.wait_closed()) for client in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
            )
            assert len(ended) == 1  # the other one has the room now
            assert {first.socket.close_code, second.socket.close_code} == {code, None}
            end.set()
            await asyncio.gather(*sending, return_exceptions=True)

    @pytest.mark.parametrize(
        ("signal", "first"),
        [
            ("rebroadcast: sender", '{"signal":{"path":"/a","value":"first"}}'),
            ("format: raw", '{"message":"first"}'),
            ("rebroadcast: none", None),
            ("do: [{reply: {value: done}}]", '{"signal":{"path":"/a","value":"done"}}'),
        ],
    )
    async def test_an_empty_text_of_v1_is_answered_with_a_sign_of_life_behind_what_was_sent_before(self, signal, first):
        async with (
            serve(app_of(f"{{path: /a, {signal}}}")) as running,
            running.connect("/a", subprotocols=["signalpost.v1"]) as client,
            running.connect("/a") as other,
        ):
            assert "welcome" in await client.receive_json()
            await client.send("first")
            await client.socket.send("")
            await client.send("second")
            expected = [text for text in (first, '{"alive":{}}') if text]
            assert [await client.receive() for _ in expected] == expected
            if signal == "format: raw":  # the others hear nothing of it
                texts = [await other.receive() for _ in range(2)]
                assert texts == ['{"message":"first"}', '{"message":"second"}']

    async def test_an_empty_text_of_a_plain_client_is_what_it_was(self):
        async with (
            serve(app_of("{path: /a}", "{path: /raw, format: raw}")) as running,
            running.connect("/a") as plain,
            running.connect("/raw") as raw,
        ):
            await plain.socket.send("")
            assert (await plain.receive_json())["error"]["code"] == "bad-message"
            await raw.socket.send("")
            assert await raw.receive() == ""


class TestDoors:
    async def test_over_the_limit_of_connections_a_handshake_is_answered_503(self):
        app = app_of(more="limits: {connections: 2}")
        async with serve(app) as running, running.connect("/a"), running.connect("/b"):
            with pytest.raises(InvalidStatus) as refused:
                async with running.connect("/c"):
                    pass
            assert refused.value.response.status_code == 503

    async def test_undeclared_paths_are_refused_with_404_where_routes_yaml_says_so(self):
        app = app_of("{path: /a}", more="undeclared: refuse")
        async with serve(app) as running, running.connect("/a"):
            with pytest.raises(InvalidStatus) as refused:
                async with running.connect("/b"):
                    pass
            assert refused.value.response.status_code == 404

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            (None, True),
            ("http://127.0.0.1:{port}", True),
            ("https://app.example.com", True),
            ("http://127.0.0.1:1", False),
            ("http://127.0.0.1.evil.example:{port}", False),
            ("http://evil.example", False),
            ("null", False),
            ("https://app.example.com:444", False),
        ],
    )
    async def test_origins_of_the_same_host_on_a_served_port_or_listed_may_come_in(self, origin, allowed):
        endpoint = LIVE.replace("}", ", origins: ['https://app.example.com']}")
        async with serve(f"endpoints: [{endpoint}]") as running:
            port = running.server.endpoints[0].port
            options = {"origin": origin.format(port=port)} if origin else {}
            if allowed:
                async with running.connect("/", **options) as a:
                    await a.send("x")
                    assert await a.receive() == "x"
            else:
                with pytest.raises(InvalidStatus) as refused:
                    async with running.connect("/", **options):
                        pass
                assert refused.value.response.status_code == 403

    async def test_a_signal_bound_to_an_endpoint_is_declared_only_there(self):
        app = """
            endpoints:
              - {name: one, address: 127.0.0.1, port: 0, protocol: ws}
              - {name: two, address: 127.0.0.1, port: 0, protocol: ws}
            signals: [{path: /echo, rebroadcast: sender, endpoint: one}]
        """
        async with (
            serve(app) as running,
            running.connect("/echo", endpoint="one") as one,
            running.connect("/echo", endpoint="two") as two,
        ):
            await one.send("mine")
            assert await one.receive() == "mine"
            await two.send("everyone's")
            assert [await one.receive(), await two.receive()] == ["everyone's", "everyone's"]

    async def test_an_http_endpoint_refuses_an_upgrade(self):
        app = "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]"
        async with serve(app) as running:
            with pytest.raises(InvalidStatus) as refused:
                async with _connect(running.url("web")):
                    pass
            assert refused.value.response.status_code == 400


def _connect(url):
    return connect(url.replace("http", "ws", 1), proxy=None)


class TestHandlers:
    PLUGIN = """
        import asyncio
        from signalpost import signal

        gates = {}
        seen = []

        @signal("slow")
        async def slow(event):
            seen.append(event.data.message)
            await asyncio.sleep(0)
            event.broadcast(event.data.message, path="/slow")

        @signal("held")
        async def held(event):
            name = event.data.message
            event.reply(f"begun {name}")
            await gates.setdefault(name, asyncio.Event()).wait()
            event.reply(f"done {name}")

        @signal("open")
        async def open_gate(event):
            gates.setdefault(event.data.message, asyncio.Event()).set()
            event.reply("opened")

        @signal("leave")
        async def leave(event):
            event.reply("goodbye")
            event.close(4009, "kicked")

        @signal("look")
        async def look(event):
            event.reply({
                "path": event.path, "params": dict(event.params), "route": event.route, "endpoint": event.endpoint.name,
                "query": dict(event.request.query), "agent": event.request.headers["x-agent"],
                "zone": str(event.timestamp.tzinfo), "direct": event.data.direct,
            })

        @signal("unsendable")
        async def unsendable(event):
            event.reply(object())
    """
    APP = app_of(
        *(f"{{path: /{name}, handler: {name}}}" for name in ("slow", "held", "open", "leave", "unsendable")),
        "{path: '/look/<what>/<n:int>', handler: look}",
    )

    @pytest.fixture
    async def app(self):
        async with serve(self.APP, plugins={"handlers": self.PLUGIN}) as running:
            yield running

    async def test_one_clients_messages_are_handled_one_at_a_time_in_order(self, app):
        async with app.connect("/slow") as a:
            numbers = list(range(200))
            for number in numbers:
                await a.send(number)
            assert [await a.receive_json() for _ in numbers] == numbers

    async def test_a_client_that_waits_for_its_handler_keeps_nobody_else_waiting(self, app):
        async with app.connect("/held") as a, app.connect("/held") as b, app.connect("/open") as key:
            await a.send("a")
            await a.send("a2")
            await b.send("b")
            assert [await a.receive(), await b.receive()] == ["begun a", "begun b"]
            await key.send("b")
            assert await b.receive() == "done b"
            await key.send("a")
            assert [await a.receive(), await a.receive()] == ["done a", "begun a2"]
            await key.send("a2")
            assert await a.receive() == "done a2"

    async def test_a_client_that_is_not_read_from_loses_nothing(self, app):
        names = [f"m{number}" for number in range(100)]
        async with app.connect("/held") as a, app.connect("/open") as key:
            for name in names:
                await a.send(name)
            for name in names:
                assert await a.receive() == f"begun {name}"
                await key.send(name)
                assert [await key.receive(), await a.receive()] == ["opened", f"done {name}"]

    async def test_a_handler_can_close_the_connection_after_a_last_word(self, app):
        async with app.connect("/leave") as a:
            await a.send("x")
            assert await a.receive() == "goodbye"
            with pytest.raises(ConnectionClosed) as closed:
                await a.receive()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4009, "kicked")

    async def test_the_event_knows_where_and_how_the_message_came(self, app):
        async with app.connect("/LOOK/Here/7?a=1&a=2&b=%20", additional_headers={"X-Agent": "test"}) as a:
            await a.send("x", direct=True)
            assert await a.receive_json() == {
                "path": "/look/Here/7",
                "params": {"what": "Here", "n": 7},
                "route": "/look/<what>/<n:int>",
                "endpoint": "live",
                "query": {"a": "1", "b": " "},
                "agent": "test",
                "zone": "UTC",
                "direct": True,
            }

    async def test_a_value_that_is_not_json_is_the_handlers_failure(self, app, caplog):
        async with app.connect("/unsendable") as a:
            await a.send("x")
            assert (await a.receive_json())["error"]["code"] == "handler-failed"
        assert "object cannot be sent as JSON" in caplog.text

    async def test_handlers_at_work_finish_before_the_server_stops(self, app):
        async with app.connect("/held") as a, app.connect("/open") as key:
            await a.send("last")
            assert await a.receive() == "begun last"
            await key.send("last")
            stopping = asyncio.create_task(app.server.stop())
            assert await a.receive() == "done last"
            await stopping


async def test_two_servers_in_one_process_do_not_know_each_other():
    plugin = """
        from signalpost import signal

        @signal("count")
        async def count(event):
            event.state["n"] = event.state.get("n", 0) + 1
            event.broadcast(event.state["n"])
    """
    app = app_of("{path: /count, handler: count}")
    async with (
        serve(app, plugins={"count": plugin}) as first,
        serve(app, plugins={"count": plugin}) as second,
        first.connect("/count") as a,
        second.connect("/count") as b,
    ):
        for expected in ("1", "2"):
            await a.send("x")
            assert await a.receive() == expected
        await b.send("x")
        assert await b.receive() == "1"
        assert (first.server.clients, second.server.clients) == (1, 1)
