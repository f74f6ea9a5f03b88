"""Secrets in what commands print: nowhere, whoever prints it."""

import signal
import subprocess
import sys

import pytest
from websockets.sync.client import connect

TOKEN = "hunter2 Correct Horse/Battery"
APP = """
plugins: {settings: {spy: {token: !secret token}}}
routes:
  - {path: !secret hook, broadcast: {value: !secret token}}
signals:
  - {path: !secret hook, handler: leak}
timers: [{name: !secret name, every: 1h, handler: tick, arguments: {a: !secret token}}]
"""
PLUGIN = """
    import logging
    import sys

    from signalpost import hookimpl, signal, timer

    @hookimpl
    def startup(context):
        token = context.settings["token"]
        print("printed", token, file=sys.stderr)
        logging.getLogger("spy").warning("logged %s", token)
        sys.stderr.writelines(["written ", token, chr(10)])

    @signal("leak")
    async def leak(event):
        raise ValueError("no login with " + event.path)

    @timer("tick")
    async def tick(event): ...
"""


@pytest.fixture
def app(write, folder):
    """An app with secrets wherever one may stand."""
    write(APP, spy=PLUGIN)
    (folder / "secrets.yaml").write_text(f"token: {TOKEN}\nhook: /hunter2hook\nname: hunter2name\n")
    (folder / "secrets.yaml").chmod(0o600)


@pytest.mark.parametrize("arguments", [("routes",), ("plugins",), ("check",), ("explain", "/hunter2hook")])
def test_no_table_shows_a_secret(app, signalpost, arguments):
    result = signalpost(*arguments)
    assert result.exit_code == 0, result.output
    # What stands on the command line is whoever typed it to know.
    assert "hunter2" not in result.output.replace("explain /hunter2hook", "")


def test_in_the_place_of_a_secret_stands_its_name(app, signalpost):
    output = signalpost("routes").output
    assert "POST   !secret hook" in output
    assert "!secret name" in output


def test_on_a_terminal_no_half_of_a_secret_is_shown(write, folder, terminal):
    write("timers: [{name: !secret s, every: 1h, broadcast: {value: 1}}]")
    (folder / "secrets.yaml").write_text("s: one two three four five six seven eight nine ten\n")
    shown = terminal("routes", columns=60)
    assert "three" not in shown
    assert "!secret s" in " ".join(shown.split())


def test_no_log_and_no_plugin_shows_a_secret(app, run):
    server = run("--log-level", "debug")
    with connect(server.urls["live"] + "/hunter2hook", compression=None, proxy=None) as client:
        client.send('{"message": "hello"}')
        assert "handler-failed" in client.recv()
    code, out, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "hunter2" not in out + err + "".join(server.lines)
    assert "printed !secret token" in err
    assert "logged !secret token" in err
    assert "no login with !secret hook" in err


def test_a_traceback_shows_no_secret(write, folder, process):
    """Not even that of a mistake of ours: here, of a plugin that takes the command's own functions away."""
    plugin = """
        import signalpost.server as server

        def broken(plan, *_):
            raise RuntimeError("broken by " + plan.config.plugins.settings["spy"]["token"])

        server.Server.__init__ = lambda self, plan, *_, **__: broken(plan)
    """
    write("plugins: {settings: {spy: {token: !secret token}}}", spy=plugin)
    (folder / "secrets.yaml").write_text("token: hunter2\n")
    _, err = process("run").communicate(timeout=30)
    assert err.endswith("RuntimeError: broken by !secret token\n")


def test_an_address_that_cannot_be_bound_is_told_without_it(write, folder, process):
    write("endpoints: [{name: web, address: !secret host, port: 0, protocol: http}]")
    (folder / "secrets.yaml").write_text("host: 192.0.2.77\n")
    started = process("run")
    _, err = started.communicate(timeout=30)
    assert "!secret host" in err
    assert "192.0.2.77" not in err


@pytest.mark.slow
def test_secrets_that_come_with_a_reload_are_hidden_in_a_log_that_had_begun_before(write, folder, run):
    write("signals: !include signals.yaml")
    (folder / "signals.yaml").write_text("- {path: /}")
    server = run()
    (folder / "secrets.yaml").write_text("s: hunter2\nt: hunter3\n")
    (folder / "secrets.yaml").chmod(0o600)
    (folder / "signals.yaml").write_text("- {path: /, do: [{log: !secret s}, {reply: {value: done}}]}")
    assert server.process.stdout.readline() == "reloaded: ~1 signal\n"
    (folder / "secrets.yaml").write_text("s: hunter4\n")
    assert server.process.stdout.readline() == "reloaded: ~1 signal\n"
    with connect(server.urls["live"], compression=None, proxy=None) as client:
        client.send('{"message": "hello"}')
        assert client.recv() == "done"
    (folder / "secrets.yaml").write_text("s: [hunter5")
    mistake = "".join(server.process.stderr.readline() for _ in range(6))
    assert "secrets.yaml:1:4" in mistake
    code, out, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "hunter" not in out + mistake + err
    assert "!secret s" in mistake


def test_a_secret_that_a_mistake_of_a_template_cuts_in_two_is_not_logged(write, folder, run):
    write("""
        signals: [{path: /, do: [{set: {k: !secret p}}, {log: "{{ ('Bearer ' ~ state.k) + 5 }}"}]}]
    """)
    secret = "abcdefghijklmnopqrstuvwxyz0123456789"
    (folder / "secrets.yaml").write_text(f"p: {secret}\n")
    (folder / "secrets.yaml").chmod(0o600)
    server = run()
    with connect(server.urls["live"], compression=None, proxy=None) as client:
        client.send('{"message": "hello"}')
        assert "handler-failed" in client.recv()
    code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "+ does not take the text" in err
    assert not any(secret[at : at + 8] in err for at in range(len(secret) - 7))


def test_a_command_that_has_no_output_does_without(write, folder):
    write("signals: [{path: /}]")
    command = f"{sys.executable} -m signalpost check >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=folder, check=False).returncode == 0


def test_a_secret_among_the_constants_is_shown_nowhere(write, folder, run, signalpost):
    write("""
        constants: {token: !secret p}
        signals: [{path: /, do: [{log: "has {{ constants.token }}"}, {log: "{{ constants.token + 5 }}"}]}]
    """)
    secret = "abcdefghijklmnopqrstuvwxyz0123456789"
    (folder / "secrets.yaml").write_text(f"p: {secret}\n")
    (folder / "secrets.yaml").chmod(0o600)
    tried = signalpost("try", "/", '{"message": "hello"}').output
    server = run()
    with connect(server.urls["live"], compression=None, proxy=None) as client:
        client.send('{"message": "hello"}')
        assert "handler-failed" in client.recv()
    record = (folder / ".signalpost" / "routes.yaml.running").read_text()
    code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "has !secret p" in err
    assert "has !secret p" in tried
    assert not any(secret[at : at + 8] in err + tried + record for at in range(len(secret) - 7))
