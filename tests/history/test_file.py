"""The file of the history: what was written comes back, and whether that is all; what cannot be used says why."""

import contextlib
import dataclasses
import os
import re
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.errors import HistoryFileError, StateFileError
from signalpost.history import file as described
from signalpost.history.file import EntryRecord, HistoryFile, StreamChange, StreamRecord
from signalpost.state.file import StateFile

NOON = 1_800_000_000.25


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.db"


@pytest.fixture
def opened(path):
    """Open the file, and tell what is in it; all are closed at the end."""
    with contextlib.ExitStack() as files:

        def open_file():
            file, *found = HistoryFile.open(path)
            files.callback(file.close, clean=False)
            return file, *found

        yield open_file


def entry(offset, data=b'{"n":1}', **others):
    return EntryRecord(
        **{"offset": offset, "id": offset, "kept": NOON, "left_out": None, "is_text": False, "data": data} | others
    )


def stream(place="/chat", top=0, **others):
    return StreamRecord(
        **{"place": place, "epoch": "4f9a1c", "top": top, "last": top, "before": 0, "used": NOON} | others
    )


def change(place="/chat", first=1, top=3, **others):
    """Give a stream that has all its entries to write."""
    return StreamChange(stream(place, top, **others), first, [entry(offset) for offset in range(first, top + 1)])


def refusal(path):
    with pytest.raises(HistoryFileError) as caught:
        HistoryFile.open(path)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(f"{path} ")
    return text.removeprefix(f"{path} ")


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# What comes back


def test_an_entry_survives_with_all_that_is_known_of_it(opened):
    file, streams, *_ = opened()
    assert streams == []
    record = stream("/a b/ü\0", top=2**63 - 1, epoch="zzzzzz", last=2**20 - 1, before=7, used=0.125)
    kept = [
        entry(2**63 - 2, b"", id=0, kept=NOON - 1, left_out="a session", is_text=True),
        entry(2**63 - 1, b"\0\xff" * 9_000, id=2**20 - 1),
    ]
    file.write([StreamChange(record, 2**63 - 2, kept)], [])
    file.close(clean=True)
    _, streams, *_ = opened()
    assert streams == [(record, kept)]
    assert [type(each.is_text) for each in streams[0][1]] == [bool, bool]


def test_entries_come_back_oldest_first_and_streams_as_they_were_added(opened):
    file, *_ = opened()
    file.write([change("/b", top=300), change("/c"), change("/a")], [])
    file.write([StreamChange(stream("/b", 301), 1, [entry(301)])], [])
    file.close(clean=True)
    _, streams, *_ = opened()
    assert [record.place for record, _ in streams] == ["/b", "/c", "/a"]
    assert [each.offset for each in streams[0][1]] == list(range(1, 302))


def test_what_is_removed_is_not_read_and_a_stream_may_have_no_entries(opened):
    file, *_ = opened()
    file.write([change("/old"), change("/empty"), change("/gone"), change("/again", top=9), change("/anew", top=9)], [])
    file.write(
        [
            StreamChange(stream("/old", 4), 3, [entry(4)]),
            StreamChange(stream("/empty", 3), 4, []),
            change("/again", top=1, epoch="second"),
            change("/anew", top=2, epoch="second"),
        ],
        ["/gone", "/again", "/never was"],
    )
    file.close(clean=True)
    _, streams, *_ = opened()
    assert {record.place: [each.offset for each in entries] for record, entries in streams} == {
        "/old": [3, 4],
        "/empty": [],
        "/again": [1],
        "/anew": [1, 2],
    }


def test_a_write_that_fails_writes_nothing_and_the_next_one_works(opened):
    file, *_ = opened()
    file.write([change()], [])
    with pytest.raises(sqlite3.IntegrityError):
        file.write([change("/new"), StreamChange(stream(top=4), 4, [entry(4, kept=float("nan"))])], ["/chat"])
    with pytest.raises(OverflowError):
        file.write([change("/new"), StreamChange(stream(top=2**63), 4, [])], ["/chat"])
    file.write([change("/other")], [])
    file.close(clean=True)
    _, streams, *_ = opened()
    assert streams == [(stream(top=3), [entry(1), entry(2), entry(3)]), (stream("/other", 3), change().entries)]


