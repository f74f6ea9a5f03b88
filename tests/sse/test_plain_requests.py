"""What surrounds signals over plain HTTP: methods, routes on the same path, origins, hosts, hooks and observers."""

import asyncio
import logging

import orjson
import pytest

from signalpost.errors import ConfigError
from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.testing import load_app, serve
from signalpost.websocket.handshake import HandshakeRejection

ROOMS = "signals: [{path: '/rooms/<room>', rebroadcast: path}]\n"
PAGE = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
HOOKS = """
import asyncio
from signalpost import hookimpl, signal, Veto

calls = []

@hookimpl
def client_connected(client, request):
    calls.append(("came", client.path, request.headers.get("x-of"), dict(request.query)))
    if request.query.get("no"):
        client.close(4001, "not you")

@hookimpl
def client_disconnected(client, code):
    calls.append(("gone", client.path, code))

@hookimpl
def filter_message(message, client):
    if message.message == "veto":
        raise Veto("forbidden", "not this")
    if message.message == "own":
        raise Veto("too-rude", "mind your words", "/message")
    if message.message == "quiet":
        raise Veto()
    if isinstance(message.message, str):
        message.message = message.message.upper()
"""
WAITING = """
import asyncio
from signalpost import hookimpl

asked = asyncio.Queue()
go = asyncio.Event()

@hookimpl
async def client_connected(client, request):
    asked.put_nowait(client)
    await go.wait()
    client.join("let in")
    if request.query.get("no"):
        client.close(4001, "not you")
"""


def module_of(app):
    (found,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
    return found


class TestMethods:
    @pytest.mark.parametrize(
        "accept",
        [
            "text/event-stream",
            "TEXT/Event-Stream;q=0.1",
            "text/html, text/event-stream",
            "text/event-stream; charset=utf-8, */*;q=0",
        ],
    )
    async def test_who_accepts_event_streams_by_name_gets_one(self, sse, plain, accept):
        async with sse(ROOMS) as app:
            stream = await plain.stream(app, "/rooms/blue", accept=f"Accept: {accept}")
            assert stream.id in app.server.node.hub.clients

    @pytest.mark.parametrize(
        "accept", ["", "*/*", "text/*", "text/html", "text/event-stream;q=0", "text/event-streams"]
    )
    async def test_who_does_not_is_told_how_the_signal_is_read(self, sse, plain, accept):
        async with sse(ROOMS) as app:
            for method in ("GET", "HEAD"):
                answer = await plain.ask(app, method, "/rooms/blue", *([f"Accept: {accept}"] if accept else ()))
                assert (answer.status, answer.headers["vary"], answer.headers["cache-control"]) == (
                    406,
                    "accept",
                    "no-store",
                )
            answer = await plain.ask(app, "GET", "/rooms/blue", *([f"Accept: {accept}"] if accept else ()))
            assert b"EventSource" in answer.body
            assert b"curl -N" in answer.body
            assert not app.server.node.hub.clients

    async def test_head_says_what_a_get_would_and_lets_nobody_in(self, sse, plain):
        async with sse(ROOMS, plugins={"p": HOOKS}) as app:
            connection = await plain.connect(app)
            await connection.send(plain.request("HEAD", "/rooms/blue", (plain.accept,)))
            answer = await connection.answer(body=False)
            assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
            assert (answer.headers["vary"], answer.headers["cache-control"]) == ("accept", "no-store")
            await connection.send(plain.request("POST", "/rooms/blue", body=b'{"message":1}'))
            assert (await connection.answer()).status == 202, "the connection goes on"
            assert module_of(app).calls == [("came", "/rooms/blue", None, {}), ("gone", "/rooms/blue", 1000)]

    async def test_options_and_other_methods_say_what_there_is(self, sse, plain):
        async with sse(ROOMS) as app:
            answer = await plain.ask(app, "OPTIONS", "/rooms/blue")
            assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
            assert "access-control-allow-methods" not in answer.headers
            for method in ("PUT", "DELETE", "PATCH", "get", "BREW"):
                answer = await plain.ask(app, method, "/rooms/blue", body=b"")
                assert (answer.status, answer.headers.get("allow")) == (405, "GET, HEAD, OPTIONS, POST"), method

    async def test_its_inner_path_is_nobodys(self, sse, plain):
        async with sse(ROOMS) as app:
            for path in ("/!signal", "/%21signal", "/!websocket-upgrade"):
                for method, body in (("GET", None), ("POST", b"{}")):
                    assert (await plain.ask(app, method, path, plain.accept, body=body)).status == 404


class TestRoutes:
    TEXT = """
        routes:
          - {path: /a, method: [GET], do: [{respond: {text: page}}]}
          - {path: /b, method: [POST], do: [{respond: {text: form}}]}
          - {path: /c, method: [DELETE], do: [{respond: {text: gone}}]}
          - {path: /assets, static: files}
        signals:
          - {path: /a, rebroadcast: path}
          - {path: /b, rebroadcast: path}
          - {path: /c, rebroadcast: path}
          - {path: '/assets/<name>', rebroadcast: path}
    """

    @pytest.fixture
    def site(self, sse, tmp_path):
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "a.txt").write_text("a file")
        return sse(self.TEXT, folder=tmp_path)

    async def test_a_route_goes_before_a_signal_method_by_method(self, site, plain):
        async with site as app:
            assert (await plain.ask(app, "GET", "/a", plain.accept)).body == b"page"
            assert (await plain.post(app, "/a", 1)).json == {"ack": {}}
            assert (await plain.post(app, "/b", 1)).body == b"form"
            stream = await plain.stream(app, "/b")
            app.server.node.broadcaster("x", path="/b")
            assert await stream.data() == "x"
            assert (await plain.ask(app, "DELETE", "/c")).body == b"gone"
            await plain.stream(app, "/c")
            assert (await plain.post(app, "/c", 1)).status == 202
            assert (await plain.ask(app, "HEAD", "/b", plain.accept)).headers["content-type"].startswith("text/event")

    async def test_allow_names_the_methods_of_both(self, site, plain):
        async with site as app:
            for path, allowed in (
                ("/a", "GET, HEAD, OPTIONS, POST"),
                ("/b", "GET, HEAD, OPTIONS, POST"),
                ("/c", "DELETE, GET, HEAD, OPTIONS, POST"),
            ):
                for method in ("OPTIONS", "PUT"):
                    answer = await plain.ask(app, method, path, body=b"")
                    assert answer.headers["allow"] == allowed, (method, path)

    async def test_a_folder_goes_before_a_signal_even_where_it_has_no_file(self, site, plain):
        async with site as app:
            assert (await plain.ask(app, "GET", "/assets/a.txt", plain.accept)).body == b"a file"
            assert (await plain.ask(app, "GET", "/assets/none", plain.accept)).status == 404
            assert (await plain.post(app, "/assets/none", 1)).status == 202

    def test_check_notes_each_route_that_goes_before_a_signal(self, tmp_path):
        (tmp_path / "files").mkdir()
        plan = load_app(
            "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]\n"
            + self.TEXT.replace("\n        ", "\n"),
            tmp_path,
        )
        notes = [str(note) for note in plan.notes if "goes before" in str(note)]
        assert len(notes) == 3, notes
        assert "GET /a" in notes[0]
        assert "POST /b" in notes[1]
        assert "/assets" in notes[2]


