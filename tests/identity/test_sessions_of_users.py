"""Sessions of users: they survive a reconnect of the same user, and are worth nothing to anybody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.signing import Signer
from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {}
signals: [{path: /room, may: {connect: anyone}, connected: [{if: "{{ user == 'ann' }}", then: [{join: editors}]}]}]
"""
PLUGIN = """
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name) if name else None
"""


def as_user(app, name=None, session=None):
    offered = ["signalpost.v1", *([] if session is None else [f"signalpost.session.{session}"])]
    headers = {} if name is None else {"x-user": name}
    return app.connect("/room", subprotocols=offered, additional_headers=headers)


async def welcomed(client):
    return json.loads(await client.socket.recv())["welcome"]


@pytest.fixture
async def app():
    async with serve(APP, plugins={"people": PLUGIN}) as app:
        yield app


async def test_a_session_of_a_user_is_signed_and_known_again(app):
    async with as_user(app, "ann") as ann:
        session = (await welcomed(ann))["session"]
        assert len(session.split(".")) == 2
        app.server.node.hub.clients[ann.id].join("red")
    async with as_user(app, "ann", session) as again:
        assert (await welcomed(again))["session"] == session
        assert app.server.node.hub.clients[again.id].groups == {"editors", "red"}


@pytest.mark.parametrize("other", [None, "bob", "anna"])
async def test_to_another_user_or_a_guest_it_is_worth_nothing(app, other):
    async with as_user(app, "ann") as ann:
        session = (await welcomed(ann))["session"]
        async with as_user(app, other, session) as thief:
            assert (await welcomed(thief))["session"] != session
            assert app.server.node.hub.clients[thief.id].groups == set()
            assert not app.server.node.hub.clients[ann.id].closing
    async with as_user(app, other, session) as thief:
        assert (await welcomed(thief))["session"] != session
        assert app.server.node.hub.clients[thief.id].groups == set()


async def test_a_guest_who_has_signed_in_is_another(app):
    async with as_user(app) as guest:
        session = (await welcomed(guest))["session"]
        assert "." not in session
    async with as_user(app, "ann", session) as ann:
        assert (await welcomed(ann))["session"] != session


NAMES = st.text(min_size=1, max_size=20)


@given(
    text=st.text(alphabet="abcXYZ019-_", min_size=1, max_size=30),
    user=NAMES,
    other=NAMES,
    secret=st.binary(min_size=32),
)
def test_a_signature_is_of_one_text_one_user_and_one_secret(text, user, other, secret):
    signer = Signer(secret)
    signed = signer.signed(text, user)
    assert signer.is_signed(signed, user)
    assert signer.is_signed(signed, other) is (user == other)
    assert not Signer(secret + b"x").is_signed(signed, user)
    assert not signer.is_signed(f"x{signed}", user)
    assert not signer.is_signed(text, user)
