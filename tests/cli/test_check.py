"""`signalpost check`, and what all commands have in common."""

import json
import re
import sys

import pytest

import signalpost as package

# What the entry point of an installation makes a command of.
SCRIPT = (sys.executable, "-c", "from signalpost.cli import main; main()")
COMMANDS = [
    "asyncapi",
    "check",
    "clients",
    "completion",
    "explain",
    "jobs",
    "kick",
    "listen",
    "live",
    "new",
    "plan",
    "plugins",
    "reference",
    "revoke",
    "routes",
    "run",
    "schema",
    "send",
    "token",
    "try",
    "types",
    "unban",
]
BROKEN = "signals: [{path: /a, handler: ecko}]\nlimits: {mesage: 1MiB}"


class TestCheck:
    def test_a_sound_file_is_said_to_be_sound(self, write, signalpost):
        write()
        result = signalpost("check")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "routes.yaml: 0 problems\n", "")

    def test_another_name_of_the_file_may_be_given(self, write, signalpost, folder):
        write()
        (folder / "routes.yaml").rename(folder / "mine.yaml")
        assert signalpost("check", "mine.yaml").stdout == "mine.yaml: 0 problems\n"

    def test_every_problem_is_shown_with_line_and_caret_and_they_are_counted(self, write, signalpost):
        write(BROKEN)
        result = signalpost("check")
        assert result.exit_code == 1
        assert result.stderr == ""
        assert re.sub(r"known: [^)]*", "known: …", result.stdout) == (
            'routes.yaml:4:31: signals[0].handler: no handler named "ecko" (there are none)\n'
            "    signals: [{path: /a, handler: ecko}]\n"
            "                                  ^^^^\n"
            'routes.yaml:5:10: limits.mesage: no key "mesage" here; did you mean "message"? '
            "(known: …)\n"
            "    limits: {mesage: 1MiB}\n"
            "             ^^^^^^\n"
            "2 problems\n"
        )

    def test_notes_are_no_problems(self, write, signalpost):
        plugin = """
            from signalpost import signal

            @signal("echo", path="/a")
            async def echo(event): ...
        """
        write("signals: [{path: /a}]", echo=plugin)
        result = signalpost("check")
        assert result.exit_code == 0
        note, count = result.stdout.splitlines()
        assert note == (
            'note: routes.yaml:4 declares /a, so the binding of handler "echo" (plugin echo, plugins/echo.py:4) '
            "is left out"
        )
        assert count == "routes.yaml: 0 problems"

    def test_json_is_a_list_of_problems(self, write, signalpost):
        write(BROKEN)
        result = signalpost("check", "--format", "json")
        assert result.exit_code == 1
        assert [(each["line"], each["keys"]) for each in json.loads(result.stdout)] == [
            (4, "signals[0].handler"),
            (5, "limits.mesage"),
        ]

    def test_json_of_a_sound_file_is_an_empty_list(self, write, signalpost):
        write()
        result = signalpost("check", "--format", "json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, [])

    def test_github_has_one_command_a_problem(self, write, signalpost):
        write(BROKEN)
        result = signalpost("check", "--format", "github")
        assert result.exit_code == 1
        assert [line.partition("::")[2].split("::")[0] for line in result.stdout.splitlines()] == [
            "error file=routes.yaml,line=4,col=31,endColumn=35",
            "error file=routes.yaml,line=5,col=10,endColumn=16",
        ]

    def test_github_has_a_notice_for_each_note_and_json_has_them_beside_its_list(self, write, signalpost):
        write("routes: [{path: /, method: GET, broadcast: {value: x}}]")
        note = signalpost("check").stdout.splitlines()[0].removeprefix("note: ")
        place, _, text = note.partition(": ")
        result = signalpost("check", "--format", "github")
        assert (result.exit_code, result.stderr) == (0, "")
        assert place == "routes.yaml:4"
        assert result.stdout == f"::notice file=routes.yaml,line=4::{text}\n"
        result = signalpost("check", "--format", "json")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "[]\n", f"note: {note}\n")

    def test_github_of_a_sound_file_is_nothing(self, write, signalpost):
        write()
        result = signalpost("check", "--format", "github")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_an_unknown_format_is_a_mistake_of_usage(self, write, signalpost):
        write()
        result = signalpost("check", "--format", "xml")
        assert result.exit_code == 2
        assert "'text', 'json', 'github'" in result.stderr


