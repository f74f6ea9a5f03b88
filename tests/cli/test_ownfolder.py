"""The folder `.signalpost`: whoever may write beside routes.yaml leads no command to another file."""

import os
import signal

import pytest

from signalpost.cli.record import Recorder, read_record, record_path
from signalpost.errors import StateFileError
from signalpost.plan import load_plan
from signalpost.state.file import StateFile

KEPT = "what others have written"


@pytest.fixture
def target(tmp_path):
    """A file that must stay as it is."""
    file = tmp_path / "precious"
    file.write_text(KEPT)
    return file


@pytest.fixture
def recorder(write):
    """A server's recorder, and the plan that it records."""
    write("signals: [{path: /}]")
    plan = load_plan("routes.yaml")
    recorder = Recorder("routes.yaml")
    yield lambda: recorder.write(plan)
    recorder.remove()
    plan.registry.unload()


def test_a_record_takes_the_place_of_a_link_and_is_not_written_through_it(folder, target, recorder):
    (folder / ".signalpost").mkdir()
    record = record_path("routes.yaml")
    others = record.with_name(f"{record.name}.{os.getpid()}")
    for link in (record, others):
        link.symlink_to(target)
    recorder()
    assert target.read_text() == KEPT
    assert not record.is_symlink()
    assert read_record("routes.yaml").process == os.getpid()
    assert others.is_symlink()


def test_no_record_is_left_in_a_folder_that_is_a_link_and_a_line_says_so(folder, tmp_path, recorder, caplog):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ".signalpost").symlink_to(elsewhere)
    recorder()
    assert list(elsewhere.iterdir()) == []
    assert ".signalpost is a symbolic link, which is not followed: remove it" in caplog.text


def test_no_record_is_left_in_a_folder_of_another_user(folder, recorder, caplog, monkeypatch):
    (folder / ".signalpost").mkdir()
    owner = (folder / ".signalpost").stat().st_uid or 4711
    os.chown(folder / ".signalpost", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    recorder()
    assert list((folder / ".signalpost").iterdir()) == []
    assert f"belongs to another user ({owner})" in caplog.text


def test_a_pipe_in_the_place_of_a_record_holds_nobody_up(folder, recorder, signalpost):
    (folder / ".signalpost").mkdir()
    os.mkfifo(record_path("routes.yaml"))
    recorder()
    result = signalpost("plan")
    assert result.exit_code != 0
    assert "cannot be read" in result.output


def test_a_server_runs_without_a_record_where_there_is_a_link(write, folder, tmp_path, run):
    write("signals: [{path: /}]")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ".signalpost").symlink_to(elsewhere)
    code, _, err = run().end(signal.SIGTERM)
    assert code == 0
    assert "so `plan` does not know what runs" in err
    assert list(elsewhere.iterdir()) == []


def test_a_schema_takes_the_place_of_a_link_and_is_not_written_through_it(write, folder, target, signalpost):
    write("signals: [{path: /}]")
    (folder / ".signalpost").mkdir()
    schema = folder / ".signalpost" / "routes.schema.json"
    schema.symlink_to(target)
    assert signalpost("schema", "--write").exit_code == 0
    assert target.read_text() == KEPT
    assert not schema.is_symlink()
    assert schema.stat().st_mode & 0o777 == 0o644


def test_no_schema_is_written_into_a_folder_that_is_a_link(write, folder, tmp_path, signalpost):
    write("signals: [{path: /}]")
    (folder / ".signalpost").symlink_to(tmp_path)
    result = signalpost("schema", "--write")
    assert result.exit_code != 0
    assert "is a symbolic link, which is not followed: remove it" in result.output
    assert not (tmp_path / "routes.schema.json").exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_no_state_is_kept_behind_a_link(tmp_path, target, suffix):
    (tmp_path / f"state.db{suffix}").symlink_to(target)
    with pytest.raises(StateFileError, match=rf"state\.db{suffix} is a symbolic link, which is not followed"):
        StateFile.open(tmp_path / "state.db")
    assert target.read_text() == KEPT


def test_a_state_that_is_to_be_kept_behind_a_link_is_a_mistake(write, folder, target, signalpost):
    write("state: {file: state.db}")
    (folder / "state.db").symlink_to(target)
    result = signalpost("check")
    assert result.exit_code != 0
    assert "is a symbolic link, which is not followed: name the file itself" in result.output
