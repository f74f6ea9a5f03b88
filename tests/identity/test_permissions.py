"""Who may do what, on real sockets: words, expressions, lists, and what happens to those who may not."""

import json
import re

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {}
signals:
  - {path: /open, may: {connect: anyone}}
  - {path: /users}
  - {path: "/rooms/<room>", rebroadcast: path, may: {connect: "{{ params.room in claims.rooms }}",
     publish: ["{{ 'editor' in claims.roles }}", "{{ message == 'please' }}"]}}
"""

PLUGIN = """
from signalpost import Identity, UnauthorizedError, hookimpl

PEOPLE = {
    "ann": {"rooms": ["blue"], "roles": ["editor"]},
    "bob": {"rooms": ["blue"], "roles": []},
}

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    if name is None:
        return None
    if name not in PEOPLE:
        raise UnauthorizedError("nobody knows this name")
    return Identity(name, PEOPLE[name])
"""


def app(**options):
    return serve(APP, plugins={"people": PLUGIN}, **options)


async def refused(app, path, user=None, **options):
    with pytest.raises(InvalidStatus) as caught:
        await app.connect(path, additional_headers={"x-user": user} if user else {}, **options).__aenter__()
    return caught.value.response.status_code


def as_user(app, path, user, **options):
    return app.connect(path, additional_headers={"x-user": user}, **options)


async def test_guests_connect_only_where_anyone_may():
    async with app() as server:
        assert await refused(server, "/users") == 401
        assert await refused(server, "/rooms/blue") == 401
        async with server.connect("/open") as guest:
            await guest.send("hello")
            assert await guest.receive() == "hello"


async def test_users_connect_where_their_claims_let_them():
    async with app() as server:
        assert await refused(server, "/rooms/red", "ann") == 403
        async with as_user(server, "/rooms/blue", "ann") as ann, as_user(server, "/rooms/blue", "bob") as bob:
            await ann.send("hello")
            assert await bob.receive() == "hello"
            await bob.send("no")
            assert json.loads(await bob.receive())["error"]["code"] == "forbidden"
            await bob.send("please")
            assert await ann.receive() == "hello"
            assert await ann.receive() == "please"


async def test_who_is_refused_and_speaks_v1_reads_why():
    async with app() as server:
        for user, code, word in ((None, 4401, "unauthorized"), ("ann", 4403, "forbidden")):
            headers = {"x-user": user} if user else {}
            options = {"additional_headers": headers, "subprotocols": ["signalpost.v1"]}
            async with server.connect("/rooms/red", **options) as client:
                assert json.loads(await client.receive())["error"]["code"] == word
                with pytest.raises(ConnectionClosed) as caught:
                    await client.receive()
                assert caught.value.rcvd.code == code


async def test_the_log_says_which_user_was_refused_by_which_line(caplog):
    async with app() as server:
        await refused(server, "/rooms/red", "ann")
        await refused(server, "/rooms/red", "ann", origin=server.url("live").replace("ws:", "http:"))
    by = r"refused \(403, You may not connect here: user 'ann', may\.connect \(.*routes\.yaml:8:63\)\)"
    lines = [line for line in caplog.messages if "was refused" in line]
    assert len(lines) == 2
    assert all(re.search(by, line) for line in lines)


@pytest.mark.parametrize(
    ("user", "fault"),
    [
        ("x" * 256, "has 256 characters (allowed: 1 to 255)"),
        ("an\nn", "has a control character"),
        (7, "must be a text, not the number 7"),
    ],
)
async def test_a_plugin_that_names_no_proper_user_lets_nobody_in(caplog, user, fault):
    plugin = f"from signalpost import Identity, hookimpl\n@hookimpl\ndef authenticate(): return Identity({user!r})"
    async with serve(APP, plugins={"odd": plugin}) as server:
        assert await refused(server, "/open") == 500
    assert f"the user of the Identity that authenticate returns {fault}" in caplog.text


@pytest.mark.parametrize("user", ["Zoë Lee", "Ann\u00a0Lee", "🧑\u200d🚀"])
async def test_a_plugin_may_name_whom_a_token_may(user):
    plugin = f"from signalpost import Identity, hookimpl\n@hookimpl\ndef authenticate(): return Identity({user!r})"
    async with serve(APP, plugins={"people": plugin}) as server, server.connect("/users") as client:
        await client.send("hello")
        assert await client.receive() == "hello"


async def test_what_a_route_tells_a_user_is_kept_by_no_shared_cache_though_anyone_may_ask():
    text = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
auth: {}
routes: [{path: /me, method: GET, may: anyone, do: [{respond: {text: "you are {{ user }}"}}]}]
"""
    async with serve(text, plugins={"people": PLUGIN}) as server, httpx.AsyncClient(trust_env=False) as web:
        answer = await web.get(server.url("web") + "/me", headers={"x-user": "ann"})
        assert (answer.text, answer.headers["cache-control"]) == ("you are ann", "private")
        assert "cache-control" not in (await web.get(server.url("web") + "/me")).headers