class TestEveryCommandThatReadsTheFile:
    """None shows a traceback; each exits with 1 and says in a line what is wrong and where."""

    @pytest.fixture(params=["run", "routes", "plugins", "plan", "check", "explain /", "try / {}"])
    def complaint(self, request, signalpost):
        """Give the command; return what it says, but for the line that counts one problem."""

        def give(*arguments):
            result = signalpost(*request.param.split(), *arguments)
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit)
            said = result.stdout if request.param == "check" else result.stderr
            text, count = said.rstrip("\n").rsplit("\n", 1)
            assert count == "1 problem"
            return text

        return give

    def test_no_file(self, complaint):
        assert complaint() == "routes.yaml: no such file; `signalpost new FOLDER` makes an app with one"

    def test_a_named_file_that_is_not_there(self, complaint):
        assert complaint("apps/mine.yaml").startswith("apps/mine.yaml: no such file")

    def test_a_folder(self, complaint, folder):
        (folder / "web").mkdir()
        assert complaint("web") == "web: this is a folder; name the routes.yaml in it"

    def test_an_empty_file(self, complaint, folder):
        (folder / "routes.yaml").touch()
        assert complaint().startswith("routes.yaml: the file says nothing; it needs at least endpoints: ")

    def test_a_plugin_with_a_syntax_error(self, write, complaint):
        write(bad="\nimprt os\n")
        assert complaint().splitlines() == [
            "plugins/bad.py:2:1: plugin bad: does not import: syntax error: invalid syntax",
            "    imprt os",
            "    ^^^^^^^^",
        ]

    def test_a_plugin_that_imports_what_is_not_there(self, write, complaint):
        write(bad="import not_there_at_all\n")
        assert complaint().splitlines()[0] == (
            'plugins/bad.py:1:1: plugin bad: does not import: no module named "not_there_at_all"; '
            "install it where signalpost is installed"
        )

    def test_a_plugin_that_raises_when_it_is_imported(self, write, complaint):
        write(bad="def load():\n    return {}['key']\n\nload()\n")
        assert complaint().splitlines()[0] == "plugins/bad.py:2:5: plugin bad: does not import: KeyError: 'key'"

    def test_a_plugin_that_exits_when_it_is_imported(self, write, complaint):
        write(bad="import sys\nsys.exit(7)\n")
        assert complaint().splitlines()[0] == "plugins/bad.py:2:1: plugin bad: does not import: SystemExit: 7"

    def test_a_misspelt_hook(self, write, complaint):
        write(bad="from signalpost import hookimpl\n\n@hookimpl\ndef startupp(context): ...\n")
        text = complaint().splitlines()[0]
        assert text.startswith('plugins/bad.py:3:1: plugin bad: no hook named "startupp"; did you mean "startup"?')

    def test_a_broken_template(self, write, complaint, folder):
        (folder / "hello.html").write_text("<h1>\n{% if %}\n")
        write("routes: [{path: /, view: hello.html}]")
        text = complaint().splitlines()[0]
        assert text.startswith("routes.yaml:4:26: routes[0].view: ")
        assert "hello.html:2" in text

    def test_an_expired_certificate(self, write, complaint, folder, old_certificate):
        (folder / "old.pem").write_bytes(old_certificate)
        write("endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: https, certificate: old.pem}]")
        text = complaint().splitlines()[0]
        assert text.startswith("routes.yaml:1:84: endpoints[0].certificate: ")
        assert "expired" in text


class TestMistakesElsewhere:
    def test_an_unknown_command_names_the_nearest_one_and_all(self, signalpost):
        result = signalpost("chek")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            'Error: no command "chek"; did you mean "check"? '
            "(known: asyncapi, check, clients, completion, explain, jobs, kick, listen, live, new, plan, plugins, "
            "reference, revoke, routes, run, schema, send, token, try, types, unban)"
        )

    def test_an_unknown_option_is_a_mistake_of_usage(self, signalpost):
        result = signalpost("run", "--prot", "80")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("Error: No such option")

    def test_a_time_zone_that_the_system_cannot_tell_is_one_line(self, write, signalpost, monkeypatch):
        write("schedules: [{name: s, cron: 0 0 * * *, broadcast: {value: x}}]")
        monkeypatch.setenv("TZ", "Nowhere/Land")
        result = signalpost("routes")
        assert result.exit_code == 1
        assert result.stderr.startswith("signalpost: the environment variable TZ is ")
        assert result.stderr.count("\n") == 1


class TestAbout:
    def test_the_version(self, signalpost):
        assert signalpost("--version").stdout == f"signalpost {package.__version__}\n"

    def test_help_lists_every_command_with_a_whole_sentence(self, signalpost):
        text = signalpost("--help").stdout
        listed = dict(re.findall(r"^  ([a-z]+) +([A-Z].*)$", text.partition("Make an app:\n")[2], re.MULTILINE))
        assert sorted(listed) == COMMANDS
        assert all(sentence.endswith(".") and "..." not in sentence for sentence in listed.values())

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_its_help(self, signalpost, command):
        result = signalpost(command, "-h")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: signalpost {command} ")

    def test_python_m_signalpost_is_the_command(self, process):
        for arguments in (["--help"], ["check", "nothing.yaml"]):
            module, script = process(*arguments), process(*arguments, command=SCRIPT)
            assert module.communicate() == script.communicate()
            assert module.returncode == script.returncode


class TestColour:
    @pytest.fixture
    def shown(self, write, terminal):
        write(BROKEN)
        return terminal

    @pytest.mark.slow
    @pytest.mark.parametrize("command", ["check", "run"])
    def test_a_terminal_shows_problems_in_colour(self, shown, command):
        assert "\x1b[31;1m" in shown(command)

    @pytest.mark.slow
    @pytest.mark.parametrize("command", ["check", "run"])
    def test_no_color_is_heard(self, shown, command):
        assert "\x1b" not in shown(command, NO_COLOR="1")

    @pytest.mark.slow
    def test_a_terminal_without_colours_gets_none(self, shown):
        assert "\x1b" not in shown("check", TERM="dumb")

    def test_programs_read_problems_without_colour_on_a_terminal_too(self, shown):
        assert json.loads(shown("check", "--format", "json"))

    @pytest.mark.slow
    def test_a_pipe_gets_no_colour(self, write, process):
        write(BROKEN)
        out, _ = process("check", TERM="xterm").communicate()
        assert "\x1b" not in out


LOUD = """
import atexit
import os
import subprocess

print("loading")
os.write(1, b"by its descriptor\\n")
subprocess.run(["echo", "by a child"], check=True)
atexit.register(print, "at exit")
"""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("check", "--format", "json"), ("schema",)])
def test_what_plugins_print_is_on_stderr_and_a_program_reads_json(write, process, arguments):
    write(loud=LOUD)
    started = process(*arguments)
    out, err = started.communicate()
    json.loads(out)
    assert err.splitlines() == ["loading", "by its descriptor", "by a child", "at exit"]
