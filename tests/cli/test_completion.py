"""Completion by Tab, in real shells that a person types into."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
routes:
  - {path: /pages/<page:int>, broadcast: {value: x}}
signals:
  - {path: /rooms/<room>}
  - {path: /lobby}
auth: {people: {ann: {}, bob: {}}}
"""
BIN = Path(sys.executable).parent
SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
BEGINS = {
    "bash": 'eval "$(signalpost completion bash)"',
    "zsh": 'autoload -Uz compinit && compinit -D; eval "$(signalpost completion zsh)"',
    "fish": "signalpost completion fish | source",
}


@pytest.fixture
def shell(on_terminal, folder, tmp_path):
    """A shell on a terminal in which completion has been set up as the help says."""

    def start(name):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        prompts = {"PS1": "$ ", "PROMPT": "$ ", "HOME": str(tmp_path), "BASH_SILENCE_DEPRECATION_WARNING": "1"}
        terminal = on_terminal(command=SHELLS[name], PATH=path, **prompts)
        terminal.press(f"{BEGINS[name]}; echo is''ready\n")
        terminal.until(lambda lines: "isready" in lines[:-1])  # and the next prompt is there
        return terminal

    return start


COMPLETED = {
    "a command": ("signalpost expl\t", "signalpost explain"),
    "an option": ("signalpost run --check-s\t", "signalpost run --check-sends"),
    "a choice": ("signalpost check --format git\t", "signalpost check --format github"),
    "a path of a signal": ("signalpost explain /roo\t", "signalpost explain /rooms/room"),
    "a path of a route": ("signalpost explain /pa\t", "signalpost explain /pages/1"),
    "a signal to kick": ("signalpost kick --path /l\t", "signalpost kick --path /lobby"),
    "a person": ("signalpost explain / --as an\t", "signalpost explain / --as ann"),
    "an endpoint": ("signalpost try / x --endpoint li\t", "signalpost try / x --endpoint live"),
    "a starter": ("signalpost new x --from dashb\t", "signalpost new x --from dashboard"),
    "a file": ("signalpost check other.y\t", "signalpost check other.yaml"),
}


@pytest.mark.parametrize(("typed", "completed"), COMPLETED.values(), ids=COMPLETED)
def test_bash_completes(write, folder, shell, typed, completed):
    write(APP)
    (folder / "other.yaml").write_text("")
    terminal = shell("bash")
    terminal.press(typed)
    assert terminal.until(completed)[-1].startswith(f"$ {completed}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zsh", "fish"])
@pytest.mark.parametrize("what", ["a command", "an option", "a path of a signal", "a person", "a starter"])
def test_other_shells_complete(write, shell, name, what):
    write(APP)
    typed, completed = COMPLETED[what]
    terminal = shell(name)
    terminal.press(typed)
    terminal.until(completed)


@pytest.fixture
def proposals(process):
    """Return what the script of a shell is given for a command line, and what is printed besides."""

    def propose(*words):
        line = " ".join(("signalpost", *words))
        asked = {"_SIGNALPOST_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        out, err = process(command=(str(BIN / "signalpost"),), **asked).communicate()
        assert err == ""
        return [line.partition(",")[2] for line in out.splitlines() if line]

    return propose


def test_a_parameter_of_a_path_has_a_value_since_shells_have_their_own_use_of_brackets(write, proposals):
    write(APP)
    assert proposals("explain", "/") == ["/rooms/room", "/lobby", "/pages/1"]


def test_the_file_that_is_named_is_the_one_that_is_read(write, folder, proposals):
    write(APP)
    (folder / "other.yaml").write_text("signals: [{path: /elsewhere}]")
    assert proposals("kick", "--file", "other.yaml", "--path", "/") == ["/elsewhere"]


@pytest.mark.parametrize(
    "text",
    ["", "[", "signals: 3", "signals: [3, {path: 3}]", "- a", "auth: []", "signals: !include nothing.yaml", "\0"],
)
def test_a_file_that_is_no_app_proposes_nothing_and_prints_nothing(write, folder, proposals, text):
    (folder / "routes.yaml").write_text(text)
    assert proposals("explain", "/") == []
    assert proposals("explain", "/", "--as", "") == ["guest"]


def test_without_a_file_nothing_is_proposed(proposals):
    assert proposals("explain", "/") == []


def test_behind_a_command_that_is_not_there_the_right_ones_are_proposed(proposals):
    assert {"run", "check"} <= set(proposals("nonsense", ""))


def test_no_plugin_is_imported_to_complete_a_line(write, folder, proposals):
    write(APP, loud="raise SystemExit('imported')")
    assert "/lobby" in proposals("explain", "/")


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_is_that_of_the_shell_one_has(signalpost, monkeypatch, name):
    monkeypatch.setenv("SHELL", f"/usr/local/bin/{name}")
    told = signalpost("completion")
    assert told.exit_code == 0
    assert told.stdout == signalpost("completion", name).stdout
    assert re.search(rf"_SIGNALPOST_COMPLETE={name}_complete", told.stdout)


def test_a_shell_that_is_unknown_is_asked_for(signalpost, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    told = signalpost("completion")
    assert (told.exit_code, told.stderr) == (1, "signalpost: which shell? say bash, zsh or fish\n")
