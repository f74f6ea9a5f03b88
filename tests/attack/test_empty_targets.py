"""Targets that are empty, or nothing that could be a target: never everyone, and never nobody in silence."""

import json

import pytest

from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
PLUGIN = """
from signalpost import signal

@signal("ask", path="/ask")
async def ask(event):
    targets = {
        "client object": {"client": event.client},
        "bytes": {"client": b"x"},
        "number": {"path": 5},
        "list": {"group": ["a"]},
        "empty client": {"client": ""},
        "empty path": {"path": ""},
        "empty group": {"group": ""},
        "others": {"to": "others", "group": ""},
        "none": {"path": None, "group": None, "client": None},
        "one": {"path": None, "client": event.client.id},
    }
    try:
        event.reply(event.broadcast("value", **targets[event.data.message]).matched)
    except (TypeError, ValueError) as error:
        event.reply(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("key", ["path", "clientId", "group"])
@pytest.mark.parametrize("spelt", [str, str.upper])
async def test_an_empty_target_of_a_client_is_refused_and_null_is_none_at_all(key, spelt):
    async with serve(LIVE) as app, app.connect("/a") as sender, app.connect("/b") as other:
        await sender.send_raw(json.dumps({"message": "secret", spelt(key): "", "ref": 1}))
        error = json.loads(await sender.receive())["error"]
        assert (error["code"], error["pointer"], error["ref"]) == ("bad-message", f"/{key}", 1)
        assert error["detail"] == f"{key} is empty: leave it out, or send null, to ask for no {key} at all"
        await sender.send_raw(json.dumps({"message": "for all", spelt(key): None}))
        assert await other.receive() == "for all"


@pytest.mark.parametrize("rest", [{"direct": True}, {"path": "/a"}])
async def test_an_empty_target_beside_another_is_refused_too(rest):
    async with serve(LIVE) as app, app.connect("/a") as sender:
        await sender.send("x", clientId="", **rest)
        assert "bad-message" in await sender.receive()


@pytest.mark.parametrize("group", [" ", "\n"])
async def test_a_target_of_white_space_reaches_nobody(group):
    async with serve(LIVE) as app, app.connect("/a") as sender:
        for key in ("path", "clientId", "group"):
            await sender.send("x", **{key: group})
        await sender.send("end")
        assert await sender.receive() == "end"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("client object", "TypeError: client= is a string, or None for no client at all; not a Client: write"),
        ("bytes", "TypeError: client= is a string, or None for no client at all; not a bytes"),
        ("number", "TypeError: path= is a string, or None for no path at all; not a int"),
        ("list", "TypeError: group= is a string, or None for no group at all; not a list"),
        ("empty client", 'ValueError: client="" names nobody'),
        ("empty path", 'ValueError: path="" names nobody'),
        ("empty group", 'ValueError: group="" names nobody'),
        ("others", 'ValueError: group="" names nobody'),
    ],
)
async def test_a_handler_that_gives_no_target_is_told_so_and_nobody_gets_the_value(asked, answer):
    async with serve(LIVE, plugins={"ask": PLUGIN}) as app, app.connect("/ask") as client:
        await client.send(asked)
        assert (await client.receive()).startswith(answer)


async def test_none_is_not_given_in_a_handler_as_in_pode():
    async with serve(LIVE, plugins={"ask": PLUGIN}) as app, app.connect("/ask") as client, app.connect("/b") as other:
        await client.send("none")
        assert [await client.receive(), await client.receive(), await other.receive()] == ["value", "2", "value"]
        await client.send("one")
        assert [await client.receive(), await client.receive()] == ["value", "1"]


@pytest.mark.parametrize("given", ['""', "none", "data.nothing", "' '[1:]"])
@pytest.mark.parametrize(
    "step",
    [
        'broadcast: {{value: secret, client: "{{{{ {0} }}}}"}}',
        'broadcast: {{value: secret, path: "{{{{ {0} }}}}"}}',
        'broadcast: {{value: secret, group: "{{{{ {0} }}}}"}}',
        'broadcast: {{value: secret, to: others, group: "{{{{ {0} }}}}"}}',
        'join: "{{{{ {0} }}}}"',
        'leave: "{{{{ {0} }}}}"',
    ],
)
async def test_a_template_that_gives_an_empty_target_fails_its_step(step, given, caplog):
    signals = f"signals: [{{path: /a, do: [{{{step.format(given.replace(chr(34), chr(39)))}}}]}}]"
    async with serve(LIVE + signals) as app, app.connect("/a") as sender, app.connect("/b") as other:
        await sender.send("x")
        assert "handler-failed" in await sender.receive()
        await other.send("end")
        assert await other.receive() == "end"
    assert "routes.yaml" in caplog.text


async def test_a_group_that_nobody_could_name_is_not_joined_and_a_long_one_is_not_kept():
    plugin = """
    from signalpost import signal

    @signal("join", path="/join")
    async def join(event):
        answers = []
        for group in ("", 5, None, ["a"], event.client, "x" * 256, event.data.message, "a", "y" * 255):
            try:
                event.client.join(group)
            except (TypeError, ValueError) as error:
                answers.append(type(error).__name__)
            else:
                answers.append(group[:1])
        event.reply(answers)
    """
    live = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
    async with serve(live, plugins={"join": plugin}) as app, app.connect("/join") as client:
        await client.send("z" * 900_000)
        wrong = ["ValueError", *["TypeError"] * 4, *["ValueError"] * 2]
        assert await client.receive_json() == [*wrong, "a", "y"]
        assert app.server.node.hub.clients[client.id].groups == {"a", "y" * 255}
