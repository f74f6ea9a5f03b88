"""The hook `authorize`, on real sockets: it goes before `may`, and whatever is no answer is no."""

import json

import pytest
from websockets.exceptions import InvalidStatus

from signalpost.testing import serve

APP = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
undeclared: refuse
auth: {}
signals:
  - {path: "/rooms/<room>", rebroadcast: path, may: {connect: users, publish: "{{ 'editor' in claims.roles }}"}}
"""

PLUGIN = '''
import json
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return None if name is None else Identity(name, {"roles": ["editor"] if name == "ann" else []})

@hookimpl
def authorize(identity, verb, path, message):
    """Have the opinion that a room's name asks for."""
    room = path.split("/")[-1]
    if room == "told":
        print(json.dumps([identity.user, verb, path, message]))
    if not room.startswith(verb):
        return None
    return {"yes": True, "no": False, "odd": "yes"}[room.split("-")[1]]  # of another word it is a KeyError
'''


def as_user(app, path, user):
    headers = {} if user is None else {"x-user": user}
    return app.connect(path, subprotocols=["signalpost.v1"], additional_headers=headers)


async def refusal(app, path, user):
    """Return the error that a client reads instead of a welcome; None if it is let in."""
    async with as_user(app, path, user) as client:
        return (await client.receive_json()).get("error", {}).get("code")


async def answer(app, where, user, **keys):
    """Return what a connected client's message is answered with."""
    async with as_user(app, where, user) as client:
        await client.receive_json()
        await client.send("hi", ref=1, **keys)
        while True:
            read = await client.receive_json()
            if "signal" not in read:
                return read["error"]["code"] if "error" in read else next(iter(read))


async def test_an_opinion_goes_before_may_and_none_leaves_it_to_may():
    async with serve(APP, plugins={"house": PLUGIN}) as app:
        assert await refusal(app, "/rooms/connect-yes", None) is None
        assert await refusal(app, "/rooms/connect-no", "ann") == "forbidden"
        assert await refusal(app, "/rooms/connect-no", None) == "unauthorized"
        assert await refusal(app, "/rooms/blue", None) == "unauthorized"
        assert await answer(app, "/rooms/publish-yes", "bob") == "ack"
        assert await answer(app, "/rooms/publish-no", "ann") == "forbidden"
        assert await answer(app, "/rooms/blue", "ann") == "ack"
        assert await answer(app, "/rooms/blue", "bob") == "forbidden"


@pytest.mark.parametrize("room", ["connect-odd", "connect-fails"])
async def test_what_is_no_answer_is_no_and_is_logged(caplog, room):
    async with serve(APP, plugins={"house": PLUGIN}) as app:
        assert await refusal(app, f"/rooms/{room}", "ann") == "forbidden"
    assert "plugin house: hook authorize failed" in caplog.text


async def test_who_is_refused_and_speaks_no_protocol_reads_a_status():
    async with serve(APP, plugins={"house": PLUGIN}) as app:
        with pytest.raises(InvalidStatus) as refused:
            async with app.connect("/rooms/connect-no", additional_headers={"x-user": "ann"}):
                pass
        assert refused.value.response.status_code == 403


async def test_it_is_told_who_what_where_and_of_messages_the_whole(capsys):
    async with serve(APP, plugins={"house": PLUGIN}) as app:
        assert await answer(app, "/rooms/told", "ann", path="/rooms/told", mood="good") == "ack"
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    whole = {"message": "hi", "path": "/rooms/told", "mood": "good"}  # and no ref
    assert ["ann", "connect", "/rooms/told", None] in told
    assert ["ann", "publish", "/rooms/told", whole] in told
    assert ["ann", "target", "/rooms/told", whole] in told
