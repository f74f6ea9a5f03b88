"""Lists of actions about clients that come and go, and the life of the server."""

import pytest


async def test_lists_are_done_when_a_client_has_come_and_when_it_is_gone(live):
    signals = """
signals:
  - path: /here/<name>
    connected:
      - reply: {value: "welcome {{ params.name }}"}
      - broadcast: {value: "{{ params.name }} of {{ clients | length }}"}
    disconnected:
      - broadcast: {value: "{{ params.name }} left with {{ code }}, {{ clients | length }} stay"}
"""
    async with live(signals) as app, app.connect("/here/ada") as ada:
        assert [await ada.receive() for _ in range(2)] == ["welcome ada", "ada of 1"]
        async with app.connect("/here/bob") as bob:
            assert [await bob.receive() for _ in range(2)] == ["welcome bob", "bob of 2"]
            assert await ada.receive() == "bob of 2"
        assert await ada.receive() == "bob left with 1000, 1 stay"


async def test_a_client_may_be_turned_away_at_once_and_is_told_why(live):
    turned_away = '{if: "{{ request.query.key is undefined }}", then: [{close: {reason: "no key"}}]}'
    signals = f"signals: [{{path: /, connected: [{turned_away}]}}]"
    async with live(signals) as app:
        async with app.connect("/") as client:
            await client.socket.wait_closed()
            assert (client.socket.close_code, client.socket.close_reason) == (4009, "no key")
        async with app.connect("/?key=1") as client:
            await client.send("hi")
            assert await client.receive() == "hi"


async def test_a_list_that_fails_when_a_client_comes_or_goes_is_only_logged(live, failures):
    signals = 'signals: [{path: /, connected: [{log: "{{ state.nme }}"}], disconnected: [{log: "{{ state.nme }}"}]}]'
    async with live(signals) as app:
        async with app.connect("/") as client:
            await client.send("hi")
            assert await client.receive() == "hi"
        async with app.connect("/") as client:  # the server goes on
            await client.send("hi")
            assert await client.receive() == "hi"
    assert len(failures()) == 4
    assert all(": log: " in line for line in failures())


# The life of the server

REPORT = """
import asyncio
from signalpost import action, hookimpl

@action("linger")
async def linger(event, options):
    await asyncio.sleep(0)

@hookimpl
def shutdown(context):
    print("left behind:", dict(context.state))
"""


@pytest.mark.parametrize("first", ["", "{linger: null}, "])
async def test_lists_about_clients_that_go_with_the_server_are_done_before_plugins_are_shut_down(live, capsys, first):
    """``first`` makes the list one that waits."""
    step = "{set: {'gone.{{ client.id }}': '{{ code }}'}}"
    signals = f"signals: [{{path: /, disconnected: [{first}{step}]}}]"
    async with live(signals, plugins={"report": REPORT}) as app, app.connect("/") as ada, app.connect("/") as bob:
        await app.server.stop()
    assert capsys.readouterr().out.startswith(f"left behind: {{'gone': {{'{ada.id}': 1001, '{bob.id}': 1001}}}}\n")


LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


async def test_a_reload_brings_new_lists_to_clients_that_stay_and_does_not_let_them_come_again(live):
    before = "signals: [{path: /, connected: [{reply: {value: hello}}], do: [{set: {n: 1}}, {reply: {value: old}}]}]"
    after = """
signals:
  - path: /
    connected: [{reply: {value: welcome}}]
    do: [{reply: {value: "new {{ state.n }}"}}]
    disconnected: [{broadcast: {value: went}}]
"""
    async with live(before) as app, app.connect("/") as ada:
        assert await ada.receive() == "hello"
        await ada.send("x")
        assert await ada.receive() == "old"
        await app.reload(LIVE + after)
        await ada.send("x")
        assert await ada.receive() == "new 1"
        async with app.connect("/") as bob:
            assert await bob.receive() == "welcome"
        assert await ada.receive() == "went"
