"""The line at the bottom of the terminal of `signalpost run`, and that nothing is torn by it."""

import asyncio
import io
import json
import logging
import os
import pty
import re
import shutil
import sys
import termios
from time import time_ns

import pytest
from websockets.sync.client import connect

from signalpost.cli import run as running
from signalpost.cli.reload import Wishes
from signalpost.cli.screen import Screen, has_screen
from signalpost.cli.status import LoggingTally, Tally, status_text
from signalpost.config.endpoints import Listening
from signalpost.plan import load_plan
from signalpost.server import Server
from signalpost.systemd import Unit

ERASE = b"\x1b[K"
IDLE = "0 clients; 0 messages/s in, 0/s out"


def url_of(lines):
    return next(found[0] for line in lines if (found := re.search(r"ws://\S+", line)))


def test_the_line_tells_clients_and_messages_and_goes_with_the_server(write, on_terminal):
    write("signals: [{path: /}]")
    terminal = on_terminal("run")
    lines = terminal.until(IDLE)
    assert lines[-1] == IDLE
    with connect(url_of(lines), proxy=None) as ann, connect(url_of(lines), proxy=None) as bob:
        terminal.until("2 clients;")
        for number in range(50):
            ann.send(json.dumps({"message": number}))
            assert [json.loads(each.recv()) for each in (ann, bob)] == [number, number]
        terminal.until(lambda lines: re.fullmatch(r"2 clients; [1-9]\d* messages/s in, [1-9]\d*/s out", lines[-1]))
    terminal.until(IDLE)
    terminal.press("\x03")
    assert terminal.end() == 0
    assert terminal.lines[-1].endswith("Ctrl-C stops")


@pytest.mark.slow
def test_the_line_tells_that_the_last_save_is_not_served_until_it_is_mended(write, on_terminal, folder):
    write("signals: [{path: /}]")
    terminal = on_terminal("run")
    terminal.until(IDLE)
    good = (folder / "routes.yaml").read_text()
    (folder / "routes.yaml").write_text(f"{good}\nnonsense: 1\n")
    lines = terminal.until("1 problem: the last save is not served")
    assert lines[-2:] == ["not reloaded: the app goes on as it was", f"{IDLE}; 1 problem: the last save is not served"]
    (folder / "routes.yaml").write_text(good)
    terminal.until(lambda lines: lines[-1] == IDLE)


TALKER = """
import logging, sys, threading
from signalpost import signal

@signal("talk", path="/")
async def talk(event):
    for number in range(200):
        print(f"piece {number:03}", "of", "a row")
        sys.stderr.write("error ")
        sys.stderr.write(f"{number:03}\\n")
    def talk():
        for number in range(200):
            sys.stdout.write(f"thread {number:03}\\n")
    thread = threading.Thread(target=talk)
    thread.start()
    logging.getLogger("talk").warning("a line of the log")
    thread.join()
    print("all is said")
"""


def test_no_line_that_is_printed_is_torn_by_the_line_at_the_bottom(write, on_terminal):
    write("", talker=TALKER)
    terminal = on_terminal("run")
    with connect(url_of(terminal.until(IDLE)), proxy=None) as client:
        client.send('{"message": 1}')
        terminal.until("all is said")
    terminal.press("\x03")
    assert terminal.end() == 0
    # What the line at the bottom has written, it has erased; so without both, what was printed is left.
    rows = re.sub(rb"\r\x1b\[K(\d+ clients?; [^\r\n\x1b]*)?", b"", terminal.raw).decode().split("\r\n")
    said = [row for row in rows if re.fullmatch(r"piece \d{3} of a row|(error|thread) \d{3}", row)]
    assert len(said) == len(set(said)) == 600
    assert sum(row.endswith("WARNING talk: a line of the log") for row in rows) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [((), {"CI": "true"}), ((), {"TERM": "dumb"}), (("--no-status",), {})],
    ids=["in CI", "on a dumb terminal", "unwanted"],
)
def test_there_is_no_line_and_no_control_character_where_it_would_do_harm(write, on_terminal, arguments, environment):
    write("signals: [{path: /}]")
    terminal = on_terminal("run", *arguments, **environment)
    with connect(url_of(terminal.until("Ctrl-C stops")), proxy=None) as client:
        client.send('{"message": 1}')
        assert client.recv() == "1"
    terminal.press("\x03")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw


@pytest.mark.slow
def test_a_log_for_programs_has_no_line_below_it_even_on_a_terminal(write, on_terminal):
    write("signals: [{path: /}]")
    terminal = on_terminal("run", LOG_FORMAT="json")
    terminal.until("Ctrl-C stops")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw


