"""Which files make up an app, and what counts as a change of them; on real files and folders."""

import asyncio

import pytest

from signalpost.cli import watching
from signalpost.cli.watching import AppFiles


@pytest.fixture
def files(tmp_path):
    """An app of a file, a file that is not there, and a folder."""
    (tmp_path / "plugins" / "pack").mkdir(parents=True)
    (tmp_path / "routes.yaml").write_text("one")
    (tmp_path / "plugins" / "pack" / "__init__.py").write_text("")
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
    "a folder that is moved away": lambda home: (home / "plugins").rename(home / "gone"),
}


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


async def test_what_changed_before_it_waited_is_noticed_at_once(files, tmp_path):
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


def test_a_file_that_is_at_fault_is_one_more(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = files.and_of(["sub/other.yaml"])
    assert more.files - files.files == {tmp_path / "sub" / "other.yaml"}


def test_a_folder_covers_all_that_is_below_it_and_nothing_beside_it(files, tmp_path):
    assert files.cover(tmp_path / "plugins" / "pack" / "x.py")
    assert files.cover(tmp_path / "routes.yaml")
    assert not files.cover(tmp_path / "plugins.yaml")
