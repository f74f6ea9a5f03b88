"""A history with a file: what a server knows again after a stop, a crash, and what others do to the file."""

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from signalpost.errors import ConfigError, HistoryFileError
from signalpost.history import keeper
from signalpost.history.file import HistoryFile
from signalpost.signals.sessions import PREFIX
from signalpost.state.file import StateFile
from signalpost.testing import Client, serve

APP = """\
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
history: {file: history.db}
signals:
  - {path: /r, rebroadcast: path, history: {keep: 20, replay: 2}}
  - {path: /o, history: {keep: 20, replay: 20}, do: [{broadcast: {value: "{{ message }}", path: /o, to: others}}]}
"""
MARKS = "select count(*) from mark"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "history.db"


@pytest.fixture
def app(tmp_path):
    """Serve the app with its file, as often as asked."""
    return lambda text=APP: serve(text, folder=tmp_path)


@asynccontextmanager
async def come(app, at=None, session="", path="/r"):
    offered = ["signalpost.v1", *([PREFIX + session] if session else [])]
    async with app.connect(path if at is None else f"{path}?at={at}", subprotocols=offered) as client:
        yield client, (await client.receive_json())["welcome"]


def publish(app, *values, path="/r"):
    for value in values:
        app.server.node.broadcaster(value, path=path)
    return str(app.server.node.memory.streams.find(path).at)


async def rest(app, client, path="/r"):
    """Read everything up to a value that is sent now: values as they are, and of a gap why it is there."""
    end, read = publish(app, "end", path=path), []
    while True:
        ((kind, body),) = (await client.receive_json()).items()
        if body.get("at") == end:
            return read
        read.append(body["value"] if kind == "signal" else body["why"])


def look(file, query):
    """Ask a file that a server may have locked; None while that fails."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)
        with contextlib.closing(connection):
            return connection.execute(query).fetchall()
    return None


async def until(condition):
    while not condition():  # noqa: ASYNC110 - a thread or another process does it
        await asyncio.sleep(0.005)


async def told(app, at, values, *, recovered, path="/r"):
    """Hold what a client with a position reads against values and reasons of gaps."""
    async with come(app, at, path=path) as (client, welcome):
        assert welcome["recovered"] is recovered
        assert await rest(app, client, path) == values


class TestStop:
    async def test_after_an_orderly_stop_positions_are_good_and_offsets_go_on(self, app):
        async with app() as first:
            at = publish(first, 1)
            newest = publish(first, 2, {"three": 3})
        async with app() as second:
            async with come(second, newest) as (_, welcome):
                assert (welcome["at"], welcome["recovered"], welcome["missed"]) == (newest, True, 0)
            await told(second, at, [2, {"three": 3}], recovered=True)
            assert second.server.node.memory.streams.find("/r").at.offset == 4, "with the end"

    async def test_a_restart_without_any_value_between_changes_nothing(self, app):
        async with app() as server:
            at = publish(server, 1)
            newest = publish(server, 2)
        for _ in range(3):
            async with app():
                pass
        async with app() as server, come(server, at) as (client, welcome):
            assert (welcome["at"], welcome["recovered"], welcome["missed"]) == (newest, True, 1)
            assert (await client.receive_json())["signal"]["value"] == 2

    async def test_the_mark_is_gone_as_soon_as_the_server_listens_and_back_when_it_has_stopped(self, app, file):
        async with app() as server:
            assert look(file, MARKS) == [(0,)]
            publish(server, 1)
        assert look(file, MARKS) == [(1,)]
        async with app():
            assert look(file, MARKS) == [(0,)]
        assert look(file, MARKS) == [(1,)]

    async def test_a_server_that_could_not_start_leaves_the_mark(self, app, file):
        async with app() as server:
            at = publish(server, 1)
            taken = server.server.endpoints[0].port
            other = APP.replace("port: 0", f"port: {taken}").replace("history.db", "other.db")
            with pytest.raises(Exception, match="port"):
                async with app(other):
                    pass
            assert look(file.with_name("other.db"), MARKS) in ([(1,)], None)
        async with app() as server:
            await told(server, at, [], recovered=True)

    async def test_a_change_is_in_the_file_while_the_server_runs(self, app, file):
        async with app() as server:
            publish(server, "kept")
            await until(lambda: look(file, "select data from entry") == [(b"kept",)])


class TestOthers:
    async def test_a_session_is_left_out_by_the_next_servers_too_though_its_name_is_another(self, app):
        async with app() as server, come(server, path="/o") as (client, first):
            await client.send("mine", ref=1)
            assert "ack" in await client.receive_json()
        names = [first["session"]]
        for number in range(3):
            async with app() as server:
                async with come(server, first["at"], names[-1], path="/o") as (client, welcome):
                    assert welcome["session"] not in names
                    names.append(welcome["session"])
                    assert (welcome["recovered"], welcome["missed"]) == (True, 2 * number)
                    assert await rest(server, client, "/o") == ["end"] * 2 * number
                    await client.send("mine too", ref=1)
                    assert "ack" in await client.receive_json()
                async with come(server, first["at"], path="/o") as (client, _):
                    assert (await rest(server, client, "/o")).count("mine too") == number + 1


def is_committed(file):
    """Return whether no transaction is under way: a journal that would be rolled back begins with SQLite's magic."""
    journal = file.with_name(f"{file.name}-journal")
    return not journal.exists() or not journal.read_bytes().startswith(bytes.fromhex("d9d505f920a163d7"))


