"""``signalpost kick``, ``unban``, ``revoke`` and ``clients``, at a server that runs in a process of its own."""

import asyncio
import re
import signal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SIGNALS = 'signals: [{path: "/rooms/<room>"}]'


async def test_commands_reach_the_server_that_runs_from_the_file(write, run, signalpost, folder):
    write(SIGNALS)
    server = run()

    async def command(*arguments):
        result = await asyncio.to_thread(signalpost, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    url = server.urls["live"]
    async with connect(f"{url}/rooms/blue", proxy=None) as blue, connect(f"{url}/rooms/red", proxy=None) as red:
        shown = await command("clients")
        assert re.search(r"2 clients\nid +user +path +groups +endpoint", shown)
        (found,) = re.findall(r"(\w+) +- +/rooms/blue +- +live", shown)
        assert await command("kick", found, "--reason", "bye") == "1 client closed\n"
        with pytest.raises(ConnectionClosed) as caught:
            await blue.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4009, "bye")
        assert await command("kick", "--path", "/rooms/red", "--code", "4321") == "1 client closed\n"
        with pytest.raises(ConnectionClosed) as caught:
            await red.recv()
        assert caught.value.rcvd.code == 4321
    assert await command("clients", "--user", "ann") == "nobody matches\n"
    assert await command("revoke", "--list") == "nobody is banned, and nothing is revoked\n"
    assert await command("kick", "--user", "ann", "--ban", "1h") == "0 clients closed\n"
    assert await command("unban", "ann") == "not banned any more\n"
    assert await command("unban", "ann") == "was not banned\n"
    assert await command("revoke", "--token-id", "t1", "--for", "2h") == "0 clients closed\n"
    assert await command("revoke", "--user", "ann", "--before", "2020-01-31T12:00") == "0 clients closed\n"
    assert await command("kick", "--user", "bob", "--ban", "1h") == "0 clients closed\n"
    listed = await command("revoke", "--list")
    assert "3 in all\n" in listed
    assert re.search(r"^token +t1 +- +\d{4}-", listed, re.MULTILINE)
    assert re.search(r"^tokens of +ann +2020-01-31 12:00:00\+00:00 +\d{4}-", listed, re.MULTILINE)
    assert re.search(r"^ban +bob +- +\d{4}-", listed, re.MULTILINE)
    assert await command("unban", "bob") == "not banned any more\n"
    assert await command("revoke", "--user", "ann", "--lift") == "not revoked any more\n"
    assert await command("revoke", "--user", "ann", "--lift") == "was not revoked\n"
    assert [each.name for each in (folder / ".signalpost").glob("*.sock")] == ["routes.yaml.sock"]


def test_without_a_server_a_command_says_how_to_start_one(write, signalpost):
    write(SIGNALS)
    result = signalpost("kick", "--user", "ann")
    assert result.exit_code == 1
    assert "no server runs from routes.yaml" in result.stderr
    assert result.stderr.endswith("start one with: signalpost run\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("kick",), "nobody is named: give CLIENT, --user, --path or --group"),
        (("kick", "--path", "/x", "--ban", "1h"), "--ban is for a user alone"),
        (("kick", "--user", "ann", "--group", "g", "--ban", "1h"), "--ban is for a user alone"),
        (("kick", "--user", "ann", "--ban", "soon"), "soon"),
        (("revoke",), "name either --user or --token-id"),
        (("revoke", "--user", "ann", "--token-id", "t"), "name either --user or --token-id"),
        (("revoke", "--token-id", "t", "--before", "2020-01-01"), "--before is for tokens of a --user"),
        (("revoke", "--user", "ann", "--before", "yesterday"), '"yesterday" is no moment'),
        (("revoke", "--user", "ann", "--lift", "--for", "1h"), "--lift ends a revocation as a whole"),
        (("revoke", "--user", "ann", "--list"), "--list stands alone"),
    ],
)
def test_a_command_that_cannot_be_meant_asks_no_server(signalpost, arguments, text):
    result = signalpost(*arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_second_server_from_one_file_says_that_commands_do_not_reach_it(write, run):
    write(SIGNALS)
    run()
    _, out, err = run().end(signal.SIGTERM)
    assert "routes.yaml already: commands such as kick reach that one, not this one" in out + err
