"""The target ``user``: all connections of one user, and no guest's."""

import contextlib
import re

import httpx
import orjson
import pytest
from click.testing import CliRunner

from signalpost.cli import cli
from signalpost.cli.types import types_text
from signalpost.testing import load_app, serve

PLAIN = 'signals: [{path: "/rooms/<room>"}, {path: /other}]'


async def frames_until(client, last):
    """Read a client's frames up to this one, which is left out."""
    frames = []
    while (frame := await client.receive()) != last:
        frames.append(frame)
    return frames


@contextlib.asynccontextmanager
async def people(app, as_user, *, v1=()):
    """Connect ann twice in the blue room and once elsewhere, bob in the blue room, and a guest there."""
    where = {
        "ann1": ("/rooms/blue", "ann"),
        "ann2": ("/rooms/blue", "ann"),
        "ann3": ("/other", "ann"),
        "bob": ("/rooms/blue", "bob"),
        "guest": ("/rooms/blue", None),
    }
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(app.connect(path, **as_user(user, v1=name in v1)))
            for name, (path, user) in where.items()
        }


async def received(app, clients):
    app.server.node.broadcaster("that is all")
    return {name: found for name, each in clients.items() if (found := await frames_until(each, "that is all"))}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"user": "ann"}, {"ann1", "ann2", "ann3"}),
        ({"user": "ann", "path": "/rooms/blue"}, {"ann1", "ann2"}),
        ({"user": "ann", "group": "red"}, {"ann2"}),
        ({"user": "bob"}, {"bob"}),
        ({"user": "red"}, set()),
        ({"user": "nobody"}, set()),
    ],
)
async def test_a_broadcast_to_a_user_reaches_all_of_its_connections_that_match(app, as_user, target, expected):
    async with app(PLAIN) as running, people(running, as_user) as clients:
        running.server.node.hub.find(clients["ann2"].id).join("red")
        receipt = running.server.node.broadcaster("hello", **target)
        assert receipt.matched == len(expected)
        assert await received(running, clients) == {name: ["hello"] for name in expected}


async def test_a_broadcast_to_one_connection_of_another_user_reaches_nobody(app, as_user):
    async with app(PLAIN) as running, people(running, as_user) as clients:
        broadcast = running.server.node.broadcaster
        assert broadcast("hello", client=clients["bob"].id, user="ann").matched == 0
        assert broadcast("hello", client=clients["ann3"].id, user="ann").matched == 1


@pytest.mark.parametrize(("user", "error"), [("", ValueError), (5, TypeError)])
async def test_a_broadcast_to_a_user_without_a_name_is_an_error(app, user, error):
    async with app(PLAIN) as running:
        with pytest.raises(error, match="user="):
            running.server.node.broadcaster("hello", user=user)


async def test_a_step_sends_to_a_user_but_not_to_the_sender(app, as_user):
    text = """
    signals:
      - path: "/rooms/<room>"
        do: [{broadcast: {value: "{{ message }} ({{ matched }})", user: "{{ data.who }}", to: others}}]
      - path: /other
    """
    async with app(text) as running, people(running, as_user) as clients:
        await clients["ann1"].send("hi", who="ann")
        assert await clients["ann3"].receive() == "hi (0)"
        assert await received(running, clients) == {"ann2": ["hi (0)"]}