class TestCheck:
    WEB = "{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}"
    LIVE = "{name: live, address: 127.0.0.1, port: 0, protocol: ws}"

    def load(self, tmp_path, signal, *endpoints):
        return load_app(f"endpoints: [{', '.join(endpoints)}]\nsignals: [{signal}]\n", tmp_path)

    @pytest.mark.parametrize("key", ["connected", "disconnected"])
    def test_a_signal_that_takes_messages_and_has_an_arrival_is_a_problem(self, tmp_path, key):
        signal = f"{{path: /a, {key}: [{{broadcast: {{value: x}}}}]}}"
        with pytest.raises(ConfigError, match="without connecting") as caught:
            self.load(tmp_path, signal, self.WEB, self.LIVE)
        assert "endpoint: live" in str(caught.value)
        self.load(tmp_path, signal, self.LIVE)
        self.load(tmp_path, signal.replace("path:", "endpoint: live, path:"), self.WEB, self.LIVE)
        self.load(tmp_path, signal.replace("path:", "rebroadcast: none, path:"), self.WEB, self.LIVE)

    @pytest.mark.parametrize("protocol", ["ws", "wss, self_signed: true"])
    def test_fallbacks_are_of_http(self, tmp_path, protocol):
        with pytest.raises(ConfigError, match="http or https"):
            self.load(tmp_path, "{path: /a}", self.WEB.replace("protocol: http", f"protocol: {protocol}"))

    def test_an_endpoint_without_them_serves_no_signal_and_says_what_would(self, tmp_path):
        web = self.WEB.replace(", fallbacks: [sse]", "")
        with pytest.raises(ConfigError, match=r"fallbacks: \[sse\]"):
            self.load(tmp_path, "{path: /a, endpoint: web}", web, self.LIVE)
        self.load(tmp_path, "{path: /a, endpoint: web}", self.WEB, self.LIVE)

    async def test_without_fallbacks_nothing_is_served(self, plain):
        web = self.WEB.replace(", fallbacks: [sse]", "")
        async with serve(f"endpoints: [{web}, {self.LIVE}]\n{ROOMS}") as app:
            assert (await plain.ask(app, "GET", "/rooms/blue", plain.accept)).status == 404
            assert (await plain.post(app, "/rooms/blue", 1)).status == 404