async def test_the_log_names_the_place_of_the_endpoint_that_refused_though_two_share_a_port(caplog):
    shared = "endpoints:\n  - {name: web, address: 127.0.0.1, port: 8089, protocol: http}\n"
    shared += "  - {name: live, address: 127.0.0.1, port: 8089, protocol: ws}\n"
    text = APP.replace("\nendpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n", shared)
    async with serve(text) as server:
        assert await refused(server, "/users", endpoint="live") == 401
    assert re.search(r"routes\.yaml:3: endpoint live: a WebSocket at", caplog.text)


CLAIMING = """
from signalpost import Identity, hookimpl

ROLES = ["reader"]
ODD = {"text": {"expires": "soon"}, "nan": {"expires": float("nan")}, "bool": {"issued": True}, "id": {"token_id": 7},
       "claims": {"claims": None}}

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name, **{"claims": {"roles": ROLES}, **ODD.get(name, {})})

@hookimpl
def client_connected(client):
    ROLES.append("editor")
"""
CLAIMED = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {}
signals: [{path: /room, rebroadcast: path, may: {publish: "{{ 'editor' in claims.roles }}"}}]
"""


async def test_what_a_plugin_changes_in_its_claims_afterwards_gives_nobody_a_role():
    async with serve(CLAIMED, plugins={"claiming": CLAIMING}) as app, as_user(app, "/room", "ann") as ann:
        await ann.send("as an editor")
        assert json.loads(await ann.receive())["error"]["code"] == "forbidden"


@pytest.mark.parametrize("name", ["text", "nan", "bool", "id", "claims"])
async def test_an_identity_that_cannot_be_one_refuses_the_client_and_names_the_hook(name, caplog):
    async with serve(CLAIMED, plugins={"claiming": CLAIMING}) as app:
        assert await refused(app, "/room", name) == 500
    assert "plugin claiming: hook authenticate failed" in caplog.text


VIEWED = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
auth: {}
routes:
  - {path: /me, method: GET, do: [{respond: {text: "{{ user }}"}}]}
  - {path: /all, method: GET, do: [{respond: {text: "all", headers: {cache-control: "public, max-age=60"}}}]}
"""


async def test_no_shared_cache_keeps_what_a_route_for_anyone_says_to_a_user():
    async with serve(VIEWED, plugins={"people": PLUGIN}) as app, httpx.AsyncClient(trust_env=False) as web:
        ann = {"x-user": "ann"}
        assert (await web.get(app.url("web") + "/me", headers=ann)).headers["cache-control"] == "private"
        assert "cache-control" not in (await web.get(app.url("web") + "/me")).headers
        assert (await web.get(app.url("web") + "/all", headers=ann)).headers["cache-control"] == "public, max-age=60"
