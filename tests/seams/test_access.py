"""The access log: each answered handshake and request once, by a function of the program's."""

import asyncio
import socket

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus

from signalpost.accesslog import Access
from signalpost.logsubject import Subject
from signalpost.node import Seams
from signalpost.testing import serve

KEY = "k" * 40
APP = f"""
auth: {{tokens: {{keys: {{secret: {KEY}}}, algorithms: [HS256]}}}}
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse], proxies: [127.0.0.1]}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
undeclared: refuse
signals:
  - {{path: /chat, endpoint: [web, live], may: {{connect: anyone, publish: anyone}}}}
  - {{path: /mine, endpoint: [web, live]}}
routes:
  - {{path: /page, method: [GET, POST], may: anyone, do: [{{respond: {{text: hello}}}}]}}
"""


def token(**claims):
    return jwt.encode({"sub": "ann", "exp": 4_000_000_000, **claims}, KEY, "HS256")


@pytest.fixture
def noted():
    return []


@pytest.fixture
async def app(noted):
    """Serve the app with an access log that is a list."""
    async with serve(APP, seams=Seams(access=lambda access, subject: noted.append((access, subject)))) as app:
        yield app


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(trust_env=False, base_url=app.url("web"), headers={"user-agent": "a test"}) as client:
        yield client


async def test_a_websocket_is_logged_once_with_its_client_and_without_its_query(app, noted):
    async with app.connect("/chat?access_token=hunter2") as client:
        await client.send("hi")
        assert await client.receive() == "hi"
        (found,) = app.server.inspect().clients
    ((access, subject),) = noted
    assert (access.kind, access.method, access.status, access.endpoint) == ("handshake", "GET", 101, "live")
    assert access.address == "127.0.0.1"
    assert access.agent.startswith("Python")
    assert subject == Subject(found.id, None, "/chat")


async def test_a_user_is_named_whether_let_in_or_refused(app, noted, http):
    good = {"authorization": f"Bearer {token()}"}
    async with app.connect("/mine", additional_headers=good):
        pass
    with pytest.raises(InvalidStatus):
        async with app.connect("/mine", additional_headers={"authorization": "Bearer eyJ"}):
            pass
    answer = await http.get("/page", headers=good)
    assert answer.status_code == 200
    assert [(access.status, subject.user) for access, subject in noted] == [(101, "ann"), (401, None), (200, "ann")]
    assert not any("eyJ" in str(each) for each in noted)


async def test_a_refusal_by_close_frame_has_the_status_of_the_refusal(app, noted):
    async with app.connect("/mine", subprotocols=["signalpost.v1"]) as client:
        assert "unauthorized" in await client.receive()
    assert [(access.kind, access.status) for access, _ in noted] == [("handshake", 401)]


async def test_requests_are_logged_with_what_a_trusted_proxy_says(noted, http):
    forwarded = {"x-forwarded-for": "203.0.113.7", "origin": "http://localhost"}
    await http.get("/page?token=hunter2", headers=forwarded)
    await http.get("/none%1b")
    await http.head("/page")
    await http.post("/page", json={"password": "hunter2"})
    told = [(access.kind, access.method, subject.path, access.status) for access, subject in noted]
    assert told == [
        ("request", "GET", "/page", 200),
        ("request", "GET", "/none%1b", 404),
        ("request", "HEAD", "/page", 200),
        ("request", "POST", "/page", 200),
    ]
    first = noted[0][0]
    assert (first.address, first.origin, first.agent) == ("203.0.113.7", "http://localhost", "a test")
    assert first.seconds >= 0
    assert not any("hunter2" in str(each) for each in noted)


async def test_event_streams_are_handshakes_and_messages_by_post_are_requests(noted, http):
    async with http.stream("GET", "/chat", headers={"accept": "text/event-stream"}) as stream:
        assert stream.status_code == 200
        await http.post("/chat", json={"message": "hi"})
    async with http.stream("GET", "/mine", headers={"accept": "text/event-stream"}) as stream:
        assert stream.status_code == 401
    assert [(access.kind, access.method, access.status) for access, _ in noted] == [
        ("handshake", "GET", 200),
        ("request", "POST", 202),
        ("handshake", "GET", 401),
    ]
    assert noted[0][1].client


async def test_what_is_no_request_is_logged_by_its_status_alone(app, noted):
    _, _, port = app.url("web").rpartition(":")

    def ask():
        with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as sock:
            sock.sendall(b"\x1b[2J \0\r\n\r\n")
            while sock.recv(1_024):
                pass

    await asyncio.to_thread(ask)
    assert noted == [(Access("request", "", 400, None, "127.0.0.1"), Subject())]


async def test_without_an_access_log_nothing_is_made_for_one(monkeypatch):
    made = []
    monkeypatch.setattr(Access, "__init__", lambda *_, **__: made.append(1))
    async with (
        serve(APP) as app,
        app.connect("/chat") as client,
        httpx.AsyncClient(trust_env=False, base_url=app.url("web")) as http,
    ):
        await http.get("/page")
        await client.send("hi")
        assert await client.receive() == "hi"
    assert made == []
