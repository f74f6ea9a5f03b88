"""The file of the state: what was put in comes back, whatever ends the process; and what cannot be used says why."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.config.model import StateConfig
from signalpost.databasejournal import count_on
from signalpost.errors import StateFileError
from signalpost.state.edits import apply_edits, edits_between
from signalpost.state.file import GONE, StateFile
from signalpost.state.frozen import freeze
from signalpost.state.state import State, configure
from signalpost.state.writer import StateWriter
from signalpost.testing import serve

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = TEXTS.filter(lambda key: not key.startswith("_"))

INDEX_LEAF = 0x0A  # the first byte of such a page, https://www.sqlite.org/fileformat.html section 1.6

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
KEPT = LIVE + "state: {file: state.db}\n"
COUNTER = """
import asyncio
from signalpost import signal

@signal("count", path="/count")
async def count(event):
    await asyncio.sleep(0)
    event.reply(event.state.increment("n"))

@signal("keep", path="/keep")
async def keep(event):
    event.state["kept"] = event.state["_object"] = event.data.message
    event.reply(dict(event.state))
"""


class HandlerSlots:
    """Every key stands in line 3."""

    def place(self, _keys):
        return "routes.yaml:3"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def kept(file):
    """Open the state of a file; all are closed at the end."""
    with contextlib.ExitStack() as opened:

        def open_state():
            state = State.open(StateConfig(("state",), file), HandlerSlots())
            opened.callback(state.close)
            return state

        yield open_state


def refusal(file):
    with pytest.raises(StateFileError) as caught:
        State.open(StateConfig(("state",), file), HandlerSlots())
    text = str(caught.value)
    assert "\n" not in text
    prefix = f"routes.yaml:3: state.file: {file} "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


def test_what_was_put_in_comes_back_in_its_order_and_objects_do_not(kept):
    state = kept()
    state["b"], state["a"], state["gone"] = [1, {"x": None}], "ü\0", 1
    state["_own"] = object()
    state.increment("b2")
    del state["gone"]
    state["b"] = {"changed": True}
    state.close()
    again = kept()
    assert list(again.items()) == [("b", {"changed": True}), ("a", "ü\0"), ("b2", 1)]
    with pytest.raises(TypeError, match="is not changed in place"):
        again["b"]["changed"] = False


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.tuples(KEYS, VALUES | st.just(GONE)), max_size=8), st.integers(1, 8))
def test_whatever_is_written_in_however_many_batches_is_read(tmp_path_factory, changes, size):
    path = tmp_path_factory.mktemp("state") / "state.db"
    expected = {}
    for start in range(0, len(changes), size):
        batch = dict(changes[start : start + size])
        file, _ = StateFile.open(path)
        file.write(batch)
        file.close()
        expected |= batch
    file, entries = StateFile.open(path)
    file.close()
    assert entries == {key: value for key, value in expected.items() if value is not GONE}


def test_keys_that_are_to_be_forgotten_are_not_kept_even_if_they_were_kept_before(file):
    def counted(*forget):
        state = State.open(StateConfig(("state",), file, forget=frozenset(forget)), HandlerSlots())
        found = dict(state)
        state["names"], state["n"] = {"1": "ada"}, 1
        state.close()
        return found

    counted()
    assert counted("names") == {"n": 1}
    assert counted("names") == {"n": 1}
    assert counted() == {"n": 1}
    assert counted() == {"n": 1, "names": {"1": "ada"}}


def test_the_file_is_its_owner_s_alone_and_nothing_is_left_beside_it(kept, file):
    state = kept()
    state["a"] = 1
    state.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["state.db"]


def test_the_file_can_be_read_by_others_once_the_server_is_gone(kept, file):
    state = kept()
    state["votes"] = {"tea": 3}
    state.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("select key, value from state").fetchall() == [("votes", '{"tea":3}')]


def test_changes_are_written_while_the_server_runs(kept, file):
    """A reader of the bytes in a process of its own, for here closing the file would end its lock."""
    state = kept()
    state["word"] = "abracadabra"
    until(lambda: subprocess.run(["grep", "-q", "abracadabra", file], check=False).returncode == 0)


def until(holds):
    while not holds():
        threading.Event().wait(0.01)


def test_many_changes_of_one_key_are_one_row_of_one_transaction(file):
    opened, _ = StateFile.open(file)
    batches = []
    write = opened.write
    opened.write = lambda batch: (batches.append(batch), write(batch))
    writer = StateWriter(opened, delay=60)
    state = State(recorder=writer)
    for _ in range(1000):
        state.increment("n")
    state.close()
    assert batches == [{"n": 1000}]


def test_two_servers_cannot_have_one_file_in_one_process(kept, file):
    kept()
    assert refusal(file).startswith("is in use: another server keeps its state there")
    assert refusal(file).startswith("is in use"), "the refusal itself has not taken the lock away"


def test_two_servers_cannot_have_one_file_in_two_processes(kept, file):
    code = (
        "import sys; from pathlib import Path; from signalpost.state.file import StateFile\n"
        "try: StateFile.open(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    kept()
    with contextlib.suppress(StateFileError):
        StateFile.open(file)
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"StateFileError {file} is in use")


def test_a_file_is_free_as_soon_as_its_server_is_gone(kept):
    for n in range(5):
        state = kept()
        assert state.increment("n") == n + 1
        state.close()


def damaged(file):
    """Write over the middle of a database that holds enough to have a middle."""
    state = State.open(StateConfig(("state",), file), HandlerSlots())
    for n in range(2000):
        state[f"key {n}"] = "x" * 50
    state.close()
    data = bytearray(file.read_bytes())
    data[4096 : len(data) - 4096] = os.urandom(len(data) - 8192)
    file.write_bytes(data)


def damaged_where_keys_are_looked_up(file):
    """Write over the pages of the index, which reading everything does not need."""
    state = State.open(StateConfig(("state",), file), HandlerSlots())
    for n in range(2000):
        state[f"key {n}"] = n
    state.close()
    data = bytearray(file.read_bytes())
    for start in range(4096, len(data), 4096):
        if data[start] == INDEX_LEAF:
            data[start + 1 : start + 4096] = os.urandom(4095)
    file.write_bytes(data)


def of_others(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("create table notes (text)")


def of_the_future(file):
    State.open(StateConfig(("state",), file), HandlerSlots()).close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma user_version = 2")


def not_json(file):
    State.open(StateConfig(("state",), file), HandlerSlots()).close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("insert into state values ('votes', '{')")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda file: file.write_text("votes: {tea: 3}\n" * 100), "is no file of a state: name one that is not there"),
        (damaged, "is damaged: put a whole copy back, or move it away and begin with an empty state"),
        (damaged_where_keys_are_looked_up, "is damaged: put a whole copy back"),
        (of_others, "is a database of another program: name a file of its own for the state"),
        (of_the_future, "was written by a newer signalpost: run that one, or name another file"),
        (not_json, "is damaged: put a whole copy back, or move it away and begin with an empty state (the value of"),
        (lambda file: file.mkdir(), "cannot be opened: "),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_stays_as_it_is(file, spoil, text):
    spoil(file)
    before = None if file.is_dir() else file.read_bytes()
    assert refusal(file).startswith(text)
    assert file.is_dir() or file.read_bytes() == before


def test_an_empty_file_is_a_new_one(kept, file):
    file.touch()
    assert kept() == {}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert refusal(tmp_path / "no" / "state.db").startswith("cannot be opened: no such file or directory")


class FullDisk:
    """Stands before a file; while `full` is set, writing fails as SQLite fails."""

    def __init__(self, file):
        self.file, self.path, self.revoked = file, file.path, file.revoked
        self.full = True
        self.tried = threading.Event()
        self.meanwhile = lambda: None

    def write(self, changes):
        self.tried.set()
        if self.full:
            self.meanwhile()
            raise sqlite3.OperationalError("database or disk is full")
        self.file.write(changes)

    def is_ours(self):
        return self.file.is_ours()

    def close(self):
        self.file.close()


def test_what_cannot_be_written_is_said_once_tried_again_and_not_lost(kept, file, caplog):
    disk = FullDisk(StateFile.open(file)[0])
    writer = StateWriter(disk, delay=0.001, retry=0.001)
    state = State(recorder=writer)
    state["old"], state["n"] = 1, 1
    for n in range(3):
        disk.tried.clear()
        state["n"] = n
        assert disk.tried.wait(30)
    disk.full = False
    state.close()
    assert kept() == {"old": 1, "n": 2}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert f"{file} cannot be written, and is tried again every 0.001 s: database or disk is full" in caplog.text
    assert "is written again" in caplog.text


def test_what_changes_while_writing_fails_wins_over_what_could_not_be_written(kept, file):
    disk = FullDisk(StateFile.open(file)[0])
    state = State(recorder=StateWriter(disk, delay=0.001, retry=0.001))

    def change():
        disk.full = False
        state["n"] = "new"

    disk.meanwhile = change
    state["n"] = "old"
    until(lambda: not disk.full)
    state.close()
    assert kept() == {"n": "new"}


def test_what_cannot_be_written_at_the_end_is_lost_with_a_word(file, caplog):
    disk = FullDisk(StateFile.open(file)[0])
    state = State(recorder=StateWriter(disk, delay=60))
    state["a"], state["b"] = 1, 2
    state.close()
    assert caplog.records[-1].getMessage() == f"{file}: the last changes of 2 keys are lost"


CHILD = """
import sys
from pathlib import Path
from signalpost.state.state import State
from signalpost.state.file import StateFile
from signalpost.state.writer import StateWriter

