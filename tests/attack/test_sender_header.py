"""Requests that try to be answered over the connection of somebody else."""

import asyncio
import dataclasses

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.auth.identity import GUEST, Identity
from signalpost.signals.sessions import may_use
from signalpost.testing import serve

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, origins: ["https://friend.example"]}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
limits: {drain: 0}
signals:
  - {path: /a}
  - {path: /slow, connected: [{wait: 60s}]}
routes:
  - {path: /who, method: [GET, POST], do: [{respond: {json: {id: "{{ client.id if client else none }}"}}}]}
  - {path: /reply, do: [{reply: {value: x}}]}
"""
NOBODY = {"id": None}
V1 = ["signalpost.v1"]


@pytest.fixture
async def app():
    async with serve(APP) as running:
        yield running


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(base_url=app.url("web")) as client:
        yield client


async def test_the_id_of_a_client_is_no_session(app, http):
    async with app.connect("/a", subprotocols=V1) as client:
        welcome = (await client.receive_json())["welcome"]
        for text in (client.id, welcome["session"][:-1], welcome["session"].swapcase(), welcome["session"] + ","):
            assert (await http.get("/who", headers={"signalpost-session": text})).json() == NOBODY


async def test_two_headers_name_nobody(app, http):
    async with app.connect("/a", subprotocols=V1) as client:
        session = (await client.receive_json())["welcome"]["session"]
        twice = [("signalpost-session", session), ("signalpost-session", "x")]
        assert (await http.get("/who", headers=twice)).json() == NOBODY
        assert (await http.get(f"/who?signalpost-session={session}")).json() == NOBODY
        assert (await http.get("/who", headers={"cookie": f"signalpost-session={session}"})).json() == NOBODY


async def test_a_session_is_never_told_to_a_client_that_has_not_got_it(app, http):
    answer = await http.post("/reply", headers={"signalpost-session": "guessed-secret"})
    assert answer.status_code == 409
    assert "guessed-secret" not in answer.text


async def test_a_client_that_may_still_be_refused_is_nobody(app, http):
    async with app.connect("/slow", subprotocols=V1) as client:
        session = (await client.receive_json())["welcome"]["session"]
        assert (await http.get("/who", headers={"signalpost-session": session})).json() == NOBODY
        assert (await http.post("/reply", headers={"signalpost-session": session})).status_code == 409


async def test_a_page_of_another_origin_may_not_even_ask_with_the_header(app, http):
    async with app.connect("/a", subprotocols=V1) as client:
        session = (await client.receive_json())["welcome"]["session"]
        asks = {
            "access-control-request-method": "GET",
            "access-control-request-headers": "signalpost-session",
        }
        foreign = await http.options("/who", headers={"origin": "https://evil.example", **asks})
        assert "access-control-allow-headers" not in foreign.headers
        friend = await http.options("/who", headers={"origin": "https://friend.example", **asks})
        assert friend.headers["access-control-allow-headers"] == "signalpost-session"
        evil = {"origin": "https://evil.example", "signalpost-session": session}
        assert (await http.post("/reply", headers=evil)).status_code == 403


async def test_a_session_that_was_taken_over_names_the_client_that_has_it(app, http):
    async with app.connect("/a", subprotocols=V1) as first:
        session = (await first.receive_json())["welcome"]["session"]
        async with app.connect("/a", subprotocols=[*V1, f"signalpost.session.{session}"]) as second:
            await second.receive_json()
            assert (await http.get("/who", headers={"signalpost-session": session})).json() == {"id": second.id}


async def test_a_request_never_acts_as_the_client_of_another_user(app, http):
    async with app.connect("/a", subprotocols=V1) as client:
        session = (await client.receive_json())["welcome"]["session"]
        (connected,) = app.server.node.hub.clients.values()
        app.server.node.hub.identify(connected, Identity("ann"))
        assert (await http.get("/who", headers={"signalpost-session": session})).json() == NOBODY
        assert app.server.node.sender(session, Identity("eve")) is None
        assert app.server.node.sender(session, Identity("ann")).client is connected


USERS = st.none() | st.text(min_size=1, max_size=3)


@given(owner=USERS, user=USERS)
def test_only_the_same_user_may_use_a_session(owner, user):
    assert may_use(Identity(owner), dataclasses.replace(GUEST, user=user)) is (owner == user)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(min_size=1, max_size=300).filter(lambda raw: not set(raw) & set(b"\r\n")))
async def test_whatever_the_header_holds_is_an_answer_and_nobody(app, text):
    port = next(each.port for each in app.server.endpoints if each.name == "web")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    writer.write(head + b"signalpost-session: " + text + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ") or answer.endswith(b'{"id":null}')
