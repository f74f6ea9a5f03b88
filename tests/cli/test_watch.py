"""Which files make up an app, and what counts as a change of them; on real files and folders."""

import asyncio
import os

import pytest

from signalpost.cli import watch as watching
from signalpost.cli.watch import AppFiles


@pytest.fixture
def files(tmp_path):
    """An app of a file, a file that is not there, and a folder."""
    (tmp_path / "plugins" / "pack").mkdir(parents=True)
    (tmp_path / "routes.yaml").write_text("one")
    (tmp_path / "plugins" / "pack" / "__init__.py").write_text("")
    (tmp_path / "lib" / "shared" / "parts").mkdir(parents=True)
    (tmp_path / "lib" / "shared" / "__init__.py").write_text("")
    (tmp_path / "plugins" / "shared").symlink_to("../lib/shared")
    named = frozenset({tmp_path / "routes.yaml", tmp_path / "a" / "b" / "shape.json"})
    return AppFiles(named, frozenset({tmp_path / "plugins"}))


CHANGES = {
    "a file that is written": lambda home: (home / "routes.yaml").write_text("two!"),
    "a file that goes": lambda home: (home / "routes.yaml").unlink(),
    "a file that comes, with the folders on its way": lambda home: (
        (home / "a" / "b").mkdir(parents=True),
        (home / "a" / "b" / "shape.json").write_text("{}"),
    ),
    "a file in a folder of its own": lambda home: (
        (home / "plugins" / "more").mkdir(),
        (home / "plugins" / "more" / "__init__.py").write_text(""),
    ),
    "a helper deep in a folder": lambda home: (home / "plugins" / "pack" / "_helper.py").write_text(""),
    "a package that a symbolic link leads to": lambda home: (home / "lib" / "shared" / "__init__.py").write_text("2"),
    "a helper deep in such a package": lambda home: (home / "lib" / "shared" / "parts" / "a.py").write_text(""),
    "a folder that is moved away": lambda home: (home / "plugins").rename(home / "gone"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("told", [True, False], ids=["the system tells", "the system does not"])
async def test_every_change_is_noticed(files, tmp_path, change, told, monkeypatch):
    if not told:
        monkeypatch.setattr(watching, "LOOK", 10)
        monkeypatch.setattr(watching, "awatch", out_of_watches)
    before = files.stamps()
    waiting = asyncio.ensure_future(files.changed(before))
    await asyncio.sleep(0)
    change(tmp_path)
    await waiting
    assert files.stamps() != before


async def out_of_watches(*_, **__):
    raise OSError(28, "no space left on device (about inotify watches)")
    yield


async def test_what_changed_before_the_watcher_waited_is_noticed_at_once(files, tmp_path):
    before = files.stamps()
    (tmp_path / "routes.yaml").write_text("two!")
    await files.changed(before)


NOISE = ("plugins/.hidden.py", "plugins/p.py~", "plugins/.p.py.swp", "plugins/4913", "plugins/pack/__pycache__/a.pyc")


@pytest.mark.parametrize("name", [*NOISE, "other.yaml", "state.db"])
def test_what_programs_keep_for_themselves_and_what_is_not_the_apps_is_no_change(files, tmp_path, name):
    before = files.stamps()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    assert files.stamps() == before


def test_links_are_followed_to_python_alone_and_not_in_circles(files, tmp_path):
    before = files.stamps()
    (tmp_path / "much" / "more").mkdir(parents=True)
    (tmp_path / "much" / "more" / "a.py").write_text("")
    (tmp_path / "plugins" / "data").symlink_to("../much")
    (tmp_path / "plugins" / "pack" / "again").symlink_to(".")
    assert files.stamps() == before


def test_a_file_that_is_at_fault_is_one_more(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = files.and_of(["sub/other.yaml"])
    assert more.files - files.files == {tmp_path / "sub" / "other.yaml"}


def test_a_folder_covers_all_that_is_below_it_and_nothing_beside_it(files, tmp_path):
    assert files.cover(tmp_path / "plugins" / "pack" / "x.py")
    assert files.cover(tmp_path / "routes.yaml")
    assert not files.cover(tmp_path / "plugins.yaml")


# Which files count, and when


@pytest.fixture
def included(tmp_path):
    """An app with a folder of plugins and one of included files, each with a file that counts."""
    for name in ("plugins/clock.py", "plugins/pack/__init__.py", "conf/one.yaml", "conf/more/two.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return AppFiles(frozenset({tmp_path / "conf"}), frozenset({tmp_path / "plugins"}))


BESIDE = ("cache.json", "state.db", "state.db-journal", "run.log", "data.csv", "core.so", "words.txt", "lock")


@pytest.mark.parametrize("folder", ["plugins", "plugins/pack", "conf", "conf/more"])
def test_what_programs_write_beside_plugins_and_included_files_is_no_change(included, tmp_path, folder):
    before = included.stamps()
    assert len(before) == 4
    others = ("state.yaml",) if folder.startswith("plugins") else ("tool.py",)
    for name in (*BESIDE, *others):
        (tmp_path / folder / name).write_text("x")
        assert not included.cover(tmp_path / folder / name)
    assert included.stamps() == before


class Looks:
    """Stands in for the files and the clock: what each look finds is written down before, a tenth of a second apart."""

    def __init__(self, monkeypatch, rows):
        self.rows, self.taken, self.time, self.sleep = rows, 0, 0.0, asyncio.sleep
        monkeypatch.setattr(watching.asyncio, "sleep", self.pause)
        monkeypatch.setattr(watching, "is_written", lambda file: file in self.row.get("open", ()))

    @property
    def row(self):
        return self.rows(self.taken)

    def stamps(self):
        return {file: (value, 1, 1, 1) for file, value in self.row.items() if file != "open"}

    async def pause(self, seconds):
        self.taken += round(seconds * 10)
        await self.sleep(0)


async def settled(monkeypatch, rows, pace=None):
    """Return after how many tenths of a second files are taken to have changed; rows give what each look finds."""
    looks = Looks(monkeypatch, rows)
    files = AppFiles(frozenset())
    monkeypatch.setattr(AppFiles, "stamps", lambda _: looks.stamps())
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: looks.taken * 0.1000001)
    since = {file: (value, 1, 1, 1) for file, value in rows(-1).items() if file != "open"}
    return await files._settle(since, pace or watching.Pace(lambda: looks.taken * 0.1000001)), looks.taken


async def test_a_burst_is_over_when_all_its_files_are_left_alone(monkeypatch):
    changed, at = await settled(monkeypatch, lambda n: {"a": min(n, 0), "b": min(n, 5)})
    assert (changed, at) == (True, 6)


async def test_a_change_that_is_undone_is_none(monkeypatch):
    changed, _ = await settled(monkeypatch, lambda n: {"a": 0 if n == 0 else -1})
    assert not changed


async def test_a_file_that_changes_all_the_time_holds_back_nobody_elses_change_for_long(monkeypatch):
    changed, at = await settled(monkeypatch, lambda n: {"restless": n, "a": min(n, 0)})
    assert (changed, at) == (True, 10 * watching.PATIENCE)


async def test_a_file_that_changes_all_the_time_is_by_itself_no_change_until_it_rests(monkeypatch):
    changed, at = await settled(monkeypatch, lambda n: {"restless": min(n, 100)})
    assert (changed, at) == (True, 101)


async def test_a_file_that_somebody_has_open_to_write_is_waited_for_but_not_for_ever(monkeypatch):
    changed, at = await settled(monkeypatch, lambda n: {"a": min(n, 0), "open": ["a"] if n < 7 else []})
    assert (changed, at) == (True, 7)
    changed, at = await settled(monkeypatch, lambda n: {"a": min(n, 0), "open": ["a"]})
    assert (changed, at) == (True, 10 * watching.OPEN)


def test_a_file_is_open_to_write_until_it_is_closed(tmp_path):
    path = tmp_path / "slow.yaml"
    with path.open("w") as file:
        file.write("half")
        file.flush()
        assert watching.is_written(path)
    assert not watching.is_written(path)
    with path.open() as _:
        assert not watching.is_written(path)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", tmp_path / "nothing", tmp_path, tmp_path / ("x" * 300)):
        assert not watching.is_written(other)


def test_a_file_that_has_reloads_follow_each_other_is_waited_for_longer_and_named(tmp_path, caplog):
    now = [0.0]
    pace = watching.Pace(lambda: now[0])
    for _ in range(watching.BURST):
        assert pace.rest(tmp_path / "a.py") == watching.QUIET
        pace.caused([tmp_path / "a.py"])
        now[0] += 0.5
    for _ in range(20):
        assert pace.rest(tmp_path / "a.py") == watching.REST
        pace.caused([tmp_path / "a.py"])
        now[0] += watching.REST
    assert pace.rest(tmp_path / "b.py") == watching.QUIET
    assert [record.getMessage().partition(" changes")[0] for record in caplog.records] == [str(tmp_path / "a.py")]
    now[0] += watching.RECOVERY
    assert pace.rest(tmp_path / "a.py") == watching.QUIET


def test_a_mode_that_changes_is_a_change(files, tmp_path):
    before = files.stamps()
    (tmp_path / "routes.yaml").chmod(0)
    assert files.stamps() != before


@pytest.mark.slow
async def test_a_name_that_is_not_utf_8_is_no_end_of_watching(files, tmp_path):
    before = files.stamps()
    waiting = asyncio.ensure_future(files.changed(before))
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    await asyncio.sleep(0)
    (tmp_path / "plugins" / os.fsdecode(b"caf\xe9.py")).write_text("x")
    await waiting
    assert files.stamps() != before
