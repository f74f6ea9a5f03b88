"""The control socket: who may ask, what is answered, and what becomes of the file."""

import asyncio
import logging
import os
import re
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from signalpost.auth.identity import Identity
from signalpost.cli import moderate
from signalpost.cli.controlsocket import ControlSocket, ask_server, socket_path
from signalpost.control import server as control_server
from signalpost.control.commands import COMMANDS
from signalpost.control.protocol import LONGEST_REQUEST, ControlError, read_answer, read_request
from signalpost.control.server import MOST
from signalpost.errors import OperatorError
from signalpost.operations.table import OPERATIONS

TEXT = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: "/rooms/<room>"}]
"""


async def close_of(client):
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive()
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def on_and_on(writer):
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


def is_user(app, client, user, **more):
    hub = app.server.node.hub
    hub.identify(hub.find(client.id), Identity(user, **more))


class TestCommands:
    async def test_a_kick_closes_clients_and_the_log_says_who_did_it(self, controlled, caplog):
        caplog.set_level(logging.INFO, "signalpost.signals.moderation")
        async with controlled(TEXT) as app, app.connect("/rooms/blue") as one, app.connect("/rooms/red") as two:
            assert await app.ask("kick", client=one.id, code=4321, reason="bye") == {"closed": 1}
            assert await close_of(one) == (4321, "bye")
            assert await app.ask("kick", path="/rooms/red") == {"closed": 1}
            assert await close_of(two) == (4009, "")
        lines = [each.getMessage() for each in caplog.records if each.name == "signalpost.signals.moderation"]
        assert [line.endswith("1 client closed with 4321") for line in lines] == [True, False]
        assert f"by a command (process {os.getpid()} of uid {os.geteuid()})" in lines[0]

    async def test_a_user_is_banned_and_let_in_again(self, controlled):
        async with controlled(TEXT) as app, app.connect("/rooms/blue") as ann:
            is_user(app, ann, "ann")
            assert await app.ask("ban", user="ann", seconds=60.0) == {"closed": 1}
            assert (await close_of(ann))[0] == 4403
            assert app.server.node.moderation.refusal(Identity("ann"))
            assert await app.ask("unban", user="ann") == {"lifted": True}
            assert await app.ask("unban", user="ann") == {"lifted": False}
            assert app.server.node.moderation.refusal(Identity("ann")) is None

    async def test_tokens_are_revoked_and_that_is_lifted(self, controlled):
        async with controlled(TEXT) as app, app.connect("/rooms/blue") as ann:
            is_user(app, ann, "ann", token_id="t1", issued=100.0)
            assert await app.ask("revoke", user="ann", before=100.0) == {"closed": 0}
            assert await app.ask("unrevoke", user="ann") == {"lifted": True}
            assert await app.ask("revoke", token_id="t1", seconds=60) == {"closed": 1}
            assert (await close_of(ann))[0] == 4401
            assert await app.ask("unrevoke", token_id="t1") == {"lifted": True}

    async def test_clients_are_shown_all_or_those_that_match(self, controlled):
        async with controlled(TEXT) as app, app.connect("/rooms/blue") as ann, app.connect("/rooms/red") as bob:
            is_user(app, ann, "ann")
            app.server.node.hub.find(ann.id).join("admins")
            shown = {
                "id": ann.id,
                "node": "alone",
                "user": "ann",
                "path": "/rooms/blue",
                "endpoint": "live",
                "protocol": "",
                "groups": ["admins"],
                "waiting": 0,
            }
            for whom in ({"user": "ann"}, {"group": "admins"}, {"path": "/rooms/blue", "user": "ann"}):
                assert await app.ask("clients", **whom) == {"clients": [shown], "count": 1, "complete": True}
            assert [each["id"] for each in (await app.ask("clients"))["clients"]] == sorted([ann.id, bob.id])
            first = await app.ask("clients", limit=1)
            assert ([each["id"] for each in first["clients"]], first["count"]) == ([min(ann.id, bob.id)], 2)
            assert await app.ask("clients", user="eve") == {"clients": [], "count": 0, "complete": True}

    @pytest.mark.parametrize(
        ("command", "options", "detail"),
        [
            ("kick", {}, "disconnect wants at least one of client, user, path, group"),
            ("kick", {"user": 5}, "user: expected a string"),
            ("kick", {"user": ""}, "user: expected at least 1 character"),
            ("kick", {"user": "ann", "code": True}, "code: expected an integer"),
            ("kick", {"user": "ann", "code": 1005}, "code 1005 must not be sent"),
            ("kick", {"usr": "ann"}, "kick has no option 'usr'; did you mean \"user\"?"),
            ("ban", {}, "user is missing"),
            ("ban", {"user": "x" * 1_025}, "a name has 1 to 1,024 characters"),
            ("ban", {"user": "ann", "seconds": -1}, "which is no time"),
            (
                "revoke",
                {"user": "ann", "token_id": "t"},
                "token_id: either a user is named, with before if",
            ),
            ("revoke", {"user": "ann", "before": -5}, "is no moment"),
            ("shout", {}, "this server does not know how to 'shout' (known: publish, history, "),
        ],
    )
    async def test_what_cannot_be_done_is_said_in_a_line(self, controlled, command, options, detail):
        async with controlled(TEXT) as app:
            with pytest.raises(OperatorError) as caught:
                await app.ask(command, **options)
            assert detail in str(caught.value)

    async def test_a_command_that_fails_is_logged_and_ends_nothing(self, controlled, monkeypatch, caplog):
        async with controlled(TEXT) as app:
            monkeypatch.setattr(app.server.node.moderation.__class__, "kick", lambda *_, **__: {}["missing"])
            with pytest.raises(OperatorError, match="the server failed at it; its log says more"):
                await app.ask("kick", user="ann")
            assert "the command kick of a command" in caplog.text
            assert (await app.ask("clients"))["count"] == 0


class TestStrangeRequests:
    @pytest.mark.parametrize(
        ("line", "code"),
        [
            (b"\n", "bad-request"),
            (b"hello\n", "bad-request"),
            (b"[]\n", "bad-request"),
            (b"{}\n", "version"),
            (b'{"signalpost":2,"do":"clients"}\n', "version"),
            (b'{"signalpost":true,"do":"clients"}\n', "version"),
            (b'{"signalpost":1,"do":5}\n', "bad-request"),
            (b'{"signalpost":1,"do":"clients","with":[]}\n', "bad-request"),
            (b'{"signalpost":1,"do":"\xff"}\n', "bad-request"),
            (b"[" * 60_000 + b"\n", "bad-request"),
            (b"x" * (LONGEST_REQUEST + 1) + b"\n", "bad-request"),
            (b'{"signalpost":1,"do":"' + b"y" * 1_000 + b'"}\n', "unknown-command"),
        ],
    )
    async def test_each_is_answered_with_an_error(self, controlled, line, code):
        async with controlled(TEXT) as app:
            answer = await app.say(line, ends=False)
            assert (answer["signalpost"], answer["error"]["code"]) == (1, code)
            assert len(answer["error"]["detail"]) < 300
            assert (await app.ask("clients"))["count"] == 0

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=200))
    def test_no_line_is_taken_for_anything_else(self, line):
        try:
            command, options = read_request(line)
        except ControlError:
            return
        assert (type(command), type(options)) == (str, dict)

    async def test_a_peer_that_says_nothing_is_left_after_a_while(self, controlled):
        async with controlled(TEXT, patience=0.05) as app:
            assert await app.say(b"", ends=False) is None
            assert await app.say(b'{"signalpost":1', ends=False) is None

    async def test_a_peer_that_goes_on_and_on_is_answered_once_and_left(self, controlled):
        async with controlled(TEXT, patience=0.3) as app:
            reader, writer = await asyncio.open_unix_connection(sock=app.connect_bare())
            writer.write(b'{"signalpost":1,"do":"clients"}\n')
            assert b'"count":0' in await reader.readline()
            with pytest.raises(ConnectionError):
                await on_and_on(writer)
            writer.transport.abort()
            assert (await app.ask("clients"))["count"] == 0

    async def test_too_many_at_once_are_told_so_and_those_before_are_answered(self, controlled, until):
        async with controlled(TEXT) as app:
            holding = [app.connect_bare() for _ in range(MOST)]
            await until(lambda: len(app.server._control._serving) == MOST)
            answer = await app.say(b'{"signalpost":1,"do":"clients"}\n')
            assert answer["error"]["code"] == "busy"
            reader, writer = await asyncio.open_unix_connection(sock=holding[0])
            writer.write(b'{"signalpost":1,"do":"clients"}\n')
            assert b'"count":0' in await reader.readline()
            writer.close()
            for sock in holding[1:]:
                sock.close()
            await until(lambda: not app.server._control._serving)

    async def test_a_stop_does_not_wait_for_a_peer_that_says_nothing(self, controlled, until):
        async with controlled(TEXT, patience=3_600.0) as app:
            silent = app.connect_bare()
            await until(lambda: app.server._control._serving)
        assert silent.recv(1) == b""
        silent.close()

    async def test_another_user_is_refused_whatever_the_mode_of_the_file(self, controlled, monkeypatch):
        monkeypatch.setattr(control_server.os, "geteuid", lambda: 12_345)
        monkeypatch.setattr(control_server, "_ROOT", -1)
        async with controlled(TEXT) as app:
            answer = await app.say(b'{"signalpost":1,"do":"clients"}\n')
            assert answer["error"]["code"] == "forbidden"

    @pytest.mark.parametrize("line", [b"", b"{}\n", b"no\n", b'{"signalpost":1}\n'])
    def test_a_command_takes_no_other_answer_than_an_answer(self, line):
        with pytest.raises(ControlError):
            read_answer(line)


class TestTheFile:
    async def test_only_its_owner_can_connect_and_it_goes_with_the_server(self, controlled):
        async with controlled(TEXT) as app:
            assert stat.S_IMODE(app.path.stat().st_mode) == 0o600
            assert stat.S_ISSOCK(app.path.stat().st_mode)
            assert [each.name for each in app.path.parent.iterdir()] == ["routes.yaml.sock"]
        assert list(app.path.parent.iterdir()) == []
        with pytest.raises(OperatorError, match="no server runs from"):
            await app.ask("clients")

    async def test_a_reload_keeps_it(self, controlled):
        async with controlled(TEXT) as app:
            await app.reload(
                "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nsignals: [{path: /x}]"
            )
            assert await app.ask("clients") == {"clients": [], "count": 0, "complete": True}

    async def test_that_of_a_dead_server_is_replaced(self, controlled, tmp_path):
        (tmp_path / ".signalpost").mkdir()
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(tmp_path / ".signalpost" / "routes.yaml.sock"))
        dead.listen()
        dead.close()
        async with controlled(TEXT) as app:
            assert (await app.ask("clients"))["count"] == 0

    async def test_that_of_a_living_server_stays_and_the_second_says_so(self, controlled):
        async with controlled(TEXT) as app:
            assert "another server runs from" in ControlSocket.open(app.file)
            assert (await app.ask("clients"))["count"] == 0

    async def test_a_server_does_not_remove_what_another_has_put_there(self, controlled):
        async with controlled(TEXT) as app:
            app.path.unlink()
            other = ControlSocket.open(app.file)
        assert app.path.exists()
        other.remove()
        assert not app.path.exists()

    @pytest.mark.parametrize("is_link", [True, False])
    async def test_a_file_or_a_link_in_its_place_is_replaced_and_not_followed(self, controlled, tmp_path, is_link):
        (tmp_path / ".signalpost").mkdir()
        precious = tmp_path / "precious"
        precious.write_text("kept")
        path = socket_path(str(tmp_path / "routes.yaml"))
        path.symlink_to(precious) if is_link else path.write_text("x")
        async with controlled(TEXT) as app:
            assert (await app.ask("clients"))["count"] == 0
        assert precious.read_text() == "kept"

    async def test_a_long_path_is_no_hindrance(self, controlled, tmp_path):
        folder = tmp_path / ("x" * 100) / ("y" * 100)
        folder.mkdir(parents=True)
        async with controlled(TEXT, folder=folder) as app:
            assert (await app.ask("clients"))["count"] == 0
        assert list(app.path.parent.iterdir()) == []

    def test_without_proc_a_long_path_is_a_note_and_no_socket(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os.path, "isdir", lambda _path: False)
        folder = tmp_path / ("x" * 100)
        folder.mkdir()
        note = ControlSocket.open(str(folder / "routes.yaml"))
        assert "its path is longer than 103 bytes" in note
        assert "commands such as kick do not reach this server" in note

    def test_a_folder_that_is_a_link_is_a_note_and_no_socket(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / ".signalpost").symlink_to(tmp_path / "elsewhere")
        assert "is a symbolic link" in ControlSocket.open(str(tmp_path / "routes.yaml"))
        with pytest.raises(OperatorError, match="is a symbolic link"):
            ask_server(str(tmp_path / "routes.yaml"), "clients")
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_without_a_folder_no_server_runs(self, tmp_path):
        with pytest.raises(OperatorError, match="start one with: signalpost run"):
            ask_server(str(tmp_path / "routes.yaml"), "clients")
        assert list(tmp_path.iterdir()) == []


def test_a_command_speaks_no_others_than_the_server():
    files = Path(moderate.__file__).parent.glob("*.py")
    asked = [name for file in files for name in re.findall(r'ask_server\(file, "(\w+)"', file.read_text())]
    assert set(asked) | set(OPERATIONS) == set(COMMANDS)
