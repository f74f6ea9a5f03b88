"""`signalpost types` and `signalpost asyncapi`: printed, written, and held against what is on disk."""

import json

import pytest

APP = """\
endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]
signals:
  - {path: /rooms/<room>, targets: [], sends: {type: string}}
"""
COMMANDS = ["types", "asyncapi"]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_printed_is_what_is_written(write, signalpost, folder, command):
    write(APP)
    printed = signalpost(command)
    assert (printed.exit_code, printed.stderr) == (0, "")
    written = signalpost(command, "--output", "made.txt")
    assert (written.exit_code, written.output) == (0, "made.txt\n")
    assert (folder / "made.txt").read_text() == printed.output
    assert [file.name for file in folder.iterdir() if "made" in file.name] == ["made.txt"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_as_it_should_be_passes_and_is_not_written_anew(write, signalpost, folder, command):
    write(APP)
    signalpost(command, "--output", "made.txt")
    before = (folder / "made.txt").stat()
    checked = signalpost(command, "--output", "made.txt", "--check")
    assert (checked.exit_code, checked.output) == (0, "made.txt is as it should be\n")
    signalpost(command, "--output", "made.txt")
    assert (folder / "made.txt").stat().st_ino == before.st_ino


def test_a_file_that_is_another_fails_and_shows_how_it_differs(write, signalpost, folder):
    write(APP)
    signalpost("types", "--output", "signals.ts")
    write(APP.replace("type: string", "type: number"))
    checked = signalpost("types", "--output", "signals.ts", "--check")
    assert checked.exit_code == 1
    first, *difference = checked.output.splitlines()
    command = "signalpost types --output signals.ts"
    assert first == f"signals.ts is not what `{command}` makes now: run that, and commit the file"
    assert difference[:2] == ["--- signals.ts", "+++ as it should be"]
    assert "-    receives: string;" in difference
    assert "+    receives: number;" in difference
    assert "string" in (folder / "signals.ts").read_text()


def test_a_file_that_differs_much_is_shown_in_part(write, signalpost, folder):
    write(APP)
    (folder / "all.json").write_text("[\n" + "0,\n" * 500 + "0]")
    checked = signalpost("asyncapi", "--output", "all.json", "--check")
    lines = checked.output.splitlines()
    assert len(lines) == 42
    assert lines[-1].startswith("… and ")


def test_a_file_that_is_not_there_fails_and_the_command_that_makes_it_is_told(write, signalpost, folder):
    write(APP)
    (folder / "routes.yaml").rename(folder / "my app.yaml")
    checked = signalpost("types", "my app.yaml", "--output", "signals.ts", "--check")
    told = "signals.ts is not there: `signalpost types 'my app.yaml' --output signals.ts` makes it\n"
    assert (checked.exit_code, checked.output) == (1, told)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_file_there_is_nothing_to_check(write, signalpost, command):
    write(APP)
    done = signalpost(command, "--check")
    assert done.exit_code == 2
    assert "--check compares a file: name it with --output" in done.stderr


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_file_that_cannot_be_reached_is_one_line(write, signalpost, check):
    write(APP)
    done = signalpost("types", "--output", "routes.yaml/signals.ts", *check)
    assert done.exit_code == 1
    assert done.stderr == "signalpost: routes.yaml/signals.ts cannot be read: not a directory\n"


def test_a_file_that_cannot_be_written_is_one_line(write, signalpost):
    write(APP)
    done = signalpost("types", "--output", "nowhere/signals.ts")
    assert done.exit_code == 1
    assert done.stderr == "signalpost: nowhere/signals.ts cannot be written: no such file or directory\n"


def test_problems_of_the_app_are_told_and_nothing_is_written(write, signalpost, folder):
    write(APP.replace("type: string", "type: strin"))
    done = signalpost("types", "--output", "signals.ts")
    assert done.exit_code == 1
    assert 'no type "strin" in JSON Schema' in done.stderr
    assert not (folder / "signals.ts").exists()


def test_the_document_has_the_title_and_version_that_are_asked_for(write, signalpost):
    write(APP)
    info = json.loads(signalpost("asyncapi", "--title", "Shop", "--version", "2.1.0").output)["info"]
    assert (info["title"], info["version"]) == ("Shop", "2.1.0")
    info = json.loads(signalpost("asyncapi").output)["info"]
    assert (info["title"], info["version"]) == ("Signals of routes.yaml", "1.0.0")


@pytest.mark.parametrize(("other", "meant"), [("typescript", "types"), ("openapi", "asyncapi")])
def test_names_of_other_programs_lead_here(signalpost, other, meant):
    assert f'did you mean "{meant}"?' in signalpost(other).stderr
