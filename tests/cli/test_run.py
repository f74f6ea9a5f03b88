"""`signalpost run`: what it prints, what it does not, and how it ends."""

import contextlib
import re
import signal
import socket
import sqlite3

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

STOPS = [signal.SIGINT, signal.SIGTERM]


def talk(url):
    """Connect, say something, hear it, and go."""
    with connect(url, compression=None, proxy=None) as client:
        client.send('{"message": "hello"}')
        assert client.recv() == "hello"


def test_run_prints_where_it_listens_and_what_it_loaded_and_nothing_else(write, run):
    write(
        "routes: [{path: /a, broadcast: {value: x}}]\nsignals: [{path: /}, {path: /b}]",
        one="from signalpost import timer\n\n@timer('tick', every='1h')\nasync def tick(event): ...\n",
    )
    server = run()
    web, live, loaded = server.lines
    assert re.fullmatch(r"web   http://127\.0\.0\.1:[1-9]\d*", web)
    assert re.fullmatch(r"live  ws://127\.0\.0\.1:[1-9]\d*", live)
    assert loaded == "1 route, 2 signals, 1 job, 1 plugin; Ctrl-C stops"
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
def test_run_prints_notes_before_where_it_listens(write, run):
    plugin = """
        from signalpost import signal

        @signal("echo", path="/a")
        async def echo(event): ...
    """
    write("signals: [{path: /a}]", echo=plugin)
    _, out, _ = run().end(signal.SIGTERM)
    assert out.startswith("note: routes.yaml:4 declares /a")
    assert out.count("\n") == 1


@pytest.mark.parametrize("number", STOPS)
def test_run_is_quiet_when_clients_come_talk_and_go_and_when_it_is_stopped(write, run, folder, number):
    (folder / "page.txt").write_text("page")
    write("routes: [{path: /page, file: page.txt}]")
    server = run()
    talk(server.urls["live"])
    with socket.create_connection(("127.0.0.1", int(server.urls["web"].rpartition(":")[2]))) as http:
        http.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert http.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"
    with connect(server.urls["live"], compression=None, proxy=None):
        assert server.end(number) == (0, "", "")


@pytest.mark.slow
def test_run_can_be_told_to_say_more(write, run):
    plugin = """
        import logging
        from signalpost import hookimpl

        @hookimpl
        def startup(context):
            logging.getLogger("mine").debug("details")
            logging.getLogger("mine").info("news")
    """
    write(talker=plugin)
    _, _, usual = run().end(signal.SIGTERM)
    assert usual == ""
    _, _, more = run("--log-level", "info").end(signal.SIGTERM)
    assert re.fullmatch(r"[-\d]+ [:,\d]+ INFO mine: news\n", more)


@pytest.mark.slow
def test_what_a_log_step_says_is_shown_at_once_unless_it_is_only_for_debugging(write, run):
    logs = '{log: "said {{ message }}"}, {log: {message: details, level: debug}}'
    write(f'signals: [{{path: /, do: [{logs}, {{reply: {{value: "{{{{ message }}}}"}}}}]}}]')
    server = run()
    talk(server.urls["live"])
    _, _, log = server.end(signal.SIGTERM)
    assert re.fullmatch(r"[-\d]+ [:,\d]+ INFO signalpost\.log: said hello\n", log)


