"""`--help`, as a stranger reads it on a terminal of 80 columns; its examples are run."""

import re
import shlex

import pytest

from signalpost.cli import cli
from signalpost.cli.help import EXAMPLES, FIRST_STEPS, OTHERS, SECTIONS, sections
from signalpost.cli.new import create_app

COMMANDS = sorted(cli.commands)
ALL = [(command, text) for command, examples in EXAMPLES.items() for text, _ in examples]
IN_THE_DEMO = ("check", "routes", "explain", "try", "plan", "types", "asyncapi", "schema", "completion", "new")
"""Commands whose examples need nothing but the demo; the others need a server, or people who sign in."""
UNLESS = ("routes.old.yaml",)  # what the demo does not have


def arguments_of(text):
    """Return the arguments of an example: what stands before a redirection."""
    return shlex.split(re.split(r" [<>]", text)[0])


def on_80_columns(signalpost, monkeypatch, *arguments):
    monkeypatch.setenv("COLUMNS", "80")
    return signalpost(*arguments, "--help").stdout.splitlines()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_each_line_of_a_help_fits_on_a_terminal(signalpost, monkeypatch, command):
    lines = on_80_columns(signalpost, monkeypatch, *([command] if command else []))
    assert max(map(len, lines)) <= 80


def test_every_command_is_in_one_section():
    assert OTHERS not in sections(cli.commands)
    named = [name for names in SECTIONS.values() for name in names]
    assert sorted(named) == COMMANDS


def test_a_command_of_no_section_is_listed_last():
    assert list(sections(["run", "later"]).items()) == [("Make an app", ["run"]), (OTHERS, ["later"])]


def test_sections_stand_in_their_order_before_the_options(signalpost, monkeypatch):
    lines = on_80_columns(signalpost, monkeypatch)
    titles = [line.rstrip(":") for line in lines if re.fullmatch(r"\w.*:", line)]
    assert titles == ["First steps", *SECTIONS, "Options"]


def test_a_help_ends_with_its_examples_each_below_what_it_shows(signalpost, monkeypatch):
    lines = on_80_columns(signalpost, monkeypatch, "check")
    assert lines[-4:] == [
        "  # routes.yaml of this folder",
        "  signalpost check",
        "  # in a workflow: each mistake at its line",
        "  signalpost check --format github",
    ]


@pytest.mark.parametrize(("command", "text"), ALL, ids=[text for _, text in ALL])
def test_an_example_is_of_its_command_and_has_options_that_there_are(command, text):
    name, *arguments = arguments_of(text)
    assert name == command
    root = cli.make_context("signalpost", [], resilient_parsing=True)
    with cli.commands[name].make_context(name, arguments, parent=root) as context:
        assert not context.args


@pytest.mark.parametrize("text", [text for command, text in ALL if command in IN_THE_DEMO and UNLESS[0] not in text])
def test_an_example_does_what_it_says_with_the_demo(signalpost, folder, text):
    create_app(folder, "demo")
    (folder / "signals.ts").write_text(signalpost("types").stdout)
    done = signalpost(*arguments_of(text))
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_first_steps_lead_to_an_app_without_problems(signalpost, folder, monkeypatch):
    made, *_ = (text for text, _ in FIRST_STEPS)
    new, cd = made.split(" && ")
    assert signalpost(*new.split()[1:]).exit_code == 0
    monkeypatch.chdir(folder / cd.split()[1])
    assert signalpost("check").stdout == "routes.yaml: 0 problems\n"