class TestOrigins:
    TEXT = """
        endpoints:
          - name: web
            address: 127.0.0.1
            port: 0
            protocol: http
            fallbacks: [sse]
            origins: ["https://app.example"]
            hosts: [chat.example]
        signals: [{path: '/rooms/<room>', rebroadcast: path}]
    """

    async def test_a_page_of_a_listed_origin_may_read_send_and_ask_before(self, plain):
        origin = "Origin: https://app.example"
        async with serve(self.TEXT) as app:
            stream = await plain.stream(app, "/rooms/blue", origin, "Sec-Fetch-Site: cross-site")
            assert stream.answer.headers["access-control-allow-origin"] == "https://app.example"
            assert stream.answer.headers["vary"] == "accept, origin"
            exposed = "retry-after, x-signalpost-client-id"
            assert stream.answer.headers["access-control-expose-headers"] == exposed
            answer = await plain.post(app, "/rooms/blue", "hi", origin, "Sec-Fetch-Site: cross-site")
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (202, "https://app.example")
            assert answer.headers["vary"] == "accept, origin"
            assert answer.headers["access-control-expose-headers"] == exposed
            assert await stream.data() == "hi"
            answer = await plain.ask(
                app,
                "OPTIONS",
                "/rooms/blue",
                origin,
                "Access-Control-Request-Method: POST",
                "Access-Control-Request-Headers: content-type,signalpost-session",
            )
            assert answer.status == 204
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert "POST" in answer.headers["access-control-allow-methods"]
            assert answer.headers["access-control-allow-headers"] == "content-type,signalpost-session"
            for bad in ("/rooms/blue", "/none"):
                answer = await plain.post(app, bad, None, origin, raw=b"no json")
                assert answer.headers["access-control-allow-origin"] == "https://app.example", "it may read errors"

    @pytest.mark.parametrize(
        "headers",
        [
            ("Origin: https://evil.example",),
            ("Origin: null",),
            ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
            ("Origin: https://app.example", "Origin: https://evil.example"),
            ("Origin: https://app.example.evil.example",),
            ("Sec-Fetch-Site: cross-site",),
        ],
    )
    async def test_a_page_of_another_origin_gets_nothing(self, plain, headers):
        async with serve(self.TEXT) as app:
            stream = await plain.stream(app, "/rooms/blue")
            for method, body in (("GET", None), ("HEAD", None), ("POST", b'{"message":"forged"}')):
                answer = await plain.ask(app, method, "/rooms/blue", plain.accept, *headers, body=body)
                assert answer.status == 403, method
                assert "access-control-allow-origin" not in answer.headers or "app.example" in headers[0]
            answer = await plain.ask(app, "OPTIONS", "/rooms/blue", *headers, "Access-Control-Request-Method: POST")
            assert "access-control-allow-methods" not in answer.headers
            assert list(app.server.node.hub.clients) == [stream.id]
            await plain.post(app, "/rooms/blue", "end")
            assert await stream.until("end") == []

    async def test_a_page_of_its_own_may_do_everything(self, plain):
        async with serve(self.TEXT) as app:
            port = app.server.endpoints[0].port
            for headers in (
                (f"Origin: http://127.0.0.1:{port}",),
                ("Sec-Fetch-Site: same-origin",),
                (f"Origin: http://127.0.0.1:{port}", "Sec-Fetch-Site: same-origin"),
            ):
                host = f"127.0.0.1:{port}"
                assert (
                    await plain.ask(app, "POST", "/rooms/a", *headers, body=b'{"message":1}', host=host)
                ).status == 202
                connection = await plain.connect(app)
                await connection.send(plain.request("GET", "/rooms/a", (plain.accept, *headers), host=host))
                assert (await connection.head()).status == 200

    async def test_by_a_name_that_is_not_its_own_nothing_is_served(self, plain):
        async with serve(self.TEXT) as app:
            for method, body in (("GET", None), ("POST", b'{"message":1}'), ("HEAD", None)):
                answer = await plain.ask(app, method, "/rooms/a", plain.accept, body=body, host="evil.example")
                assert answer.status == 421
                answer = await plain.ask(app, method, "http://evil.example/rooms/a", plain.accept, body=body)
                assert answer.status == 421
            answer = await plain.ask(app, "POST", "/rooms/a", body=b'{"message":1}', host="CHAT.example:80")
            assert answer.status == 202


