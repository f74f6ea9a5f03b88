"""Pode's behaviour 34: a broadcast level (path, group, client) makes a broader broadcast an error, whoever sends it."""

import json
import logging

import httpx
import pytest

from signalpost.testing import serve

TWO = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
undeclared: refuse
"""
PLUGIN = """
from signalpost import hookimpl, route, signal, timer

@hookimpl
def client_connected(client):
    client.join("red")

@signal("send")
async def send(event):
    try:
        receipt = event.broadcast("sent", **event.data.message)
    except ValueError as error:
        event.reply({"refused": str(error)})
    else:
        event.reply({"matched": receipt.matched})

@signal("careless")
async def careless(event):
    event.broadcast("for all")

@route("post")
async def post(event):
    event.broadcast("for all")

@timer("tick")
async def tick(event):
    event.broadcast("for all", path="/orders")
"""


def app(orders="broadest: client", whole="", more=""):
    """Return an app with a path of that level, and one whose handler broadcasts as its message says."""
    return f"""{TWO}
{whole}
signals:
  - {{path: /orders, rebroadcast: none, from_elsewhere: true, {orders}}}
  - {{path: /send, handler: send, targets: []}}
  - {{path: /say, rebroadcast: sender}}
  {more}
"""


async def outcome(sender, /, **target):
    """Return what became of a handler's broadcast: the number of clients, or why it was refused."""
    await sender.send(target)
    while True:
        said = json.loads(frame) if (frame := await sender.receive()) != "sent" else None
        if isinstance(said, dict):
            return said.get("matched", said.get("refused"))


EVERYONE, PATH, GROUP = {"to": "everyone"}, {"path": "/orders"}, {"path": "/orders", "group": "red"}


class Test34ABroadcastLevel:
    @pytest.mark.parametrize(
        ("level", "allowed", "refused"),
        [
            ("path", [PATH, GROUP], [EVERYONE]),
            ("group", [GROUP, {"group": "red"}], [PATH, EVERYONE]),
            ("client", [], [GROUP, {"group": "red"}, PATH, EVERYONE]),
        ],
    )
    async def test_34_lets_a_handler_send_no_more_broadly(self, level, allowed, refused):
        async with (
            serve(app(f"broadest: {level}"), plugins={"p": PLUGIN}) as running,
            running.connect("/orders") as order,
            running.connect("/send") as sender,
        ):
            for target in allowed:
                assert await outcome(sender, **target) in {1, 2}
                assert await order.receive() == "sent"
            for target in refused:
                assert f"broadest: {level}" in await outcome(sender, **target)
            assert await outcome(sender, client=order.id) == 1
            assert await order.receive() == "sent"

    async def test_34_of_the_app_holds_for_every_signal_that_says_nothing(self):
        text = app("broadest: everyone", "broadest: client")
        async with (
            serve(text, plugins={"p": PLUGIN}) as running,
            running.connect("/orders") as order,
            running.connect("/send") as sender,
        ):
            assert await outcome(sender, path="/orders") == 1  # which says otherwise
            assert await order.receive() == "sent"
            assert "broadest: client" in await outcome(sender, path="/send")
            assert "broadest: client" in await outcome(sender)

    async def test_34_never_forbids_an_answer_to_the_sender(self):
        async with serve(app("broadest: client"), plugins={"p": PLUGIN}) as running, running.connect("/send") as sender:
            assert await outcome(sender, to="sender") == 1

    async def test_34_counts_the_others_as_everyone(self):
        async with serve(app("broadest: path"), plugins={"p": PLUGIN}) as running, running.connect("/send") as sender:
            assert "everyone" in await outcome(sender, to="others")
            assert await outcome(sender, to="others", path="/orders") == 0

    async def test_34_is_named_by_the_error_with_the_handler_and_its_plugin(self, caplog):
        text = app(more="- {path: /careless, handler: careless}")
        async with (
            serve(text, plugins={"p": PLUGIN}) as running,
            running.connect("/careless") as careless,
            running.connect("/orders") as order,
        ):
            await careless.send("x")
            assert json.loads(await careless.receive())["error"]["code"] == "handler-failed"
            (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
            assert str(record.exc_info[1]).startswith('handler "careless" of plugin p (')
            assert "plugins/p.py:" in str(record.exc_info[1])
            assert "broadest: client" in str(record.exc_info[1])
            await careless.send("x", clientId=order.id)  # where the client asks it to go
            assert await order.receive() == "for all"

    async def test_34_holds_for_routes_and_timers(self, caplog):
        text = f"{app()}\nroutes: [{{path: /post, handler: post}}]\n"
        text += "timers: [{name: tick, every: 1h, handler: tick}]\n"
        async with (
            serve(text, plugins={"p": PLUGIN}) as running,
            running.connect("/orders") as order,
            running.connect("/say") as sender,
        ):
            async with httpx.AsyncClient() as http:
                assert (await http.post(f"{running.url('web')}/post")).status_code == 500
            await running.run_job("tick")
            failed = [str(each.exc_info[1]) for each in caplog.records if each.exc_info]
            assert [text.partition(" of ")[0] for text in failed] == ['handler "post"', 'handler "tick"']
            assert all("broadest: client" in text for text in failed)
            await sender.send("the only one", clientId=order.id)
            assert await order.receive() == "the only one"


class Test34WhatClientsAskFor:
    @pytest.mark.parametrize("keys", [{"path": "/orders"}, {"path": "/orders", "group": "red"}, {"group": "red"}])
    async def test_34_is_refused_beyond_the_level(self, keys):
        async with (
            serve(app(), plugins={"p": PLUGIN}) as running,
            running.connect("/orders") as order,
            running.connect("/say") as sender,
        ):
            await sender.send("x", **keys)
            error = json.loads(await sender.receive())["error"]
            assert (error["code"], "clientId" in error["detail"]) == ("target-not-allowed", True)
            assert "routes.yaml" not in error["detail"]
            await sender.send("for you", clientId=order.id)
            assert await order.receive() == "for you"

    async def test_34_is_refused_by_post_too(self):
        async with serve(app(), plugins={"p": PLUGIN}) as running, httpx.AsyncClient() as http:
            answer = await http.post(f"{running.url('web')}/say", json={"message": "x", "path": "/orders"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "target-not-allowed")

    async def test_34_goes_by_the_level_of_the_present_file(self):
        async with (
            serve(app(""), plugins={"p": PLUGIN}) as running,
            running.connect("/orders") as order,
            running.connect("/say") as sender,
        ):
            await sender.send("x", path="/orders")
            assert await order.receive() == "x"
            await running.reload(app("broadest: client"))
            await sender.send("x", path="/orders")
            assert json.loads(await sender.receive())["error"]["code"] == "target-not-allowed"

    async def test_34_leaves_out_of_the_count_what_takes_nothing_from_elsewhere(self):
        text = f"""{TWO}
signals:
  - {{path: /orders, rebroadcast: none, broadest: client}}
  - {{path: /chat}}
"""
        async with (
            serve(text) as running,
            running.connect("/orders") as order,
            running.connect("/chat") as sender,
        ):
            await sender.send("for all")
            assert await sender.receive() == "for all"
            await sender.send("for you", clientId=order.id)
            assert json.loads(await sender.receive())["error"]["code"] == "target-not-allowed"
