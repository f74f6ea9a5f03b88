"""Who may see who is there, asked again when the client or the plan has become another."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tokenapp import AUTH, ENDPOINTS, renewal, token_app

RULE = "\"{{ 'staff' in claims.roles }}\""
APP = (
    AUTH
    + """
signals:
  - {path: /desk, rebroadcast: path, presence: {every: 100ms, grace: 0s}, may: {presence: %s}}
"""
)
NOBODY = {"path": "/desk", "version": 0, "count": 0, "users": {}}


async def until(client, kind, fits=lambda _body: True):
    """Return the next notice of a kind that fits, and the kinds of all that came before it."""
    before = []
    while True:
        ((name, body),) = (await client.receive_json()).items()
        if name == kind and fits(body):
            return body, before
        before.append(name)


async def sees(client, user):
    await until(client, "presence", lambda body: user in {**body.get("users", {}), **body.get("joined", {})})


async def hears_but_sees_nobody(client, other):
    """Send something from another client, which was there before; return whether no presence came before it."""
    await other.send("after")
    _, before = await until(client, "signal")
    return "presence" not in before


async def test_a_renewal_that_takes_the_role_away_hides_who_is_there_and_another_shows_it():
    async with token_app(APP % RULE) as server:
        plain = server.token(roles=[])
        async with server.client(server.token(roles=["staff"]), "/desk") as ann:
            await sees(ann, "ann")
            await ann.send_raw(renewal(plain))
            assert (await until(ann, "presence", lambda body: "users" in body))[0] == NOBODY
            async with (
                server.client(server.token("eve", roles=["staff"]), "/desk") as eve,
                server.client(server.token("bob", roles=[]), "/desk") as bob,
            ):
                await sees(eve, "bob")
                assert await hears_but_sees_nobody(ann, bob)
                await ann.send_raw(renewal(server.token(roles=["staff"])))
                await sees(ann, "bob")


async def test_a_reload_that_lets_nobody_see_hides_who_is_there_and_another_shows_it():
    async with token_app(APP % RULE) as server, server.client(server.token(roles=["staff"]), "/desk") as ann:
        await sees(ann, "ann")
        await server.app.reload(ENDPOINTS + APP % "nobody")
        assert (await until(ann, "presence", lambda body: "users" in body))[0] == NOBODY
        await server.app.reload(ENDPOINTS + APP % RULE)
        await sees(ann, "ann")


async def test_a_reload_that_begins_presence_asks_the_new_plan_who_may_see():
    before = APP.replace(", presence: {every: 100ms, grace: 0s}", "")
    async with token_app(before % "anyone") as server, server.client(server.token(), "/desk") as ann:
        await server.app.reload(ENDPOINTS + APP % "nobody")
        async with server.client(server.token("bob"), "/desk") as bob:
            assert await hears_but_sees_nobody(ann, bob)