class TestHooks:
    async def test_plugins_are_told_of_streams_and_of_posts_as_of_sockets(self, sse, plain, settled):
        async with sse(ROOMS, plugins={"p": HOOKS}) as app:
            stream = await plain.stream(app, "/rooms/blue?x=1", "X-Of: stream")
            await stream.more()  # else its machine resets the connection
            stream.close()
            await settled(app)
            await plain.post(app, "/rooms/red?y=2", "hi", "X-Of: post")
            assert module_of(app).calls == [
                ("came", "/rooms/blue", "stream", {"x": "1"}),
                ("gone", "/rooms/blue", 1005),
                ("came", "/rooms/red", "post", {"y": "2"}),
                ("gone", "/rooms/red", 1000),
            ]

    async def test_a_hook_that_closes_the_client_refuses_it(self, sse, plain, settled):
        async with sse(ROOMS, plugins={"p": HOOKS}) as app:
            stream = await plain.stream(app, "/rooms/blue")
            answer = await plain.post(app, "/rooms/blue?no=1", "hi")
            assert (answer.status, answer.json["error"]["detail"]) == (403, "not you")
            refused = await plain.stream(app, "/rooms/blue?no=1")
            ((name, data, _),) = await refused.rest()
            assert (name, orjson.loads(data)) == ("close", {"code": 4001, "reason": "not you"})
            await settled(app, 1)
            await plain.post(app, "/rooms/blue", "end")
            assert await stream.until("END") == []

    async def test_a_hook_that_waits_holds_the_message_back_until_it_has_ended(self, sse, plain):
        async with sse(ROOMS, plugins={"p": WAITING}) as app:
            posting = asyncio.create_task(plain.post(app, "/rooms/blue", "hi"))
            refused = asyncio.create_task(plain.post(app, "/rooms/blue?no=1", "refused"))
            asked = [await module_of(app).asked.get() for _ in range(2)]
            assert all(client.arriving for client in asked)
            assert not posting.done()
            module_of(app).go.set()
            assert (await posting).status == 202
            assert (await refused).status == 403
            assert not app.server.node.hub.clients

    async def test_a_client_that_hangs_up_while_a_hook_waits_leaves_nothing(self, sse, plain, settled):
        async with sse(ROOMS, plugins={"p": WAITING}) as app:
            for request in (
                plain.request("POST", "/rooms/blue", body=b'{"message":1}'),
                plain.request("GET", "/rooms/blue", (plain.accept,)),
            ):
                connection = await plain.connect(app)
                await connection.send(request)
                await module_of(app).asked.get()
                connection.reset()
                await settled(app)
            module_of(app).go.set()
            assert (await plain.post(app, "/rooms/blue", 1)).status == 202

    async def test_filters_judge_and_change_what_a_post_sends(self, sse, plain):
        async with sse(ROOMS, plugins={"p": HOOKS}) as app:
            stream = await plain.stream(app, "/rooms/blue")
            answer = await plain.post(app, "/rooms/blue", "veto")
            told = {"code": "forbidden", "pointer": "", "detail": "not this"}
            assert (answer.status, answer.json["error"]) == (403, told)
            answer = await plain.post(app, "/rooms/blue", "own")
            told = {"code": "too-rude", "pointer": "/message", "detail": "mind your words"}
            assert (answer.status, answer.json["error"]) == (422, told)
            answer = await plain.post(app, "/rooms/blue", "quiet")
            assert (answer.status, answer.json) == (202, {"ack": {}})
            await plain.post(app, "/rooms/blue", "loud")
            assert await stream.data() == "LOUD"