def test_a_plugin_that_fails_to_start_ends_the_start_with_a_line(write, process, ended):
    write("", bad="from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    1 / 0\n")
    code, out, err = ended(process("run"))
    assert (code, out) == (1, "")
    assert err.endswith("plugins/bad.py:3): its startup failed: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in err.splitlines()[-1]


LOOSE = """
    import asyncio
    from signalpost import signal

    async def fail():
        {escape}

    def call():
        {escape}

    @signal("loose", path="/")
    async def loose(event):
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(fail()), loop.create_task(fail())]
        loop.call_soon(call)
        loop.call_later(0, call)
        await asyncio.wait(tasks)
        await asyncio.sleep(0.01)
        event.reply(event.data.message)
"""


@pytest.mark.slow
@pytest.mark.parametrize("escape", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_neither_a_plugin_s_own_task_nor_a_callback_ends_the_server(write, run, escape):
    write("", loose=LOOSE.format(escape=escape))
    server = run()
    for _ in range(2):
        talk(server.urls["live"])
    code, out, err = server.end(signal.SIGINT)
    assert (code, out) == (0, "")
    assert "a callback or task of a plugin wanted to end the server" in err


@pytest.mark.slow
def test_a_plugin_that_stops_the_loop_does_not_stop_the_server(write, run):
    source = """
        import asyncio
        from signalpost import signal

        @signal("quit", path="/")
        async def quit(event):
            asyncio.get_running_loop().stop()
            event.reply(event.data.message)
    """
    write("", quit=source)
    server = run()
    for _ in range(2):
        talk(server.urls["live"])
    code, out, err = server.end(signal.SIGINT)
    assert (code, out) == (0, "")
    assert "a plugin has stopped the event loop (loop.stop()); the server goes on" in err


CANCELS_ALL = """
    import asyncio
    from signalpost import hookimpl, signal

    @signal("echo", path="/")
    async def echo(event):
        event.state["said"] = event.data.message
        event.reply(event.data.message)

    @hookimpl
    async def shutdown(context):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
"""


def test_a_shutdown_that_cancels_all_tasks_there_are_ends_neither_the_server_nor_its_stop(write, run, folder):
    write("state: {file: state.db}\n", ends=CANCELS_ALL)
    server = run()
    write("state: {file: state.db}\n", ends=CANCELS_ALL + "\n    AGAIN = True\n")
    assert server.process.stdout.readline() == "reloaded: ~1 plugin\n"
    talk(server.urls["live"])
    assert server.end(signal.SIGTERM) == (0, "", "")
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as state:
        assert state.execute("SELECT key FROM state").fetchall() == [("said",)]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "run"])