def tell(word, n):
    sys.stdout.write(f"{word} {n}\\n")
    sys.stdout.flush()

class TellingFile(StateFile):
    def write(self, changes):
        super().write(changes)
        if "n" in changes:
            tell("kept", changes["n"])

file, entries = TellingFile.open(Path(sys.argv[1]))
state = State(entries, recorder=StateWriter(file, delay=0.001))
while True:
    state["pair"] = [state.increment("n"), state["n"]]
    tell("held", state["n"])
"""


def test_a_server_that_is_killed_at_any_moment_leaves_a_sound_file_with_what_it_held_a_moment_ago(file):
    for lines in (1, 300, 1000):
        with subprocess.Popen([sys.executable, "-c", CHILD, file], stdout=subprocess.PIPE, text=True) as child:
            told = [child.stdout.readline().split() for _ in range(lines)]
            while told[-1][0] != "kept":
                told.append(child.stdout.readline().split())
            child.send_signal(signal.SIGKILL)
            told += [line.split() for line in child.stdout.read().split("\n")[:-1]]
        opened, entries = StateFile.open(file)
        opened.close()
        kept, held = (max(int(n) for what, n in told if what == word) for word in ("kept", "held"))
        assert kept <= entries["n"] <= held + 1
        assert entries["pair"][0] in (entries["n"], entries["n"] - 1)


async def test_a_counter_that_1000_messages_increment_at_once_is_1000_and_is_kept_over_a_restart(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(serve(KEPT, folder=tmp_path, plugins={"counter": COUNTER}))
        clients = [await stack.enter_async_context(app.connect("/count")) for _ in range(50)]
        for _ in range(20):
            for client in clients:
                await client.send("up")
        answers = [await client.receive_json() for client in clients for _ in range(20)]
    assert sorted(answers) == list(range(1, 1001))
    async with serve(KEPT, folder=tmp_path, plugins={"counter": COUNTER}) as app, app.connect("/count") as client:
        await client.send("up")
        assert await client.receive_json() == 1001


async def test_without_a_file_the_state_is_forgotten(tmp_path):
    for _ in range(2):
        async with serve(LIVE, folder=tmp_path, plugins={"counter": COUNTER}) as app, app.connect("/count") as client:
            await client.send("up")
            assert await client.receive_json() == 1
    assert not list(tmp_path.glob("*.db*"))


async def test_what_is_no_json_fails_in_its_handler_alone_and_the_log_names_plugin_and_key(tmp_path, caplog):
    plugin = """
    from signalpost import signal

    @signal("bad", path="/bad")
    async def bad(event):
        event.state["when"] = event.timestamp
    """
    async with serve(KEPT, folder=tmp_path, plugins={"bad": plugin}) as app, app.connect("/bad") as client:
        await client.send("x")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert 'state["when"]: a value of type datetime is not JSON' in caplog.text
    assert "plugin bad" in caplog.text


async def test_a_full_state_is_said_by_the_handler_that_met_it_and_others_go_on(tmp_path, caplog):
    small = LIVE + "state: {limit: 200B}\n"
    async with serve(small, folder=tmp_path, plugins={"counter": COUNTER}) as app, app.connect("/keep") as client:
        await client.send("x" * 200)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        await client.send("x")
        assert await client.receive_json() == {"kept": "x", "_object": "x"}
    assert "state holds 200B at most" in caplog.text


async def test_a_server_whose_state_is_in_use_does_not_start_and_leaves_nothing_open(tmp_path):
    async with serve(KEPT, folder=tmp_path) as app:
        port = app.server.endpoints[0].port
        second = tmp_path / "second"
        second.mkdir()
        with pytest.raises(StateFileError, match=r"routes\.yaml:2: state\.file: .*state\.db is in use"):
            async with serve(KEPT.replace("state.db", json.dumps(str(tmp_path / "state.db"))), folder=second):
                pass
        assert app.server.endpoints[0].port == port


# What is written, and to which file


def parted(file):
    """Open a file whose writes are counted."""
    opened, entries = StateFile.open(file)
    written = []
    opened._connection.set_trace_callback(written.append)
    writer = StateWriter(opened, delay=3600, look=3600)
    state = State(entries, recorder=writer)
    writer.seal, writer.entries = state._seal, state._lasting
    return state, writer, lambda: sum(map(len, written))


LARGE = {f"name {n}": {"votes": n, "of": ["a", "b"]} for n in range(5_000)}
SMALL_CHANGES = {
    "a value deep inside": lambda state: state.put(("all", "name 7", "votes"), -1),
    "a value that is taken out": lambda state: state.discard(("all", "name 7")),
    "a mapping that a handler makes anew": lambda state: state.change("all", lambda all_: {**all_, "new": 1}),
    "a list that has grown": lambda state: state.change("list", lambda items: [*items, "new"]),
    "a list of the newest": lambda state: state.change("list", lambda items: [*items[1:], "new"]),
    "a list whose newest is first": lambda state: state.change("list", lambda items: ["new", *items[:-1]]),
    "an item in the middle": lambda state: state.change("list", lambda items: [*items[:9], "new", *items[10:]]),
    "a list inside": lambda state: state.change("deep", lambda deep: {"list": [*deep["list"], "new"]}),
    "what is put there again": lambda state: state.change("all", dict),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", SMALL_CHANGES.values(), ids=SMALL_CHANGES.keys())
def test_of_a_large_value_only_what_changes_is_written_and_all_of_it_is_read(file, kept, change):
    items = [{"n": n} for n in range(5_000)]
    state = kept()
    state["all"], state["list"], state["deep"] = LARGE, items, {"list": items}
    state.close()
    state, writer, written = parted(file)
    change(state)
    writer._write()
    assert written() < 1_000
    expected = {key: list(value) if isinstance(value, dict) else value for key, value in state.items()}
    values = dict(state)
    writer._file._connection.close()  # as the end of the process does
    again = kept()
    assert dict(again) == values
    assert {key: list(value) if isinstance(value, dict) else value for key, value in again.items()} == expected


def test_what_was_written_in_parts_is_whole_when_the_server_has_stopped(file, kept):
    state = kept()
    state["all"] = LARGE
    state.close()
    state, _, _ = parted(file)
    state.put(("all", "name 7"), "new")
    state.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (value,) = connection.execute("select value from state").fetchone()
        assert json.loads(value) == LARGE | {"name 7": "new"}
        assert connection.execute("select count(*) from edit").fetchone() == (0,)


def test_parts_are_put_together_before_they_are_more_than_the_whole(file, kept):
    state = kept()
    state["all"] = LARGE
    state.close()
    state, writer, _ = parted(file)
    sizes = []
    for n in range(20):
        for name in list(LARGE)[:500]:
            state.put(("all", name, "votes"), n)
        writer._write()
        (size,) = writer._file._connection.execute("select coalesce(sum(length(edit)), 0) from edit").fetchone()
        sizes.append(size)
    assert 0 < max(sizes) < len(json.dumps(LARGE))
    assert 0 in sizes
    state.close()


SHAPES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(SHAPES, SHAPES)
def test_whatever_becomes_of_a_value_its_edits_say(old, new):
    edits = [json.loads(json.dumps(edit)) for edit in edits_between(freeze(old), freeze(new))]
    made = apply_edits(json.loads(json.dumps(old)), edits)
    assert json.dumps(made) == json.dumps(new)


def delete(file):
    file.unlink()


def replace_by_renaming(file):
    file.with_name("copy").write_bytes(b"a copy")
    file.with_name("copy").replace(file)


def replace_in_place(file):
    file.write_bytes(b"a copy")


@pytest.mark.slow
@pytest.mark.parametrize("lose", [delete, replace_by_renaming, replace_in_place])
@pytest.mark.parametrize("changing", [True, False], ids=["something changes", "nothing changes"])
def test_a_file_that_is_lost_while_the_server_runs_is_told_and_written_anew(file, kept, caplog, lose, changing):
    opened, entries = StateFile.open(file)
    written, write = {}, opened.write
    opened.write = lambda batch: (write(batch), written.update(batch))
    writer = StateWriter(opened, delay=0.001, look=0.01)
    state = State(entries, recorder=writer)
    writer.seal, writer.entries = state._seal, state._lasting
    state["b"], state["a"] = {"tea": 3}, 1
    until(lambda: written == state)
    lose(file)
    if changing:
        state["c"] = 2
    until(lambda: "is written anew" in caplog.text)
    state.close()
    assert list(kept().items()) == [("b", {"tea": 3}), ("a", 1), *([("c", 2)] if changing else [])]
    aside = file.with_name("state.db.found")
    if lose is not delete:
        assert aside.read_bytes() == b"a copy"
        assert str(aside) in caplog.text
    assert not file.with_name("state.db-journal").exists()


def test_a_file_that_is_lost_just_before_the_stop_is_written_by_the_stop(file, kept):
    state = kept()
    state["a"] = 1
    file.unlink()
    state.close()
    assert kept() == {"a": 1}


KILLED = """
import os, sys
from pathlib import Path
from signalpost.state.file import StateFile
file, _ = StateFile.open(Path(sys.argv[1]))
file.write({"n": "of the server that was killed"})
os.kill(os.getpid(), 9)
"""


def test_a_copy_that_is_put_back_after_a_crash_is_what_counts(file, kept):
    state = kept()
    state["n"] = "of the copy"
    state.close()
    copy = file.read_bytes()
    subprocess.run([sys.executable, "-c", KILLED, file], check=False)
    file.write_bytes(copy)
    assert kept() == {"n": "of the copy"}


def test_what_a_killed_server_held_is_in_the_file_itself(file, kept):
    subprocess.run([sys.executable, "-c", KILLED, file], check=False)
    for each in file.parent.iterdir():
        if each != file:
            each.unlink()
    assert kept() == {"n": "of the server that was killed"}


# A server that is killed in the middle of a transaction

BEFORE = {f"k{number}": "before" * 200 for number in range(100)}
KILLED_WITHIN = """
import os, sys
from pathlib import Path
from signalpost.state.file import StateFile
file, entries = StateFile.open(Path(sys.argv[1]))
file._connection.set_trace_callback(lambda statement: os.kill(os.getpid(), 9) if statement == "COMMIT" else None)
file._connection.execute(f"PRAGMA cache_size = {sys.argv[2]}")
file.write({key: "within" * 200 for key in entries})
"""


@pytest.fixture(params=[1, 2_000], ids=["half of it is in the file", "nothing of it is in the file"])
def killed(request, file, kept):
    """Kill a server that changes all values of a file, after others have done so; return a copy from before."""
    state = kept()
    state.update(dict.fromkeys(BEFORE, "long ago" * 150))
    state.close()
    copy = file.read_bytes()
    state = kept()
    state.update(BEFORE)
    state.close()
    killed = subprocess.run([sys.executable, "-c", KILLED_WITHIN, file, str(request.param)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.with_name("state.db-journal").exists()
    return copy, request.param == 1


def test_a_transaction_in_which_the_server_is_killed_is_undone_by_the_next_start(killed, file, kept, caplog):
    state = kept()
    assert state == BEFORE
    state["more"] = 1
    state.close()
    assert list(file.parent.iterdir()) == [file]
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [True, False], ids=["another file", "the same file"])
def test_a_copy_that_is_put_back_after_a_kill_is_not_mixed_with_what_was_there(killed, file, kept, replaced, caplog):
    copy, overwritten = killed
    if replaced:
        file.unlink()
    file.write_bytes(copy)
    assert kept() == dict.fromkeys(BEFORE, "long ago" * 150)
    assert file.with_name("state.db-journal.found").exists() == overwritten
    assert ("was left by a server that was killed while it wrote another file" in caplog.text) == overwritten


def test_a_file_that_is_taken_away_after_a_kill_is_a_new_one(killed, file, kept):
    file.unlink()
    assert kept() == {}


def test_the_journal_of_a_transaction_under_way_is_left_to_it(file, kept):
    with contextlib.closing(StateFile.open(file)[0]) as held:
        held.write(BEFORE)
        held._connection.execute("PRAGMA cache_size = 1")
        held._connection.execute("BEGIN")
        count_on(held._connection)
        held._connection.execute("UPDATE state SET value = '1'")
        journal = file.with_name("state.db-journal")
        assert journal.exists()
        with pytest.raises(StateFileError, match="is in use"):
            StateFile.open(file)
        assert journal.exists()
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM state')"
        other = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr
        held._connection.execute("COMMIT")
    assert kept() == dict.fromkeys(BEFORE, 1)


# What is forgotten


def config_of(file, *forget):
    return StateConfig(("state",), file, forget=frozenset(forget))


def test_what_is_not_to_be_forgotten_any_more_is_kept_with_the_values_that_it_has(file, kept):
    state = State.open(config_of(file, "votes", "rooms.names"), HandlerSlots())
    state["votes"], state["rooms"], state["n"] = {"tea": 3}, {"names": ["ada"], "topic": "x"}, 1
    configure(state, config_of(file))
    state.close()
    assert kept() == {"n": 1, "votes": {"tea": 3}, "rooms": {"names": ["ada"], "topic": "x"}}


def test_what_is_to_be_forgotten_from_now_on_is_forgotten_by_the_next_start(file, kept):
    state = State.open(config_of(file), HandlerSlots())
    state["votes"], state["rooms"], state["n"] = {"tea": 3}, {"names": ["ada"], "topic": "x"}, 1
    configure(state, config_of(file, "votes", "rooms.names"))
    assert state["rooms"] == {"names": ["ada"], "topic": "x"}
    state.close()
    State.open(config_of(file, "votes", "rooms.names"), HandlerSlots()).close()
    assert kept() == {"n": 1, "rooms": {"topic": "x"}}


def test_a_key_inside_of_another_is_forgotten_alone(file, kept):
    state = State.open(config_of(file, "rooms.blue.names"), HandlerSlots())
    state.put(("rooms", "blue", "names", "1"), "ada")
    state.put(("rooms", "blue", "topic"), "x")
    state["rooms.blue.names"] = "a key of its own that looks like that"
    state.close()
    state = State.open(config_of(file, "rooms.blue.names"), HandlerSlots())
    assert state == {"rooms": {"blue": {"topic": "x"}}}
    state.close()
    state = State.open(config_of(file), HandlerSlots())
    state.put(("rooms", "blue", "names"), "kept before it was to be forgotten")
    state.close()
    state = State.open(config_of(file, "rooms.blue.names"), HandlerSlots())
    assert state == {"rooms": {"blue": {"topic": "x"}}}
    state.close()
    assert kept() == {"rooms": {"blue": {"topic": "x"}}}
