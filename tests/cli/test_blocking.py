"""What blocks the loop is named while it does so, though the loop itself can say nothing."""

import signal
import threading

import pytest
from websockets.sync.client import connect

from signalpost.cli.blocking import LoopWatch
from signalpost.foreign import Code

BLOCKING = """
import json
import threading
from signalpost import hookimpl, signal
from signalpost.cli import blocking

blocking.FIRST, blocking.EVERY = 0.03, 0.01

class Stuck(dict):
    def items(self):
        threading.Event().wait()

@signal("block", path="/block")
async def block(event):
    json.dumps(Stuck(a=1), indent=1)

@hookimpl
def shutdown(context):
    threading.Event().wait()
"""


def told_of(kind, server):
    """Give the line that names code of the plugin's; on a busy machine the server's own code may be told of before."""
    return next(line for line in server.process.stderr if f" by {kind} " in line)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a handler", "a shutdown"])
def test_a_plugin_that_blocks_the_loop_for_ever_is_named_with_its_line_meanwhile(how, write, run):
    write("limits: {drain: 0s}", stuck=BLOCKING)
    server = run()
    if how == "a handler":
        with connect(server.urls["live"] + "/block", compression=None, proxy=None, close_timeout=0) as client:
            client.send('{"message": "go"}')
            line = told_of("handler", server)
        assert "signalpost.cli.blocking: the loop has been blocked for 0 s by " in line
        assert 'handler "block" of plugin stuck (' in line
        assert "which is at items (" in line
        assert line.endswith("plugins/stuck.py:11): nobody is served meanwhile\n")
    else:
        server.process.send_signal(signal.SIGTERM)
        line = told_of("hook", server)
        assert "hook shutdown of plugin stuck (" in line
        assert "plugins/stuck.py:19): nobody is served meanwhile" in line


KEEPING = """
import asyncio
import threading
from signalpost import signal
from signalpost.cli import blocking

blocking.PATIENCE = 0.01

@signal("keep", path="/")
async def keep(event):
    event.reply("kept")
    threading.Thread(target=hold, name="mine").start()
    asyncio.get_running_loop().run_in_executor(None, hold)

def hold():
    threading.Event().wait()
"""


def test_threads_of_plugins_that_keep_the_process_are_named_once_the_server_has_stopped(write, run):
    write("", keeping=KEEPING)
    server = run("--no-watch")  # the thread that watches would be at its end as well
    with connect(server.urls["live"], compression=None, proxy=None) as client:
        client.send('{"message": "go"}')
        assert client.recv() == "kept"
    server.process.send_signal(signal.SIGTERM)
    line = server.process.stderr.readline()
    assert line.startswith("stopped; waits for the thread ")
    assert "which is at hold (" in line
    assert line.endswith("plugins/keeping.py:16) and 1 more; Ctrl-C again ends it now\n")
    assert server.end(signal.SIGTERM) == (143, "", "")


class Loop:
    """Answers as often as it is told to, and says what it was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = threading.Semaphore(0)

    def call_soon_threadsafe(self, answer):
        self.asked.release()
        if self.answers:
            self.answers -= 1
            answer()


class Records:
    """Collects what is logged of blocking, and wakes who waits for that."""

    def __init__(self, monkeypatch):
        self.lines = []
        self._come = threading.Semaphore(0)
        monkeypatch.setattr("signalpost.cli.blocking.LOG.warning", self._take)

    def _take(self, text, *values):
        self.lines.append(text % values)
        self._come.release()

    def wait(self, count):
        for _ in range(count):
            assert self._come.acquire(timeout=30)
        return self.lines


@pytest.fixture
def records(monkeypatch):
    return Records(monkeypatch)


@pytest.fixture
def watch():
    made = []

    def start(loop, ident, first=0.0):
        made.append(LoopWatch(loop.call_soon_threadsafe, ident, first, 0.001))
        made[-1].start()

    yield start
    for each in made:
        each.end()
        each.join()


def test_a_loop_that_answers_is_asked_on_and_nothing_is_said(records, watch):
    loop = Loop(answers=100)
    watch(loop, threading.get_ident())
    for _ in range(100):
        assert loop.asked.acquire(timeout=30)
    assert records.lines == []
    assert "LoopWatch" not in str(records.wait(1)), "the next one is not answered"


def test_the_innermost_of_the_plugin_s_own_code_is_named_and_again_when_it_goes_on(records, watch):
    done, begun = threading.Event(), threading.Event()

    def wait():
        begun.set()
        done.wait()

    where = f"{__file__}:{wait.__code__.co_firstlineno}"
    thread = threading.Thread(target=Code('handler "wait"', "p", where).call, args=(wait,))
    thread.start()
    begun.wait()
    watch(Loop(answers=0), thread.ident, first=0.0005)
    lines = records.wait(2)
    done.set()
    thread.join()
    line = wait.__code__.co_firstlineno + 2
    assert all(f'handler "wait" of plugin p ({where}), which is at wait ({__file__}:{line})' in each for each in lines)


def test_a_thread_that_is_there_no_more_is_no_reason_to_fail(records, watch):
    watch(Loop(answers=0), -1)
    assert "blocked for 0 s by what it is at" in records.wait(1)[0]