def test_a_file_is_read_with_as_many_queries_whatever_is_in_it(opened):
    file, *_ = opened()

    def queries():
        told = []
        file._connection.set_trace_callback(told.append)
        file._read()
        file._connection.set_trace_callback(None)
        return len(told)

    few = queries()
    file.write([change(f"/{number}") for number in range(50)], [])
    assert queries() == few


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
IDS = st.integers(0, 2**20 - 1)
VALUES = st.tuples(IDS, TIMES, st.none() | TEXTS, st.booleans(), st.binary(max_size=20))
FATES = st.sampled_from(["goes on", "goes on", "is gone", "begins anew", "is gone and begins anew"])
FATE = st.tuples(FATES, st.integers(0, 2**63 - 100), st.lists(VALUES, max_size=5), st.integers(0, 6), TEXTS, IDS, TIMES)
PLACES = st.sampled_from(["/a", "/b/ü\0", ""])
BATCHES = st.lists(st.tuples(st.dictionaries(PLACES, FATE), st.integers(1, 2), st.booleans()), max_size=8)


def batch_of(fates, model):
    """Change a model; return what is to be written, as the server would write it."""
    changes, gone = [], []
    for place, (fate, begin, values, removed, epoch, id_, time) in fates.items():
        if "gone" in fate:
            gone.append(place)
            model.pop(place, None)
        if fate == "is gone":
            continue
        if "anew" in fate:
            old, entries = stream(top=begin), []
        else:
            old, entries = model.get(place, (stream(top=begin), []))
        added = [EntryRecord(offset, *value) for offset, value in enumerate(values, old.top + 1)]
        entries = [*entries, *added][removed:]
        record = StreamRecord(place, epoch, old.top + len(added), id_, id_, time)
        first = record.top - len(entries) + 1
        changes.append(StreamChange(record, first, added))
        model[place] = record, entries
    return changes, gone


