"""``signalpost live``, at a server that runs in a process of its own."""

import asyncio
import json
import re

from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from signalpost.cli.live import rows_of

APP = """
    signals:
      - {path: "/rooms/<room>", rebroadcast: path, history: 100, presence: true}
      - {path: /plain, rebroadcast: path}
"""
BLUE = "/rooms/blue"


async def test_values_are_published_read_again_and_seen_with_their_clients(write, run, signalpost):
    write(APP)
    server = run()

    async def command(*arguments):
        result = await asyncio.to_thread(signalpost, "live", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    async with connect(f"{server.urls['live']}{BLUE}", proxy=None) as blue:
        assert re.fullmatch(r"1 client, at \S+\n", await command("publish", BLUE, '{"price": 42}', "--once", "x"))
        assert re.fullmatch(
            r"1 client, at \S+; it was sent before\n", await command("publish", BLUE, "7", "--once", "x")
        )
        assert await command("publish", "everyone", "to all") == "1 client\n"
        assert await command("publish", BLUE, "vips", "--group", "vip") == "0 clients\n"
        assert [await blue.recv(), await blue.recv()] == ['{"price":42}', "to all"]
        (line,) = (await command("history", BLUE, "--json")).splitlines()
        kept = json.loads(line)
        assert kept["value"] == {"price": 42}
        assert await command("history", BLUE) == f'{kept["at"]}  {{"price": 42}}\n'
        assert re.search(r"1 on /rooms/blue\nuser +connections +info\n\w+ +1 +-\n", await command("presence", BLUE))
        assert "1 client\n" in await command("clients")
        table = await command("top", "--count", "1", "--every", "0.1")
        assert re.match(r"1 client\nsignal +clients +messages/s +broadcasts/s +deliveries/s +waiting\n", table)
        assert re.search(r"^/rooms/<room> +1 +- +- +- +-$", table, re.MULTILINE)
        assert await command("kick", "--path", BLUE) == "1 client closed\n"


def test_what_cannot_be_read_is_said_in_a_line(write, run, signalpost):
    write(APP)
    run()
    for arguments, said in (
        (("history", "/plain"), "path: nothing is kept of /plain: its signal has no history"),
        (("presence", "/plain"), "path: who is on /plain is not known: its signal has no presence"),
        (("history", BLUE, "--after", "?"), "after: a position is a text that came with a value"),
        (("publish", "/plain", "null"), "null is not sent to clients"),
        (("publish", "/plain", ""), "value: null and an empty text are not sent"),
    ):
        result = signalpost("live", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr


def test_everyone_stands_alone(write, signalpost):
    write(APP)
    result = signalpost("live", "publish", "everyone", "hi", "--group", "vip")
    assert result.exit_code == 2
    assert "everyone stands alone: leave out --group" in result.stderr


def test_on_a_terminal_the_table_of_signals_stays_in_place_until_ctrl_c(write, run, on_terminal):
    write(APP)
    run()
    shown = on_terminal("live", "top", "--every", "0.1")
    lines = shown.until(lambda lines: any(line.startswith("/plain") for line in lines))
    assert [line.split() for line in lines] == [
        ["0", "clients"],
        ["signal", "clients", "messages/s", "broadcasts/s", "deliveries/s", "waiting"],
        ["/rooms/<room>", "0", "-", "-", "-", "-"],
        ["/plain", "0", "-", "-", "-", "-"],
    ]
    shown.press("\x03")
    assert shown.end() == 0


def answer(seconds, *signals):
    names = ("signal", "clients", "waiting", "messages", "broadcasts", "deliveries")
    return {"seconds": seconds, "signals": [dict(zip(names, each, strict=True)) for each in signals]}


def test_rates_are_what_came_a_second_and_the_busiest_signal_is_first():
    before = answer(10.0, ("/a", 1, 0, 5, 5, 5))
    now = answer(12.0, ("/a", 1, 0, 5, 6, 7), ("/b", 2, 2_048, 10, 0, 0))
    assert rows_of(before, now) == [
        ("/b", "2", "5.0", "-", "-", "2KiB"),
        ("/a", "1", "-", "0.5", "1.0", "-"),
    ]


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 10))
def test_no_rate_is_below_zero_when_a_reload_counts_anew(old, new, seconds):
    rows = rows_of(answer(0.0, ("/a", 1, 0, old, old, old)), answer(seconds, ("/a", 1, 0, new, new, new)))
    assert all(not cell.startswith("-") or cell == "-" for cell in rows[0])