@pytest.mark.slow
def test_without_colours_the_line_has_none(write, on_terminal):
    write("signals: [{path: /}]")
    terminal = on_terminal("run", NO_COLOR="1")
    terminal.until(IDLE)
    terminal.press("\x03")
    assert terminal.end() == 0
    assert set(re.findall(rb"\x1b\[[\d;]*\w", terminal.raw)) == {ERASE}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_server_in_the_background_leaves_the_last_row_to_the_shell(write, on_terminal):
    write("signals: [{path: /}]")
    server = f"{sys.executable} -m signalpost run"
    terminal = on_terminal(command=("bash", "--norc", "--noprofile", "-i"), PS1="$ ")
    terminal.until("$")
    terminal.press(f"{server} &\n")
    with connect(url_of(terminal.until("Ctrl-C stops")), proxy=None) as client:
        client.send('{"message": 1}')
        assert client.recv() == "1"
    assert not any("clients;" in line for line in terminal.lines)
    terminal.press("fg\n")
    terminal.until(IDLE)
    terminal.press("\x03")
    terminal.until(lambda lines: not any(IDLE in line for line in lines))
    terminal.press("exit\n")
    terminal.end()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_line_comes_back_with_a_server_that_was_stopped_for_a_while(write, on_terminal):
    write("signals: [{path: /}]")
    terminal = on_terminal(command=("bash", "--norc", "--noprofile", "-i"), PS1="$ ")
    terminal.until("$")
    terminal.press(f"{sys.executable} -m signalpost run\n")
    terminal.until(IDLE)
    terminal.press("\x1a")
    terminal.until(lambda lines: "Stopped" in lines[-2] and lines[-1] == "$")
    terminal.press("fg\n")
    terminal.until(lambda lines: lines[-1] == IDLE)


def test_a_pipe_and_a_terminal_have_no_line():
    ours, theirs = pty.openpty()
    reading, writing = os.pipe()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours), os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        environment = {"TERM": "xterm"}
        assert has_screen(terminal, terminal, environment)
        assert not has_screen(pipe, terminal, environment)
        assert not has_screen(terminal, pipe, environment)
        assert not has_screen(terminal, None, environment)
        assert not has_screen(terminal, io.StringIO(), environment)
        assert not has_screen(terminal, terminal, {})


def test_two_terminals_have_no_line():
    (one, first), (two, second) = pty.openpty(), pty.openpty()
    with os.fdopen(first, "w") as out, os.fdopen(second, "w") as err, os.fdopen(one), os.fdopen(two):
        assert not has_screen(out, err, {"TERM": "xterm"})


@pytest.fixture
def paper():
    """A screen, and a function that reads what was written to its terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream, os.fdopen(ours):

        def read():
            """Return all that was written until now."""
            stream.write("|")
            stream.flush()
            read = b""
            while not read.endswith(b"|"):
                read += os.read(ours, 65536)
            return read.removesuffix(b"|")

        yield Screen(stream), stream, read


def test_a_line_that_stays_the_same_is_written_once(paper):
    screen, _, read = paper
    screen.show("3 clients")
    assert read() == b"\r" + ERASE + b"3 clients"
    screen.show("3 clients")
    assert read() == b""


def test_a_terminal_that_is_held_with_ctrl_s_holds_nobody(paper):
    screen, stream, read = paper
    termios.tcflow(stream, termios.TCOOFF)
    screen.show("2 clients")  # waits for ever if it writes
    termios.tcflow(stream, termios.TCOON)
    screen.show("3 clients")
    assert read() == b"\r" + ERASE + b"3 clients"


def test_a_row_that_is_not_finished_is_not_written_over(paper):
    screen, stream, read = paper
    screen.show("3 clients")
    screen.print(stream, "loading ")
    screen.show("4 clients")
    screen.print(stream, "done\n")
    erase = b"\r" + ERASE
    assert read() == erase + b"3 clients" + erase + b"loading done\r\n" + erase + b"4 clients"


def test_a_line_is_no_longer_than_the_terminal_is_wide(paper):
    screen, stream, read = paper
    termios.tcsetwinsize(stream, (24, 10))
    screen.show("123456789012345")
    assert read() == b"\r" + ERASE + b"123456789"


class Stopped:
    """The signals of a process that is told to stop at once."""

    def event(self):
        event = asyncio.Event()
        event.set()
        return event

    def reload_event(self):
        return asyncio.Event()


@pytest.mark.parametrize("seen", [False, True], ids=["no terminal", "a terminal"])
async def test_messages_are_counted_only_for_a_line(write, folder, monkeypatch, paper, seen):
    observers = []

    class Watched(Server):
        def __init__(self, plan, *, seams, **others):
            observers.append(seams.observer)
            super().__init__(plan, seams=seams, **others)

    write("signals: [{path: /}]")
    monkeypatch.setattr(running, "Server", Watched)
    wishes = Wishes(watch=False, since=time_ns(), home=folder, listening=Listening())
    screen = paper[0] if seen else None
    await running.serve(load_plan("routes.yaml"), Stopped(), wishes, Unit(), show=False, screen=screen)
    assert [observer is not None for observer in observers] == [seen]


def test_what_is_counted_can_be_logged_too(caplog):
    caplog.set_level(logging.DEBUG, "signalpost")
    tally = LoggingTally()
    tally.received("ann", "/", "deliver")
    tally.published("/", 10, 5, 2)
    assert (tally.taken, tally.sent) == (1, 3)
    assert len(caplog.messages) == 2
    quiet = Tally()
    quiet.received("ann", "/", "deliver")
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0, 0, 0, 0), IDLE),
        ((1, 0.6, 2, 1), "1 client; 1 messages/s in, 2/s out; 1 problem: the last save is not served"),
        ((1234, 1e4, 2e6, 0), "1,234 clients; 10,000 messages/s in, 2,000,000/s out"),
    ],
)
def test_the_line_says_it_in_words(values, text):
    assert status_text(*values) == text