def test_ctrl_c_ends_a_command_while_a_plugin_is_imported(write, process, ended, command):
    write("", slow="import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    started = process(command)
    said = started.stdout if command == "run" else started.stderr  # stdout is for what a command says itself
    assert any(line == "importing\n" for line in iter(said.readline, ""))
    started.send_signal(signal.SIGINT)
    code, _, err = ended(started)
    assert (code, err) == (130, "")  # as shells have it


def test_an_address_in_use_is_one_line_that_names_the_place(write, process):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(f"endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]")
        failed = process("run")
        out, err = failed.communicate()
    assert (failed.returncode, out) == (1, "")
    assert err == (
        f"signalpost: routes.yaml:1: endpoint web: 127.0.0.1 port {port} is in use by another program: "
        "stop that one, or choose another port\n"
    )


def test_who_starts_a_server_twice_is_told_which_process_serves_already(write, run, process):
    write()
    first = run()
    port = first.urls["web"].rpartition(":")[2]
    failed = process("run", "--port", port)
    _, err = failed.communicate()
    assert failed.returncode == 1
    assert err.endswith(f"choose another port; process {first.process.pid} serves routes.yaml already\n")


NEVER_READY = """
    import asyncio, sys
    from signalpost import hookimpl

    @hookimpl
    async def startup(context):
        print("starting", flush=True)
        await asyncio.Event().wait()

    @hookimpl
    def shutdown(context):
        print("shut down", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS)
def test_a_stop_while_plugins_start_is_a_stop_and_what_was_started_is_shut_down(write, process, ended, number):
    write(slow=NEVER_READY)
    server = process("run")
    assert server.stdout.readline() == "starting\n"
    server.send_signal(number)
    assert ended(server) == (0, "shut down\n", "")


PATIENT = """
    import asyncio, pathlib
    from signalpost import hookimpl, signal

    @signal("work", path="/work")
    async def work(event):
        print("working", flush=True)
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
        event.reply("done")
        print("done", flush=True)

    @hookimpl
    def shutdown(context):
        print("shut down", flush=True)
"""


@pytest.mark.parametrize("number", STOPS)
def test_a_handler_at_work_finishes_and_its_client_has_its_answer_before_the_server_ends(
    write, run, ended, folder, number
):
    write("", patient=PATIENT)
    server = run()
    port = int(server.urls["live"].rpartition(":")[2])
    with connect(server.urls["live"] + "/work", compression=None, proxy=None) as client:
        client.send('{"message": "go"}')
        assert server.process.stdout.readline() == "working\n"
        server.process.send_signal(number)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionResetError:
                continue  # it was waiting to be accepted when the port was closed
            except ConnectionRefusedError:
                break
        (folder / "go").touch()
        assert client.recv() == "done"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd.code == 1001
    code, out, err = ended(server.process)
    assert (code, out) == (0, "done\nshut down\n")
    assert [line for line in err.splitlines() if not line.startswith("stopping: waits ")] == []


IGNORES = """
    import asyncio
    from signalpost import hookimpl, route, signal, timer
    from signalpost.cli import loop

    loop._GRACE = 0.01

    async def ignore():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    @hookimpl
    def startup(context):
        if "{what}" == "task":
            context.own["task"] = asyncio.create_task(ignore(), name="of its own")

    @signal("wait", path="/")
    async def wait(event):
        event.reply(event.data.message)
        if "{what}" == "handler":
            await ignore()

    @timer("tick", every="1d", on_start=True)
    async def tick(event):
        if "{what}" == "job":
            await ignore()
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["task", "handler", "job"])
def test_what_ignores_that_it_is_cancelled_is_left_behind_at_the_end(write, run, what):
    write("limits: {drain: 0s}", ignores=IGNORES.format(what=what))
    server = run()
    talk(server.urls["live"])
    code, out, err = server.end(signal.SIGTERM)
    assert (code, out) == (0, "")
    names = {"task": "of its own", "handler": "handler wait of plugin ignores", "job": 'timer "tick" (ignores)'}
    assert f"the task {names[what]} ignores that it is cancelled, and is left behind" in err
    assert "was destroyed" not in err


STUBBORN = """
    import asyncio, threading
    from signalpost import signal

    @signal("wait", path="/wait")
    async def wait(event):
        print("waiting", flush=True)
        {how}
"""
NEVER_ENDS = {
    "a task that ignores that it is cancelled": """while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass""",
    "code that blocks the loop": "threading.Event().wait()",
    "a thread that nobody can end": "await asyncio.to_thread(threading.Event().wait)",
}


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("how", NEVER_ENDS.values(), ids=NEVER_ENDS.keys())
def test_a_second_signal_ends_run_at_once_whatever_does_not_end(write, run, ended, how, number):
    write("", stubborn=STUBBORN.format(how=how))
    server = run()
    with connect(server.urls["live"] + "/wait", compression=None, proxy=None, close_timeout=0) as client:
        client.send('{"message": "go"}')
        assert server.process.stdout.readline() == "waiting\n"
        # Two that come at one moment may count as one, so: until it has ended.
        while server.process.poll() is None:
            server.process.send_signal(number)
    assert ended(server.process) == (128 + number, "", "")


def test_a_backplane_whose_package_is_missing_is_refused_at_its_place(write, process):
    write("backplane: redis://app:hunter2@10.0.0.5/0", gone="import sys\nsys.modules['redis'] = None")
    server = process("run")
    out, told = server.communicate(timeout=30)
    assert (server.returncode, out) == (1, "")
    assert told == (
        "routes.yaml:4:12: backplane: it needs a package that is not installed here: pip install 'signalpost[redis]'\n"
        "    backplane: redis://app:*******@10.0.0.5/0\n"
        "               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "1 problem\n"
    )