class TestCrash:
    async def test_after_kill_9_each_position_is_lost_and_the_newest_values_are_there(self, tmp_path, file, app):
        (tmp_path / "routes.yaml").write_text(APP)
        process, url = start(tmp_path)
        with process:
            async with connect(url + "/r", subprotocols=["signalpost.v1"], proxy=None) as socket:
                client = Client(socket)
                await client.receive_json()
                for number in range(5):
                    await client.send(number)
                ats = [(await client.receive_json())["signal"]["at"] for _ in range(5)]
                await until(lambda: look(file, "select count(*) from entry") == [(5,)] and is_committed(file))
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert look(file, MARKS) == [(0,)]
        async with app() as server:
            for at in (ats[4], ats[1]):
                async with come(server, at) as (client, welcome):
                    assert (welcome["recovered"], welcome["missed"]) == (False, 2)
                    assert welcome["at"].split(":")[1:] == ats[4].split(":")[1:]
                    assert welcome["at"].split(":")[0] != ats[4].split(":")[0]
                    gap = (await client.receive_json())["gap"]
                    assert gap["why"] == "lost"
                    assert [(await client.receive_json())["signal"]["value"] for _ in range(2)] == [3, 4]
            again = gap["at"]
        async with app() as server:
            await told(server, again, [3, 4], recovered=True)
            await told(server, ats[4], ["lost", 4, "end"], recovered=False)

    async def test_a_second_crash_before_anything_was_written_ends_the_epochs_again(self, app, file):
        async with app() as server:
            at = publish(server, 1)
        for _ in range(2):
            opened, *_ = HistoryFile.open(file)
            opened.close(clean=False)
        async with app() as server:
            await told(server, at, ["lost", 1], recovered=False)
            between = publish(server, 2)
        opened, *_ = HistoryFile.open(file)
        opened.close(clean=False)
        async with app() as server:
            await told(server, between, ["lost", "end", 2], recovered=False)


