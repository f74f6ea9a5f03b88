"""Presence of users: they are known by their names, over all their connections, and only some see who is there."""

import json

from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {}
signals:
  - path: /room
    presence: {info: {name: "{{ claims.name }}", user: "{{ user }}"}, grace: 0s, every: 1ms}
    may: {presence: "{{ claims.sees }}"}
"""
PLUGIN = """
from signalpost import Identity, hookimpl

CLAIMS = {"ann": {"name": "Ann Lee", "sees": True}, "bob": {"name": "Bob", "sees": False}}

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name, CLAIMS[name])
"""
ANN = {"n": 1, "info": {"name": "Ann Lee", "user": "ann"}}
BOB = {"n": 1, "info": {"name": "Bob", "user": "bob"}}


def as_user(app, name):
    headers = {"x-user": name}
    return app.connect("/room", subprotocols=["signalpost.v1"], additional_headers=headers)


async def told(client, kind):
    while True:
        ((found, body),) = json.loads(await client.socket.recv()).items()
        if found == kind:
            return body


async def test_users_are_seen_by_their_names_with_what_their_claims_say():
    async with serve(APP, plugins={"people": PLUGIN}) as app, as_user(app, "ann") as ann:
        assert (await told(ann, "presence"))["users"] == {"ann": ANN}
        async with as_user(app, "bob") as bob:
            assert (await told(bob, "welcome"))["user"] == "bob"
            seen = {}
            while "bob" not in seen:
                body = await told(ann, "presence")
                seen |= body.get("users", {}) | body.get("joined", {})
            assert seen["bob"] == BOB


async def test_two_connections_of_a_user_are_one_user():
    async with serve(APP, plugins={"people": PLUGIN}) as app, as_user(app, "ann") as first, as_user(app, "ann") as more:
        assert (await told(more, "presence"))["users"] == {"ann": {**ANN, "n": 2}}
        assert (await told(first, "welcome"))["user"] == "ann"


async def test_who_may_not_see_who_is_here_is_told_nothing_but_is_seen():
    async with serve(APP, plugins={"people": PLUGIN}) as app, as_user(app, "bob") as bob:
        await told(bob, "welcome")
        async with as_user(app, "ann") as ann:
            assert set((await told(ann, "presence"))["users"]) == {"ann", "bob"}
            await bob.socket.send(json.dumps({"signalpost": {"presence": {}}, "ref": 1}))
            ((kind, body),) = json.loads(await bob.socket.recv()).items()  # and nothing of ann before it
            assert (kind, body["code"]) == ("error", "forbidden")
        async with as_user(app, "ann") as ann:
            await told(ann, "presence")
            await bob.socket.send(json.dumps({"message": "still here", "ref": 2}))
            ((kind, _),) = json.loads(await bob.socket.recv()).items()
            assert kind in ("signal", "ack")