class TestAdmission:
    async def test_a_hook_of_the_program_judges_streams_and_posts(self, sse, plain):
        calls = []

        def judge(request):
            calls.append((request.path, request.endpoint.name, request.handshake.headers.get("authorization")))
            if request.path.endswith("kitchen"):
                return HandshakeRejection(401, "Who are you?", {"www-authenticate": "Basic"})
            return None

        async with sse(ROOMS, seams=Seams(admission=[judge])) as app:
            await plain.stream(app, "/rooms/hall", "Authorization: Bearer x")
            assert (await plain.post(app, "/rooms/hall", 1)).status == 202
            for method, body in (("GET", None), ("POST", b'{"message":1}')):
                answer = await plain.ask(app, method, "/rooms/kitchen", plain.accept, body=body)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Basic")
            assert calls[0] == ("/rooms/hall", "web", "Bearer x")
            assert len(calls) == 4
            assert len(app.server.node.hub.clients) == 1

    async def test_a_hook_that_waits_has_its_client_wait_and_count(self, sse, plain):
        asked, go = asyncio.Queue(), asyncio.Event()

        async def judge(request):
            asked.put_nowait(request)
            await go.wait()
            return HandshakeRejection(403, "no") if request.path.endswith("kitchen") else None

        async with sse(ROOMS + "limits: {connections: 3}\n", seams=Seams(admission=[judge])) as app:
            streaming = asyncio.create_task(plain.stream(app, "/rooms/hall"))
            posting = asyncio.create_task(plain.post(app, "/rooms/hall", 1))
            refused = asyncio.create_task(plain.post(app, "/rooms/kitchen", 1))
            for _ in range(3):
                await asked.get()
            assert app.server.inspect().asking == 3
            assert (await plain.post(app, "/rooms/hall", 1)).status == 503
            go.set()
            assert (await streaming).answer.status == 200
            assert (await posting).status == 202
            assert (await refused).status == 403
            assert app.server.inspect().asking == 0

    async def test_who_hangs_up_while_a_hook_waits_counts_no_more(self, sse, plain):
        asked, go = asyncio.Queue(), asyncio.Event()

        async def judge(request):
            asked.put_nowait(request)
            await go.wait()

        async with sse(ROOMS, seams=Seams(admission=[judge])) as app:
            connections = [await plain.connect(app) for _ in range(4)]
            for number, connection in enumerate(connections):
                stream = plain.request("GET", "/rooms/hall", (plain.accept,))
                await connection.send(stream if number % 2 else plain.request("POST", "/rooms/hall", body=b"{}"))
                await asked.get()
                connection.reset()
            while app.server.inspect().asking:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.001)
            go.set()
            assert not app.server.node.hub.clients


class Counting(Observer):
    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        if name in vars(Observer) and not name.startswith("_"):
            return lambda *args, **_: self.heard.append((name, *args[1:]))
        return super().__getattribute__(name)


async def test_an_observer_hears_of_streams_and_posts_as_of_sockets(sse, plain, settled):
    observer = Counting()
    async with sse(ROOMS, seams=Seams(observer=observer)) as app:
        stream = await plain.stream(app, "/rooms/blue")
        await plain.post(app, "/rooms/blue", "hello")
        await plain.post(app, "/rooms/blue", raw=b"no json")
        await plain.ask(app, "GET", "/rooms/blue")
        await stream.data()
        stream.close()
        await settled(app)
        assert observer.heard == [
            ("connected", "/rooms/blue"),
            ("connected", "/rooms/blue"),
            ("received", "/rooms/blue", "deliver"),
            ("published", 5, 1, 0),
            ("disconnected", "/rooms/blue", 1000),
            ("connected", "/rooms/blue"),
            ("received", "/rooms/blue", "bad-message"),
            ("disconnected", "/rooms/blue", 1000),
            ("rejected", 406),
            ("disconnected", "/rooms/blue", 1005),
        ]


async def test_whereabouts_tell_a_page_where_event_streams_are(both, plain):
    async with both(ROOMS) as app:
        host = f"127.0.0.1:{app.server.endpoints[0].port}"
        answer = await plain.ask(app, "GET", "/.well-known/signalpost", host=host)
        assert answer.json["sse"] is None, "at its own address"
        assert answer.json["url"].startswith("ws://127.0.0.1:")


async def test_nothing_of_all_this_is_an_error_in_the_log(both, plain, settled, caplog):
    async with both(ROOMS) as app:
        for headers in ((plain.accept,), (), ("Origin: https://evil.example", plain.accept)):
            for method, body in (("GET", None), ("HEAD", None), ("POST", b"x"), ("PUT", b"x"), ("OPTIONS", None)):
                connection = await plain.connect(app)
                await connection.send(plain.request(method, "/rooms/blue", headers, body=body))
                await connection.head()
                connection.reset()
        await settled(app)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
