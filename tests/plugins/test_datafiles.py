"""What an import reads besides code, told from what this process writes itself."""

import contextlib
import os
import threading

from signalpost.plugins.datafiles import is_own, read_from


def test_files_of_the_folder_that_are_read_in_a_block_are_found_and_no_others(tmp_path):
    folder, other = tmp_path / "app", tmp_path / "other.txt"
    for file in (folder / "deep" / "a.txt", folder / "code.py", folder / "written", folder / "later", other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")

    def elsewhere():
        (folder / "later").read_text()

    with read_from(folder) as found:
        (folder / "deep" / "a.txt").read_bytes()
        (folder / "code.py").read_text()
        other.read_text()
        (folder / "written").write_text("y")
        for name in ("gone", "x\0y", 10_000_000, None):
            with contextlib.suppress(OSError, ValueError, TypeError):
                open(folder / name if isinstance(name, str) else name).close()  # noqa: PTH123 - as anybody may
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    (folder / "later").read_text()
    assert list(found) == [str(folder / "deep" / "a.txt")]
    assert not is_own(folder / "deep" / "a.txt")


def test_a_file_that_is_read_is_own_once_this_process_writes_it_however_it_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("opened", "renamed", "before", "untouched"):
        (tmp_path / name).write_text("x")
    (tmp_path / "new").write_text("y")
    with read_from(tmp_path) as found:
        (tmp_path / "before").write_text("made by the import itself")
        for name in ("opened", "renamed", "before", "untouched"):
            open(name).close()  # noqa: PTH123 - likewise
    assert [is_own(tmp_path / name) for name in ("opened", "renamed", "before")] == [False, False, True]
    os.close(os.open(b"opened", os.O_WRONLY))
    (tmp_path / "new").replace("renamed")
    assert [is_own(file) for file in found] == [True, True, True, False]


def test_of_files_that_nobody_reads_nothing_is_kept(tmp_path):
    (tmp_path / "written").write_text("x")
    (tmp_path / "written").read_text()
    assert not is_own(tmp_path / "written")
