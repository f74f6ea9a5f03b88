"""Bans and revocations in the file of the state: over restarts, reloads, and the loss of the file."""

import sqlite3

import pytest

from signalpost.auth.identity import Identity
from signalpost.auth.revocations import BANNED, REVOKED, Kind
from signalpost.errors import StateFileError
from signalpost.state.file import StateFile
from signalpost.testing import load_app, serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
KEPT = LIVE + "state: {file: state.db}\nsignals: [{path: /x}]\n"
ANN, BOB, TOKEN = Identity("ann", issued=10.0), Identity("bob", issued=10.0), Identity("eve", token_id="t1")


def refusals(app):
    return [app.server.node.moderation.refusal(identity) for identity in (ANN, BOB, TOKEN)]


def say_all(app):
    moderation = app.server.node.moderation
    moderation.ban("ann", 3_600.0, by="a test")
    moderation.revoke(user="bob", before=100.0, by="a test")
    moderation.revoke(token_id="t1", by="a test")


async def test_they_survive_a_restart_and_what_was_lifted_does_not(tmp_path):
    async with serve(KEPT, folder=tmp_path) as app:
        app.server.node.state["count"] = 1
        say_all(app)
    async with serve(KEPT, folder=tmp_path) as app:
        assert refusals(app) == [BANNED, REVOKED, REVOKED]
        assert app.server.node.moderation.refusal(Identity("bob", issued=100.0)) is None
        assert app.server.node.moderation.unban("ann", by="a test")
        assert app.server.node.moderation.unrevoke(token_id="t1", by="a test")
    async with serve(KEPT, folder=tmp_path) as app:
        assert refusals(app) == [None, REVOKED, None]
        assert dict(app.server.node.state) == {"count": 1}


async def test_without_a_file_they_end_with_the_server(tmp_path):
    text = LIVE + "signals: [{path: /x}]"
    async with serve(text, folder=tmp_path) as app:
        say_all(app)
        assert refusals(app) == [BANNED, REVOKED, REVOKED]
    async with serve(text, folder=tmp_path) as app:
        assert refusals(app) == [None, None, None]


async def test_a_reload_keeps_them(tmp_path):
    async with serve(KEPT, folder=tmp_path) as app:
        say_all(app)
        await app.reload(LIVE + "signals: [{path: /y}]")
        assert refusals(app) == [BANNED, REVOKED, REVOKED]


async def test_what_has_ended_is_not_in_the_file_of_the_next_server(tmp_path):
    async with serve(KEPT, folder=tmp_path) as app:
        app.server.node.moderation.ban("ann", 1e-6, by="a test")
        app.server.node.moderation.ban("bob", 100.0, by="a test")
    async with serve(KEPT, folder=tmp_path):
        pass
    file, _ = StateFile.open(tmp_path / "state.db")
    assert [key.name for key in file.revoked] == ["bob"]
    file.close()


async def test_a_file_that_is_lost_while_the_server_runs_is_written_anew_with_them(tmp_path, until, caplog):
    async with serve(KEPT, folder=tmp_path) as app:
        say_all(app)
        await until(lambda: _rows(tmp_path / "state.db") == 3)
        (tmp_path / "state.db").unlink()
        await until(lambda: any("is written anew" in line for line in caplog.messages))
    async with serve(KEPT, folder=tmp_path) as app:
        assert refusals(app) == [BANNED, REVOKED, REVOKED]


def _rows(path):
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return 0
    try:
        return connection.execute("SELECT count(*) FROM revoked").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


async def test_a_file_of_before_there_were_any_is_taken_as_it_is(tmp_path):
    async with serve(KEPT, folder=tmp_path) as app:
        app.server.node.state["count"] = 1
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("DROP TABLE revoked")
    connection.close()
    async with serve(KEPT, folder=tmp_path) as app:
        assert dict(app.server.node.state) == {"count": 1}
        say_all(app)
        assert refusals(app) == [BANNED, REVOKED, REVOKED]


async def test_a_file_with_a_row_that_none_can_have_is_damaged(tmp_path):
    async with serve(KEPT, folder=tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("INSERT INTO revoked VALUES ('ban', 'ann', 0, 'soon')")
    connection.commit()
    connection.close()
    with pytest.raises(StateFileError, match=r"is damaged.*a ban or revocation has values that none can have"):
        await serve(KEPT, folder=tmp_path).__aenter__()


async def test_a_row_of_a_kind_that_a_later_version_may_write_is_left_alone(tmp_path):
    async with serve(KEPT, folder=tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("INSERT INTO revoked VALUES ('key', 'shop', 0, 9e9)")
    connection.commit()
    connection.close()
    async with serve(KEPT, folder=tmp_path) as app:
        assert len(app.server.node.moderation.revocations) == 0
        app.server.node.moderation.revocations.ban("ann")
        assert app.server.node.moderation.revocations.lift(Kind.BAN, "ann")
    file, _ = StateFile.open(tmp_path / "state.db")
    assert [key.kind for key in file.revoked] == ["key"]
    file.close()


@pytest.mark.parametrize(
    ("step", "note"),
    [("ban: {user: ann}", "bans end"), ("revoke: {user: ann}", "revocations end"), ("kick: {user: ann}", "")],
)
@pytest.mark.parametrize("state", ["", "state: {file: state.db}\n"])
def test_check_notes_a_step_that_nothing_keeps(tmp_path, step, note, state):
    plan = load_app(
        f"{LIVE}{state}signals: [{{path: /x, do: [{{if: '{{{{ true }}}}', then: [{{{step}}}]}}]}}]", tmp_path
    )
    found = [each for each in plan.notes if "when the server stops" in each]
    plan.registry.unload()
    assert len(found) == bool(note and not state)
    assert all(f"{note} when the server stops; state: {{file: …}} keeps them" in each for each in found)
