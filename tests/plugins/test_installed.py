"""Installed packages: found without a line in routes.yaml, bound to no path where undeclared ones are refused."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from signalpost.cli import cli
from signalpost.errors import ConfigError
from signalpost.plan import load_plan

SOURCE = """
from signalpost import SignalEvent, route, signal, timer

@signal("talk", path="/talk", schema={"properties": {"message": {"type": "string"}}}, parallel=3)
async def talk(event): ...

@signal("whisper: low", path="/whisper/<room>")
async def whisper(event): ...

@route("status", path="/status", methods=["GET"])
async def status(event):
    return "up"

@timer("tick", every="1h")
async def tick(event): ...
"""
ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""


class Site:
    """An app with a package beside it that is installed."""

    def __init__(self, folder, module):
        self.folder = folder
        self.file = folder / "routes.yaml"
        self.module = module

    def plan(self, text):
        self.file.write_text(ENDPOINTS + text)
        plan = load_plan(self.file)
        plan.registry.unload()
        return plan

    def command(self, *arguments):
        return CliRunner().invoke(cli, [arguments[0], str(self.file), *arguments[1:]])

    @property
    def imported(self):
        return self.module in sys.modules


@pytest.fixture
def chat(installed, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    installed("Chat_Kit", "chat = chat_kit_plugin", source=SOURCE)
    return Site(folder, "chat_kit_plugin")


def paths(plan):
    return [str(rule.config.path) for rule in plan.signals] + [str(rule.config.path) for rule in plan.routes]


def notes(plan):
    return [note for note in plan.notes if "installed" in note]


def test_an_installed_plugin_binds_what_it_says_where_undeclared_paths_are_rebroadcast(chat):
    plan = chat.plan("")
    assert paths(plan) == ["/talk", "/whisper/<room>", "/status"]
    assert notes(plan) == []


def test_an_installed_plugin_binds_no_path_where_undeclared_ones_are_refused_and_the_note_has_the_line_that_does(chat):
    plan = chat.plan("undeclared: refuse\n")
    assert paths(plan) == []
    assert [job.name for job in plan.jobs] == ["tick"]
    (note,) = notes(plan)
    assert "plugin chat (Chat_Kit 1.2)" in note
    assert "left out: signal /talk, signal /whisper/<room>, route GET /status" in note
    line = note.partition("write ")[2]
    assert line == 'handlers: {talk: on, "whisper: low": on, status: on}'
    bound = chat.plan(f"undeclared: refuse\n{line}\n")
    assert paths(bound) == ["/talk", "/whisper/<room>", "/status"]
    assert notes(bound) == []
    assert (bound.signals[0].gate is not None, bound.signals[0].config.parallel) == (True, 3)


def test_the_handlers_of_an_unbound_installed_plugin_may_be_named_and_are_no_longer_noted(chat):
    plan = chat.plan("undeclared: refuse\nsignals: [{path: /mine, handler: talk}]\nhandlers: {status: off}\n")
    assert paths(plan) == ["/mine"]
    assert "left out: signal /whisper/<room>. " in notes(plan)[0]


def test_a_drop_in_plugin_binds_its_paths_either_way(chat):
    (chat.folder / "plugins").mkdir()
    (chat.folder / "plugins" / "own.py").write_text(
        "from signalpost import signal\n\n@signal('own', path='/own')\nasync def own(event): ...\n"
    )
    assert paths(chat.plan("undeclared: refuse\n")) == ["/own"]


def test_an_unknown_handler_is_a_problem_whether_it_is_bound_or_unbound(chat):
    with pytest.raises(ConfigError, match='no handler named "tlak"; did you mean "talk"'):
        chat.plan("handlers: {tlak: on}\n")


@pytest.mark.parametrize(
    "text",
    [
        "plugins: {disable: [chat]}",
        "plugins: {disable: [chat-kit]}",
        "plugins: {disable: [Chat.Kit]}",
        "plugins: {installed: []}",
        "plugins: {enable: []}",
        "plugins: {installed: [chat], disable: [chat_kit]}",
    ],
)
def test_a_package_that_is_not_wanted_is_not_imported(chat, text):
    assert chat.plan(text).registry.plugins == ()
    assert not chat.imported


@pytest.mark.parametrize("text", ["plugins: {installed: [chat]}", "plugins: {installed: [chat_kit]}", ""])
def test_a_package_that_is_wanted_is_imported(chat, text):
    assert [plugin.name for plugin in chat.plan(text).registry.plugins] == ["chat"]
    assert chat.imported


@pytest.mark.parametrize("key", ["enable", "disable", "installed"])
def test_a_name_that_no_plugin_and_no_package_has_is_a_problem(chat, key):
    with pytest.raises(ConfigError, match=rf'plugins.{key}\[0\]: no plugin named "caht"; did you mean "chat"'):
        chat.plan(f"plugins: {{{key}: [caht]}}\n")


def test_a_drop_in_goes_before_a_package_where_a_name_is_of_both(chat):
    (chat.folder / "plugins").mkdir()
    (chat.folder / "plugins" / "chat-kit.py").write_text("")
    plan = chat.plan("plugins: {disable: [chat-kit]}")
    assert [plugin.name for plugin in plan.registry.plugins] == ["chat"]


def test_of_two_packages_with_one_name_the_other_is_loaded_when_one_is_disabled(chat, installed):
    installed("other-kit", "chat = other_kit_plugin", source="")
    with pytest.raises(ConfigError, match='the plugin name "chat" is taken by'):
        chat.plan("")
    plan = chat.plan("plugins: {disable: [other-kit]}")
    assert [plugin.source for plugin in plan.registry.plugins] == ["Chat_Kit 1.2"]


def test_two_packages_with_one_name_are_both_left_out_when_that_is_disabled(chat, installed):
    installed("other-kit", "chat = other_kit_plugin", source="")
    assert chat.plan("plugins: {disable: [chat]}").registry.plugins == ()


def test_of_two_packages_with_one_name_one_is_named_by_its_package_though_that_is_the_name(chat, installed):
    installed("other-kit", "chat = other_kit_plugin", source="")
    plan = chat.plan("plugins: {installed: [chat-kit]}")
    assert [plugin.source for plugin in plan.registry.plugins] == ["Chat_Kit 1.2"]


@pytest.mark.parametrize(
    ("metadata", "entries", "loads"),
    [
        (None, b"[signalpost]\nbad = json.tool\n", True),
        (b"", b"[signalpost]\nbad = json.tool\n", True),
        (b"Name: bad\n", b"[signalpost]\nnonsense\n", False),
        (b"Name: bad\n", b"[signalpost]\nx = \xff\n", False),
        (b"\xff\xfe", b"[other]\nnonsense\n", None),
    ],
)
def test_a_package_with_broken_metadata_is_nobody_else_s_trouble(chat, installed, metadata, entries, loads):
    installed("bad-kit", "bad = bad_kit_plugin", source="")
    (info,) = (chat.folder.parent / "site").glob("bad-kit-*.dist-info")
    (info / "METADATA").unlink()
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    (info / "entry_points.txt").write_bytes(entries)
    plan = chat.plan("")
    assert [plugin.name for plugin in plan.registry.plugins] == (["bad", "chat"] if loads else ["chat"])
    broken = [note for note in plan.notes if "cannot be read" in note]
    assert len(broken) == (loads is False)
    assert all(f"({info}: " in note and note.endswith("install it again") for note in broken)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plugins", "routes", "check"])
def test_a_package_whose_entry_points_cannot_be_read_ends_no_command(command, tmp_path):
    info = tmp_path / "bad_kit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-kit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(b"[other]\nx = \xff\n")
    (tmp_path / "routes.yaml").write_text("endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "signalpost", command, "routes.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_entry_point_that_names_no_module_is_a_problem_and_not_a_traceback(chat, installed):
    installed("bad-kit", "bad = bad_kit_plugin", source="")
    (info,) = (chat.folder.parent / "site").glob("bad-kit-*.dist-info")
    (info / "entry_points.txt").write_text("[signalpost]\nbad = :oops\n")
    with pytest.raises(ConfigError, match='its entry point names ":oops", which is no module'):
        chat.plan("")


def test_check_and_plugins_say_what_is_left_out_and_plugins_says_from_where(chat):
    chat.plan("undeclared: refuse\n")
    for command in ("check", "plugins", "routes"):
        assert (
            "note: plugin chat (Chat_Kit 1.2) is installed, so it binds no path by itself under undeclared: refuse"
            in chat.command(command).output
        )
    shown = chat.command("plugins").output
    assert re.search(r"^chat +1\.2 +Chat_Kit 1\.2 \(\S+/chat_kit_plugin\.py\) ", shown, re.MULTILINE)


def test_run_says_from_where_and_refuses_the_path(chat):
    chat.plan("undeclared: refuse\n")
    module = sys.modules[chat.module].__file__
    process = subprocess.Popen(
        [sys.executable, "-m", "signalpost", "run", str(chat.file)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(module).parent)},
    )
    try:
        lines = [process.stdout.readline().rstrip() for _ in range(5)]
        url = re.search(r"ws://\S+", lines[1])[0]
        with pytest.raises(InvalidStatus, match="404"):
            connect(f"{url}/talk", proxy=None)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert process.wait() == 0
    assert lines[3] == f"installed plugin chat: Chat_Kit 1.2 ({module})"
    assert lines[4].startswith("note: plugin chat (Chat_Kit 1.2) is installed")
