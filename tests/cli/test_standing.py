"""Nothing about watching, reading or printing ends `run`, or skips a step of its stop."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from time import time_ns

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect as connect_now

from signalpost.cli import output
from signalpost.cli import reload as reloading
from signalpost.cli import run as running
from signalpost.cli import watch as watching
from signalpost.config.endpoints import Listening
from signalpost.plan import load_plan
from signalpost.server import Server
from signalpost.systemd import Unit

APP = """\
endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}]
undeclared: refuse
limits: {{connections: {connections}}}
signals: [{{path: /{path}}}]
"""


class PanicError(BaseException):
    """What no handler of exceptions expects, as libraries in other languages raise."""


class Told:
    """Stands for the signals of the operating system."""

    def __init__(self):
        self.stop, self.reload = asyncio.Event(), asyncio.Event()

    def event(self):
        return self.stop

    def reload_event(self):
        return self.reload


CALLS = {
    "the files of a plan are listed": (reloading.AppFiles, "of"),
    "files are looked at": (watching.AppFiles, "stamps"),
    "folders are looked for": (watching.AppFiles, "_folders"),
    "files are watched": (watching.AppFiles, "changed"),
    "the system is asked to tell": (watching, "awatch"),
    "new files are compared": (reloading, "later"),
    "the plan is loaded": (reloading, "load_beside"),
    "secrets are hidden": (reloading, "hide"),
    "plans are compared": (reloading, "diff"),
    "the server reloads": (Server, "reload"),
    "problems are worded": (reloading, "say_problems"),
    "colour is asked for": (output, "wants_colour"),
    "a reload is printed": (reloading.Reloader, "_say"),
    "descriptors are asked for": (reloading, "raise_limit"),
    "the start is printed": (running, "_announce"),
    "the record is written": (running.Recorder, "write"),
    "the record is removed": (running.Recorder, "remove"),
}
MISTAKES = {"problems are worded", "colour is asked for"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


async def connected(url):
    """Connect as soon as it is served."""
    while True:
        with contextlib.suppress(Exception):
            return await connect(url, compression=None, proxy=None)
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [PanicError("panic"), SystemExit(3), asyncio.CancelledError(), OSError(28, "full")])
async def test_whatever_call_fails_and_however_the_server_goes_on_reloads_and_stops_in_order(
    folder, monkeypatch, call, error
):
    port, file = free_port(), folder / "routes.yaml"
    for name in ("CUT", "_AGAIN"):
        monkeypatch.setattr(reloading, name, 0.0)
    file.write_text(APP.format(port=port, connections=100, path="one"))
    told, failed = Told(), asyncio.Event()
    wishes = reloading.Wishes(watch=True, since=time_ns(), home=folder, listening=Listening())
    loop = asyncio.get_running_loop()

    def fail(*_, **__):
        loop.call_soon_threadsafe(failed.set)
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(*CALLS[call], fail)
        serving = asyncio.ensure_future(running.serve(load_plan("routes.yaml"), told, wishes, Unit(), show=False))
        client = await connected(f"ws://127.0.0.1:{port}/one")
        if call != "the record is removed":
            connections = "many" if call in MISTAKES else 200
            file.write_text(APP.format(port=port, connections=connections, path="one"))
            told.reload.set()
            await failed.wait()
    if call == "the record is removed":
        monkeypatch.setattr(*CALLS[call], fail)
    file.write_text(APP.format(port=port, connections=300, path="one}, {path: /two"))
    told.reload.set()
    await (await connected(f"ws://127.0.0.1:{port}/two")).close()
    told.stop.set()
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the server restarts")
    await serving
    assert failed.is_set()


STREAMS = {
    "stdout is closed": ">&-",
    "stdin is closed": "<&-",
    "stderr is closed": "2>&-",
    "all are closed": "<&- >&- 2>&-",
    "the disk is full": ">/dev/full",
    "the disk is full for both": ">/dev/full 2>&1",
}


@pytest.mark.slow
@pytest.mark.parametrize("redirection", STREAMS.values(), ids=STREAMS.keys())
def test_streams_that_cannot_be_read_or_written_are_no_reason_to_end(folder, redirection):
    port = free_port()
    (folder / "routes.yaml").write_text(APP.format(port=port, connections=100, path="one"))
    script = f'exec "$0" -m signalpost run {redirection}'
    with subprocess.Popen(["sh", "-c", script, sys.executable], cwd=folder) as process:
        try:
            until_connected(f"ws://127.0.0.1:{port}/one")
            (folder / "routes.yaml").write_text(APP.format(port=port, connections=100, path="one}, {path: /two"))
            until_connected(f"ws://127.0.0.1:{port}/two")
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", ["sys.stdout.close()", "os.close(1)", "os.closerange(0, 3)", "sys.stdin.close(); sys.stderr.close()"]
)
def test_streams_that_a_plugin_closes_as_it_is_imported_are_no_reason_to_end(how, folder):
    port = free_port()
    (folder / "plugins").mkdir()
    (folder / "plugins" / "closes.py").write_text(f"import os, sys\n{how}\n")
    (folder / "routes.yaml").write_text(APP.format(port=port, connections=100, path="one"))
    with subprocess.Popen([sys.executable, "-m", "signalpost", "run"], cwd=folder) as process:
        try:
            until_connected(f"ws://127.0.0.1:{port}/one")
            (folder / "routes.yaml").write_text(APP.format(port=port, connections=100, path="one}, {path: /two"))
            until_connected(f"ws://127.0.0.1:{port}/two")
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()


def test_a_reader_of_what_is_printed_that_goes_is_no_reason_to_end(write, run, folder):
    write("signals: [{path: /}]")
    server = run()
    server.process.stdout.close()
    server.process.stderr.close()
    for path in ("/two", "/three"):
        write(f"undeclared: refuse\nsignals: [{{path: /}}, {{path: {path}}}]")
        until_connected(server.urls["live"] + path)
    server.process.terminate()
    assert server.process.wait() == 0


def until_connected(url):
    while True:
        with contextlib.suppress(OSError, WebSocketException), connect_now(url, compression=None, proxy=None):
            return


PEM = "-----BEGIN CERTIFICATE-----\n" + "MIIBszCCAVmgAwIBAgIUDeadBeef\n" * 20 + "-----END CERTIFICATE-----\n"
SCHEMA = '{"type": "object", "description": "' + "x" * 300 + '"}\n'


def block(text):
    return "|\n" + "".join(f"      {line}\n" for line in text.splitlines())


ODD = {
    "a schema where its file is named": f"signals:\n  - path: /\n    schema: {block(SCHEMA)}",
    "a name of a schema that is too long": f"signals: [{{path: /, schema: {'x' * 300}.json}}]",
    "a way that goes through a file": "signals: [{path: /, schema: routes.yaml/shape.json}]",
    "a view whose name is too long": f"routes: [{{path: /, view: {'x' * 300}}}]",
    "a folder whose name is too long": f"routes: [{{path: /, static: {'x' * 300}}}]",
    "plugins in a folder whose name is too long": f"plugins: {{folder: {'x' * 300}}}",
    "a file to include whose name is too long": f"limits: !include {'x' * 300}.yaml",
    "a folder to include whose name is too long": f"limits: !include_dir {'x' * 300}",
    "a certificate where its file is named": (
        f"endpoints:\n  - name: live\n    port: 0\n    protocol: wss\n    certificate: {block(PEM)}"
    ),
}


@pytest.mark.slow
def test_whatever_stands_in_place_of_a_name_is_a_problem_and_the_server_goes_on(write, run, folder):
    write("signals: [{path: /}]")
    good = (folder / "routes.yaml").read_text()
    server = run()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("a name that is not UTF-8")
    with connect_now(server.urls["live"], compression=None, proxy=None) as client:
        for odd, text in ODD.items():
            write(text)
            shown = [server.process.stderr.readline()]
            while not shown[-1].startswith("not reloaded"):
                shown.append(server.process.stderr.readline())
            assert "Traceback" not in "".join(shown), odd
            assert re.fullmatch("[12] problems?\n", shown[-2]), odd
        (folder / "routes.yaml").write_text(good)
        assert server.process.stdout.readline() == "reloaded: nothing changed\n"
        client.send('{"message": "still"}')
        assert client.recv() == "still"
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_a_problem_until_it_may(write, run, folder):
    (folder / "conf").mkdir()
    (folder / "conf" / "limits.yaml").write_text("rate: 100/s\n")
    write("limits: !include_dir conf")
    server = run()
    (folder / "conf").chmod(0)
    while not server.process.stderr.readline().startswith("not reloaded"):
        pass
    (folder / "conf").chmod(0o700)
    assert server.process.stdout.readline() == "reloaded: nothing changed\n"
    assert server.end(signal.SIGTERM) == (0, "", "")


def test_a_plugin_whose_name_is_not_utf_8_is_a_problem_with_a_way_out(write, signalpost, folder):
    write("signals: [{path: /}]", fine="")
    (folder / "plugins" / os.fsdecode(b"caf\xe9.py")).write_text("")
    answer = signalpost("check")
    assert answer.exit_code == 1
    assert "a plugin's file has a name that is UTF-8: rename it" in answer.output
