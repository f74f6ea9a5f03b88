"""Pode's behaviour 35: an unauthenticated upgrade on a protected path is refused."""

import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.testing import serve

SECRET = "mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
APP = f"""
endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]
undeclared: refuse
auth: {{tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256], lasting: true}}}}
signals: [{{path: /protected}}, {{path: /open, may: {{connect: anyone}}}}]
"""


def bearer(token):
    return {"additional_headers": {"authorization": f"Bearer {token}"}}


@pytest.fixture
def token():
    import jwt

    return jwt.encode({"sub": "ann"}, SECRET, "HS256")


async def test_an_upgrade_without_a_token_is_refused_where_that_is_asked_for():
    async with serve(APP) as app:
        with pytest.raises(InvalidStatus) as refused:
            await app.connect("/protected").__aenter__()
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["www-authenticate"] == "Bearer"
        async with app.connect("/open") as guest:
            await guest.send("hello")
            assert await guest.receive() == "hello"


async def test_an_upgrade_with_a_good_token_is_not_and_one_with_a_bad_token_is_everywhere(token):
    async with serve(APP) as app:
        async with app.connect("/protected", **bearer(token)) as ann:
            await ann.send("hello")
            assert await ann.receive() == "hello"
        for path in ("/protected", "/open"):
            with pytest.raises(InvalidStatus) as refused:
                await app.connect(path, **bearer(token[:-3])).__aenter__()
            assert refused.value.response.status_code == 401


async def test_a_browser_s_client_reads_why_instead_of_a_status_that_browsers_hide():
    async with serve(APP) as app, app.connect("/protected", subprotocols=["signalpost.v1"]) as refused:
        assert json.loads(await refused.socket.recv())["error"]["code"] == "unauthorized"
        with pytest.raises(ConnectionClosed) as closed:
            await refused.socket.recv()
        assert closed.value.rcvd.code == 4401