async def test_a_user_that_renders_to_nothing_is_a_failed_step_and_never_everyone(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", do: [{broadcast: {value: x, user: "{{ data.who }}"}}]}, {path: /other}]'
    async with app(text) as running, people(running, as_user) as clients:
        await clients["guest"].send("hi", who="")
        assert "handler-failed" in await clients["guest"].receive()
        assert await received(running, clients) == {}


@pytest.mark.parametrize("key", ["user", "USER", "uSer"])
async def test_a_message_may_name_a_user_where_targets_say_so(app, as_user, key):
    text = 'signals: [{path: "/rooms/<room>", targets: [user, path]}, {path: /other}]'
    async with app(text) as running, people(running, as_user) as clients:
        await clients["guest"].send("hi", **{key: "ann"})
        await clients["guest"].send("here", **{key: "ann", "path": "/rooms/blue"})
        assert [await clients["ann1"].receive(), await clients["ann1"].receive()] == ["hi", "here"]
        assert await received(running, clients) == {"ann2": ["hi", "here"], "ann3": ["hi"]}


async def test_user_is_a_key_of_the_app_s_own_where_targets_do_not_name_it(app, as_user):
    text = """
    signals:
      - path: "/rooms/<room>"
        schema: {required: [User], properties: {User: {type: integer}}}
      - {path: /other, do: [{reply: {value: "{{ data.user }}"}}]}
    """
    async with app(text) as running, people(running, as_user) as clients:
        await clients["guest"].send("hi", User=5)
        await clients["ann3"].send("hi", user={"name": "x"})
        assert [await clients["ann3"].receive() for _ in "12"] == ["hi", '{"name":"x"}']
        assert await received(running, clients) == {name: ["hi"] for name in clients if name != "ann3"}


async def test_a_user_that_is_no_text_is_a_bad_message(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", targets: [user]}, {path: /other}]'
    async with app(text) as running, people(running, as_user) as clients:
        for user, detail in ((5, "user is a string, not a number"), ("", "user is empty")):
            await clients["bob"].send("hi", user=user)
            error = orjson.loads(await clients["bob"].receive())["error"]
            assert (error["code"], error["pointer"]) == ("bad-message", "/user")
            assert detail in error["detail"]
        await clients["bob"].send("to all", user=None)
        assert await clients["bob"].receive() == "to all"
        assert await received(running, clients) == {name: ["to all"] for name in clients if name != "bob"}


async def test_a_schema_judges_the_user_that_a_message_names(app, as_user):
    text = """
    signals:
      - path: "/rooms/<room>"
        targets: [user]
        schema: {properties: {message: {}, user: {enum: [bob]}}, additionalProperties: false}
      - path: /other
    """
    async with app(text) as running, people(running, as_user) as clients:
        await clients["guest"].send("hi", user="bob")
        await clients["guest"].send("hi", user="ann")
        assert "schema-mismatch" in await clients["guest"].receive()
        assert await received(running, clients) == {"bob": ["hi"]}


async def test_a_message_to_a_user_skips_clients_on_paths_that_take_nothing_from_elsewhere(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", targets: [user]}, {path: /other, from_elsewhere: false}]'
    async with app(text) as running, people(running, as_user) as clients:
        await clients["guest"].send("hi", user="ann")
        assert await clients["ann1"].receive() == "hi"
        assert await received(running, clients) == {"ann2": ["hi"]}


async def test_a_handler_s_broadcast_goes_to_the_user_that_the_message_names_with_the_same_care(app, as_user):
    plugin = """
    from signalpost import signal

    @signal("speak")
    async def speak(event):
        event.broadcast([event.data.user, event.client.user, event.data.message])
    """
    text = """
    signals: [{path: "/rooms/<room>", handler: speak, targets: [user]}, {path: /other, from_elsewhere: false}]
    """
    async with app(text, plugins={"speak": plugin}) as running, people(running, as_user) as clients:
        await clients["bob"].send("hi", user="ann")
        assert await clients["ann1"].receive() == '["ann","bob","hi"]'
        assert await received(running, clients) == {"ann2": ['["ann","bob","hi"]']}


async def test_what_is_sent_to_a_user_is_never_kept(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", rebroadcast: path, history: 10}, {path: /other}]'
    async with app(text) as running, people(running, as_user):
        running.server.node.broadcaster("secret", path="/rooms/blue", user="ann")
        running.server.node.broadcaster("all", path="/rooms/blue")
        assert [kept.value for kept in running.server.node.memory.history("/rooms/blue").values] == ["all"]


async def test_a_filter_sees_the_user_and_may_take_it_away_from_a_message(app, as_user):
    plugin = """
    from signalpost import hookimpl

    seen = []

    @hookimpl
    def filter_message(message):
        if message.message == "to all":
            message.user = None

    @hookimpl
    def filter_broadcast(outgoing):
        outgoing.value = [outgoing.user, outgoing.value]
    """
    text = 'signals: [{path: "/rooms/<room>", targets: [user]}, {path: /other}]'
    async with app(text, plugins={"look": plugin}) as running, people(running, as_user) as clients:
        await clients["bob"].send("to ann", user="ann")
        await clients["bob"].send("to all", user="ann")
        assert [await clients["ann1"].receive_json() for _ in "12"] == [["ann", "to ann"], [None, "to all"]]
        assert await clients["guest"].receive_json() == [None, "to all"]


async def test_a_signalpost_v1_client_reads_what_is_sent_to_its_user_as_a_signal(app, as_user):
    async with app(PLAIN) as running, people(running, as_user, v1=["ann1"]) as clients:
        running.server.node.broadcaster("hi", user="ann", path="/rooms/blue")
        await clients["ann1"].receive()
        assert await clients["ann1"].receive_json() == {"signal": {"path": "/rooms/blue", "value": "hi"}}


async def test_another_target_than_those_allowed_is_refused_with_user_among_them(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", targets: [user]}, {path: /other}]'
    async with app(text) as running, people(running, as_user) as clients:
        await clients["bob"].send("hi", group="red", user="ann")
        error = orjson.loads(await clients["bob"].receive())["error"]
        assert error["detail"] == "this signal does not let a message choose its group (allowed: user)"


async def test_a_post_may_name_a_user_as_a_message_on_a_websocket_does(app, as_user):
    text = 'signals: [{path: "/rooms/<room>", targets: [user]}, {path: /other}]'
    async with app(text) as running, people(running, as_user) as clients, httpx.AsyncClient() as web:
        url = f"{running.url('live')}/rooms/blue"
        assert (await web.post(url, json={"message": "hi", "USER": "ann"})).status_code == 202
        refused = await web.post(url, json={"message": "hi", "group": "red"})
        assert refused.json()["error"]["code"] == "target-not-allowed"
        assert await received(running, clients) == {name: ["hi"] for name in ("ann1", "ann2", "ann3")}


def test_try_says_who_receives_what_is_sent_to_a_user(tmp_path):
    load_app(
        "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nsignals: [{path: /x, targets: [user]}]",
        tmp_path,
    ).registry.unload()
    clients = [option for each in ("phone@ann=/x", "desk@ann=/x,red", "bob@bob=/x") for option in ("--client", each)]
    message = '{"message": "hi", "user": "ann"}'
    result = CliRunner().invoke(cli, ["try", "/x", message, str(tmp_path / "routes.yaml"), *clients])
    assert 'message = "hi"; asks for user = "ann"' in result.output
    assert "re-broadcast to clients of user ann" in result.output
    found = re.findall(r"^(\S+) +/x +\S+ +(hi|-)$", result.output, re.MULTILINE)
    assert found == [("phone@ann", "hi"), ("desk@ann", "hi"), ("bob@bob", "-"), ("you", "-")]


@pytest.mark.parametrize(
    ("targets", "user"), [("[user]", "user?: string"), ("[path]", None), ("[path, user]", "user?: string")]
)
def test_types_have_the_user_where_a_message_may_name_one_and_forbid_it_nowhere(tmp_path, targets, user):
    plan = load_app(
        f"endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]\n"
        f"signals: [{{path: /x, targets: {targets}, do: [{{reply: {{value: x}}}}]}}]",
        tmp_path,
    )
    text = types_text(plan)
    plan.registry.unload()
    assert "user?: never" not in text
    assert ("user?:" in text) is (user is not None)
    assert user is None or user in text


def test_explain_shows_a_user_among_what_a_client_may_choose_only_where_it_may(tmp_path):
    for targets, shown in (("", "path, clientId, group, direct\n"), (", targets: [user, path]", "path, user\n")):
        load_app(
            f"endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]\nsignals: [{{path: /x{targets}}}]",
            tmp_path,
        ).registry.unload()
        result = CliRunner().invoke(cli, ["explain", "/x", str(tmp_path / "routes.yaml")])
        assert f"a client may choose {shown}" in result.output


async def test_an_app_that_names_no_users_keeps_no_index_of_its_guests(app, as_user):
    async with app(PLAIN) as running, people(running, as_user):
        hub = running.server.node.hub
        assert {user: len(clients) for user, clients in hub._users.items()} == {"ann": 3, "bob": 1}
    assert hub._users == {}


HANDLED = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {}
signals:
  - {path: /ward, rebroadcast: path, connected: [{join: team}], may: {target: nobody}}
  - {path: /open, rebroadcast: path, connected: [{join: team}]}
  - {path: /ask, targets: [group, user], do: [{broadcast: {value: "{{ message }}"}}]}
"""
NAMED = """
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    return Identity(request.headers.get("x-user"))
"""


@pytest.mark.parametrize("target", [{"group": "team"}, {"user": "ann"}])
async def test_a_list_that_sends_where_the_message_asks_does_not_get_past_may_target(target):
    async with serve(HANDLED, plugins={"named": NAMED}) as app:
        ann, eve = ({"additional_headers": {"x-user": name}} for name in ("ann", "eve"))
        async with (
            app.connect("/ward", **ann) as ward,
            app.connect("/open", **ann) as free,
            app.connect("/ask", **eve) as asker,
        ):
            await asker.send("sent", **target)
            assert await free.receive() == "sent"
            await ward.send("said there")
            assert await ward.receive() == "said there"