@pytest.mark.slow
@settings(max_examples=60)
@given(BATCHES)
def test_whatever_is_written_in_however_many_batches_once_or_again_is_read(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("history") / "history.db"
    model = {}
    file, *_ = HistoryFile.open(path)
    for fates, times, again in batches:
        batch = batch_of(fates, model)
        for _ in range(times):
            file.write(*batch)
        if again:
            file.close(clean=True)
            file, streams, *_ = HistoryFile.open(path)
            assert {record.place: (record, entries) for record, entries in streams} == model
    file.close(clean=False)
    file, streams, *_ = HistoryFile.open(path)
    file.close(clean=False)
    assert {record.place: (record, entries) for record, entries in streams} == model


def test_the_file_is_its_owner_s_alone_and_nothing_is_left_beside_it(opened, path):
    file, *_ = opened()
    file.write([change()], [])
    file.close(clean=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_file_can_be_read_by_people_as_its_description_says(opened, path):
    file, *_ = opened()
    file.write([change(top=1)], [])
    file.close(clean=True, sessions=["abc"])
    (query,) = re.findall(r'sqlite3 history\.db "(.*)"', described.__doc__)
    assert rows(path, query) == [("/chat", 1, "2027-01-15 08:00:00", b'{"n":1}')]
    assert rows(path, "select * from mark, session") == [("stopped in order", "abc")]


# Whether the last server stopped in order


def test_a_new_file_misses_nothing(opened):
    _, streams, sessions, in_order = opened()
    assert (streams, sessions, in_order) == ([], frozenset(), True)


def test_a_file_says_whether_it_was_closed_in_order_each_time(opened):
    for clean in (True, False, False, True, True, False):
        file, *_ = opened()
        file.write([change()], [])
        file.close(clean=clean)
        file, *_, in_order = opened()
        assert in_order is clean
        file.close(clean=True)


KILLED = """
import os, sys
from pathlib import Path
from signalpost.history.file import EntryRecord, HistoryFile, StreamChange, StreamRecord
file, *_ = HistoryFile.open(Path(sys.argv[1]))
if sys.argv[2] == "write":
    record = StreamRecord("/killed", "abcdef", 1, 1, 0, 0.0)
    file.write([StreamChange(record, 1, [EntryRecord(1, 1, 0.0, None, False, b"1")])], [])
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("what", ["open", "write"])
def test_the_mark_is_gone_as_soon_as_the_file_is_open(opened, path, what):
    file, *_ = opened()
    file.write([change()], [])
    file.close(clean=True, sessions=["abc"])
    assert rows(path, "select * from mark")
    killed = subprocess.run([sys.executable, "-c", KILLED, path, what], check=False)
    assert killed.returncode == -signal.SIGKILL
    for each in path.parent.iterdir():
        if each != path:  # what the killed server held is in the file itself
            each.unlink()
    assert rows(path, "select * from mark") == []
    _, streams, _, in_order = opened()
    assert not in_order
    assert [record.place for record, _ in streams] == ["/chat", *(["/killed"] if what == "write" else [])]


def test_sessions_are_those_of_the_last_stop_in_order(opened):
    for clean, given_, expected in [
        (True, ["a", "b", "a"], {"a", "b"}),
        (False, ["c"], {"a", "b"}),
        (True, {"d\0", ""}, {"d\0", ""}),
        (True, (), set()),
    ]:
        file, *_ = opened()
        file.close(clean=clean, sessions=given_)
        file, _, sessions, _ = opened()
        file.close(clean=False)
        assert sessions == expected


def test_a_mark_that_cannot_be_written_is_told_and_the_file_is_free(opened):
    file, *_ = opened()
    file._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.OperationalError):
        file.close(clean=True, sessions=["a"])
    _, _, sessions, in_order = opened()
    assert (sessions, in_order) == (frozenset(), False)


# What cannot be used


def test_two_servers_cannot_have_one_file_in_one_process(opened, path):
    file, *_ = opened()
    assert refusal(path).startswith("is in use: another server keeps its history there")
    assert refusal(path).startswith("is in use"), "the refusal itself has not taken the lock away"
    file.close(clean=True)
    opened()


def test_two_servers_cannot_have_one_file_in_two_processes(opened, path):
    code = (
        "import sys; from pathlib import Path; from signalpost.history.file import HistoryFile\n"
        "try: HistoryFile.open(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    opened()
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"HistoryFileError {path} is in use")


@pytest.fixture
def written(opened, path):
    """Write a file that a server has closed in order."""
    file, *_ = opened()
    file.write([StreamChange(stream(top=2_000), 1, [entry(n, b"x" * 50) for n in range(1, 2_001)]), change("/b")], [])
    file.close(clean=True, sessions=["abc"])
    return path


def in_the_middle(path):
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 4096] = os.urandom(len(data) - 8192)
    path.write_bytes(data)


def cut(path, size):
    os.truncate(path, size)


def state_of_a_server(path):
    path.unlink()
    StateFile.open(path)[0].close()


def of_others(path):
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table notes (text)")


def folder(path):
    path.unlink()
    path.mkdir()


DAMAGED = "is damaged: put a whole copy back, or move it away and begin with an empty history"


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            lambda path: path.write_text("- a: b\n" * 100),
            "is no file of a history: name one that is not there yet, or a h",
        ),
        (in_the_middle, DAMAGED),
        (lambda path: cut(path, 3 * 4096), DAMAGED),
        (lambda path: cut(path, path.stat().st_size - 4096), DAMAGED),
        (lambda path: cut(path, 50), DAMAGED),
        (of_others, "is a database of another program: name a file of its own for the history"),
        (state_of_a_server, "is a database of another program: name a file of its own for the history"),
        (lambda path: sql(path, "pragma user_version = 2"), "was written by a newer signalpost: run that one, or name"),
        (folder, "cannot be opened: "),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_stays_as_it_is(written, spoil, text):
    spoil(written)
    before = None if written.is_dir() else written.read_bytes()
    assert refusal(written).startswith(text)
    assert written.is_dir() or written.read_bytes() == before


def test_a_history_is_no_state(written):
    with pytest.raises(StateFileError, match="is a database of another program: name a file of its own for the state"):
        StateFile.open(written)


def sql(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        (["update stream set top = 1999"], 'the entries of the stream "/chat" are not all there'),
        (["update stream set top = 2001"], 'the entries of the stream "/chat" are not all there'),
        (["delete from entry where offset = 1000"], 'the entries of the stream "/chat" are not all there'),
        (["delete from entry where offset = 2000"], 'the entries of the stream "/chat" are not all there'),
        (["delete from stream where place = '/b'"], "there are entries of no stream"),
        *(
            ([f"update entry set {wrong} where offset = 2000"], 'the stream "/chat" has an entry with values that none')
            for wrong in (
                "offset = 'x'",
                "offset = 0.5",
                "offset = 0",
                "offset = -1",
                "id = 1 << 20",
                "id = -1",
                "id = 'x'",
                "kept = 'x'",
                "kept = 9e999",
                "left_out = x'00'",
                "is_text = 2",
                "is_text = 'x'",
                "data = 'x'",
                "data = 5",
            )
        ),
        *(
            ([f"update stream set {wrong} where place = '/b'"], "a stream has values that none can have")
            for wrong in (
                "place = x'00'",
                "epoch = x'00'",
                "top = -1",
                "top = 0.5",
                "top = 9223372036854775808",
                "last = 1 << 20",
                "before = -1",
                "used = 'x'",
                "used = -9e999",
            )
        ),
        (["insert into session values (x'00')"], "a session is no text"),
        (["update stream set place = cast(x'1b5b33ff' as text) where place = '/b'"], "could not decode to utf-8"),
        (["update entry set left_out = cast(x'ff' as text)"], "could not decode to utf-8"),
        (["drop table entry"], "no such table: entry"),
        (["drop table mark"], "no such table: mark"),
        (["alter table stream rename column epoch to era"], "no such column: epoch"),
        (
            [
                "create table copy as select * from stream",
                "drop table stream",
                "alter table copy rename to stream",
                "insert into stream select 9, place, epoch, top, last, before, used from stream limit 1",
            ],
            "two streams have the same place",
        ),
    ],
)
def test_rows_that_make_no_sense_are_damage_and_the_mark_stays(written, statements, text):
    sql(written, *statements)
    before = written.read_bytes()
    found = refusal(written)
    assert found.startswith(f"{DAMAGED} (")
    assert text in found
    assert written.read_bytes() == before


def test_a_file_that_was_refused_is_free_to_be_mended(written, opened):
    sql(written, "alter table mark rename to marks")
    with pytest.raises(HistoryFileError) as refused:
        HistoryFile.open(written)
    sql(written, "alter table marks rename to mark")
    opened()
    del refused  # which has kept whatever was open


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal"])
def test_a_symbolic_link_is_not_followed(path, suffix):
    target = path.with_name("target")
    target.write_bytes(b"precious")
    path.with_name(path.name + suffix).symlink_to(target)
    with pytest.raises(HistoryFileError, match=rf"history\.db{suffix} is a symbolic link, which is not followed"):
        HistoryFile.open(path)
    assert target.read_bytes() == b"precious"


# What happens to the file while the server runs


def test_a_file_is_ours_until_others_touch_it(opened, path):
    file, *_ = opened()
    assert file.is_ours()
    file.write([change()], [])
    assert file.is_ours()
    path.write_bytes(b"a copy")
    assert not file.is_ours()
    aside = file.give_up()
    assert aside.read_bytes() == b"a copy"
    _, streams, *_ = opened()
    assert streams == []


def test_a_file_that_is_deleted_is_not_ours_any_more_and_can_be_made_anew(opened, path):
    file, *_ = opened()
    path.unlink()
    assert file.found() is None
    assert not file.is_ours()
    assert file.give_up() is None
    file, streams, *_ = opened()
    file.write([change()], [])
    file.close(clean=True)
    _, streams, *_ = opened()
    assert streams == [(dataclasses.replace(stream(), top=3, last=3), [entry(1), entry(2), entry(3)])]