def start(folder):
    """Run the app in a process of its own; give it and its address."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "signalpost", "run", "routes.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    said = ""
    while not (found := re.search(r"ws://127\.0\.0\.1:\d+", said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    return process, found[0]


class TestAnotherPlan:
    async def test_fewer_are_kept_by_the_next_server_in_the_file_too(self, app, file):
        async with app() as server:
            publish(server, *range(9))
            before = str(server.server.node.memory.streams.find("/r").position(7))
            at = publish(server, 9)
        async with app(APP.replace("keep: 20, replay: 2}", "keep: 3, replay: 2}")) as server:
            await told(server, at, [], recovered=True)
            await until(lambda: look(file, "select count(*) from entry") == [(3,)])
            await told(server, before, ["too-old", 9, "end"], recovered=False)
        async with app() as server, come(server) as (client, _):
            await client.send_raw('{"signalpost":{"history":{}},"ref":1}')
            while "history" not in (frame := await client.receive_json()):
                pass
            assert [each["value"] for each in frame["history"]["signals"]] == [9, "end", "end"]

    async def test_a_history_that_was_removed_between_is_forgotten(self, app, file):
        async with app() as server:
            at = publish(server, 1)
            publish(server, "other", path="/o")
        async with app(APP.replace(", history: {keep: 20, replay: 2}", "")) as server, server.connect("/r"):
            await until(lambda: look(file, "select place from stream") == [("/o",)])
        async with app() as server:
            await told(server, at, ["lost"], recovered=False)

    async def test_it_is_forgotten_though_nothing_else_is_written(self, app):
        async with app() as server:
            at = publish(server, 1)
        async with app(re.sub(r", history: \{.*?\}", "", APP)):
            pass
        async with app() as server:
            await told(server, at, ["lost"], recovered=False)


def damaged(file):
    HistoryFile.open(file)[0].close(clean=True)
    data = bytearray(file.read_bytes())
    data[4_096:8_192] = b"\xa5" * 4_096
    file.write_bytes(data)


def cut(file):
    HistoryFile.open(file)[0].close(clean=True)
    os.truncate(file, 5_000)


def inconsistent(file):
    HistoryFile.open(file)[0].close(clean=True)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("insert into entry values (7, 1, 1, 1.0, null, 1, x'00')")
        connection.commit()


def text(file):
    file.write_text("notes of mine\n" * 100)


def of_the_state(file):
    StateFile.open(file)[0].close()


def foreign(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("create table notes (text)")


def folder(file):
    file.mkdir()


def link(file):
    file.symlink_to(file.with_name("target.db"))


class TestUnusable:
    """What `signalpost run` says of it: one line, at its place."""

    def said(self, folder, app=APP):
        (folder / "routes.yaml").write_text(app)
        command = [sys.executable, "-m", "signalpost", "run", "routes.yaml"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode
        assert "Traceback" not in done.stdout + done.stderr
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "history" in line and ": " in line]
        told = [line for line in lines if not line.startswith(" ")]
        assert len(told) == 1, done.stdout + done.stderr
        return told[0]

    @pytest.mark.slow
    @pytest.mark.parametrize("make", [damaged, cut, inconsistent, text, of_the_state, foreign, folder, link])
    def test_a_file_that_cannot_be_used_is_told_in_one_line_at_its_place_and_left_as_it_is(self, tmp_path, file, make):
        make(file)
        before = file.read_bytes() if file.is_file() else None
        assert re.search(r"routes\.yaml:2(:17)?: history\.file: .*history\.db\"? .+", self.said(tmp_path))
        assert before == (file.read_bytes() if file.is_file() else None)

    def test_a_file_that_another_server_has_is_in_use(self, tmp_path, file):
        opened, *_ = HistoryFile.open(file)
        assert re.search(r"routes\.yaml:2: history\.file: .*history\.db is in use", self.said(tmp_path))
        opened.close(clean=True)

    async def test_a_second_server_in_one_process_is_refused_and_the_first_goes_on(self, app):
        async with app() as server:
            with pytest.raises(HistoryFileError, match=r"routes\.yaml:2: history\.file: .* is in use"):
                async with app():
                    pass
            at = publish(server, 1)
        async with app() as server:
            await told(server, at, [], recovered=True)

    @pytest.mark.parametrize("name", ["history.db", "./history.db", "x/../history.db"])
    async def test_the_state_and_the_history_need_a_file_each(self, app, name):
        with pytest.raises(ConfigError, match=r"history\.file: state\.file names it already"):
            async with app(f"{APP}state: {{file: {name}}}\n"):
                pass

    async def test_a_file_that_is_the_state_s_by_another_name_is_refused(self, app, tmp_path, file):
        StateFile.open(tmp_path / "state.db")[0].close()
        file.hardlink_to(tmp_path / "state.db")
        with pytest.raises(HistoryFileError, match=r"history\.file: "):
            async with app(f"{APP}state: {{file: state.db}}\n"):
                pass


class TestMeddling:
    """What others do to the file while the server runs."""

    async def test_a_file_that_was_deleted_is_written_anew_with_everything(self, app, file, caplog):
        async with app() as server:
            at = publish(server, 1)
            await until(lambda: look(file, "select data from entry") == [(b"1",)])
            file.unlink()
            newest = publish(server, 2)
            await until(lambda: look(file, "select data from entry order by offset") == [(b"1",), (b"2",)])
            await until(lambda: caplog.text.count("was deleted while the server runs") == 1)
        async with app() as server:
            async with come(server, newest) as (_, welcome):
                assert welcome["recovered"] is True
            await told(server, at, [2], recovered=True)

    async def test_a_file_that_was_replaced_is_put_aside_and_written_anew(self, app, file, tmp_path, caplog):
        async with app() as server:
            at = publish(server, 1)
            await until(lambda: look(file, "select data from entry") == [(b"1",)])
            (tmp_path / "copy").write_text("something else")
            (tmp_path / "copy").replace(file)
            publish(server, 2)
            await until(lambda: look(file, "select data from entry order by offset") == [(b"1",), (b"2",)])
            await until(lambda: caplog.text.count("was replaced") == 1)
        assert file.with_name("history.db.found").read_text() == "something else"
        async with app() as server:
            await told(server, at, [2], recovered=True)

    async def test_a_file_that_was_deleted_before_the_stop_alone_is_no_lie_to_the_next(self, app, file):
        async with app() as server:
            at = publish(server, 1)
            await until(lambda: look(file, "select data from entry") == [(b"1",)])
            file.unlink()
        async with app() as server, come(server, at) as (client, welcome):
            assert welcome["recovered"] is (welcome["at"] == at)
            assert await rest(server, client) in ([], ["lost"])

    async def test_a_copy_that_replaced_the_file_before_the_stop_alone_is_not_believed(self, app, file, tmp_path):
        async with app() as server:
            at = publish(server, 1)
        (tmp_path / "copy").write_bytes(file.read_bytes())
        async with app() as server:
            publish(server, 2)
            await until(lambda: look(file, "select count(*) from entry") == [(2,)])
            (tmp_path / "copy").replace(file)
        async with app() as server:
            await told(server, at, [2], recovered=True)


class TestFailing:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr(keeper, "DELAY", 0.001)
        monkeypatch.setattr(keeper, "RETRY", 0.001)

    @pytest.fixture
    def fail(self, monkeypatch):
        """Let the next writes fail: as many as said."""
        calls, write = [], HistoryFile.write

        def fail(times):
            def failing(self, changes, gone):
                calls.append(None)
                if len(calls) <= times:
                    raise sqlite3.OperationalError("disk I/O error")
                return write(self, changes, gone)

            monkeypatch.setattr(HistoryFile, "write", failing)
            return calls

        return fail

    async def test_a_write_that_fails_is_tried_again_and_told_once_and_nothing_is_missing(self, app, fail, caplog):
        async with app() as server:
            at = publish(server, 1)
            calls = fail(5)
            for number in range(2, 7):
                before = len(calls)
                publish(server, number)
                await until(lambda before=before: len(calls) > before)
            await until(lambda: "is written again" in caplog.text)
            newest = publish(server, 7)
        assert caplog.text.count("cannot be written, and is tried again") == 1
        assert caplog.text.count("is written again") == 1
        async with app() as server:
            async with come(server, newest) as (_, welcome):
                assert welcome["recovered"] is True
            await told(server, at, [2, 3, 4, 5, 6, 7], recovered=True)

    async def test_a_stop_that_could_not_write_is_not_marked(self, app, fail, file, monkeypatch):
        async with app() as server:
            written = publish(server, 1)
            await until(lambda: look(file, "select data from entry") == [(b"1",)])
            calls = fail(10**9)
            publish(server, 2)
            await until(lambda: len(calls) > 2)
        assert look(file, MARKS) == [(0,)]
        monkeypatch.undo()
        async with app() as server:
            await told(server, written, ["lost", 1], recovered=False)

    async def test_a_stop_whose_last_write_fails_for_the_first_time_is_not_marked(self, app, fail, file):
        async with app() as server:
            publish(server, 1)
            await until(lambda: look(file, "select data from entry") == [(b"1",)])
            fail(10**9)
            publish(server, 2)
        assert look(file, MARKS) == [(0,)]

    async def test_a_path_that_loses_and_gets_its_history_while_writes_fail_is_another_epoch_in_the_file(
        self, app, fail, caplog
    ):
        async with app() as server:
            at = publish(server, 1, 2, 3)
            calls = fail(4)
            await server.reload(APP.replace(", history: {keep: 20, replay: 2}", ""))
            server.server.node.broadcaster("not kept", path="/r")
            await until(lambda: len(calls) > 1)
            await server.reload(APP)
            new = publish(server, "new")
            await until(lambda: "is written again" in caplog.text)
        async with app() as server:
            async with come(server, new) as (_, welcome):
                assert welcome["recovered"] is True
            await told(server, at, ["lost", "new"], recovered=False)
