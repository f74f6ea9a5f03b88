"""Commands as a person gives them: in a folder with an app, in this process or in one of their own."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
from datetime import UTC, datetime

import pyte
import pytest
from click.testing import CliRunner

from signalpost.cli import cli
from signalpost.config.certificates import load_certificate
from signalpost.config.model import TlsConfig

ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
COMMAND = (sys.executable, "-m", "signalpost")


def quiet_environment(**more):
    """Return an environment that says nothing of colours or of a terminal's width."""
    told = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "TERM", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if name not in told} | more


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder of the test: an empty one."""
    home = tmp_path / "app"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def write(folder):
    """Write routes.yaml (two endpoints stand before it unless it has its own) and plugins, by name."""

    def make(text="", **plugins):
        text = textwrap.dedent(text)
        (folder / "routes.yaml").write_text(text if "endpoints:" in text else ENDPOINTS + text)
        for name, source in plugins.items():
            (folder / "plugins").mkdir(exist_ok=True)
            (folder / "plugins" / f"{name}.py").write_text(textwrap.dedent(source))

    return make


@pytest.fixture
def signalpost(folder, monkeypatch):
    """Give a command in this process; nothing that serves."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(cli, arguments, prog_name="signalpost")


@pytest.fixture
def process(folder):
    """Start a command in a process of its own; whatever is left of it ends with the test."""
    started = []
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell, for what it runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments, command=COMMAND, cwd=folder, stderr=subprocess.PIPE, **environment):
        started.append(
            subprocess.Popen(
                [*command, *arguments],
                cwd=cwd,
                env=quiet_environment(**environment),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()
        each.stdout.close()
        if each.stderr is not None:  # else it is a file of the test's
            each.stderr.close()


@pytest.fixture
def terminal(folder):
    """Give a command on a terminal of so many columns, and return all that it shows."""

    def show(*arguments, columns=80, **environment):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = quiet_environment(**{"TERM": "xterm", **environment})
        with subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=environment, stdout=theirs, stderr=theirs):
            os.close(theirs)
            text = b""
            with contextlib.suppress(OSError):  # Linux's way to say that nothing more comes
                while part := os.read(ours, 65536):
                    text += part
        os.close(ours)
        return text.decode().replace("\r\n", "\n")

    return show


@pytest.fixture
def new_certificate():
    """Make a certificate with its key, another one each time."""

    def make():
        made = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1",))
        return made.chain + made.key

    return make


@pytest.fixture
def old_certificate():
    """A certificate with its key that was good long ago."""
    then = datetime(2020, 1, 1, tzinfo=UTC)
    made = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1",), now=then)
    return made.chain + made.key


class Running:
    """A server in a process of its own.

    Attributes:
        lines: what it has printed at the start.
        urls: by endpoint.

    """

    def __init__(self, process):
        self.process = process
        self.lines = []
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.endswith("Ctrl-C stops\n"):
                break
        else:
            pytest.fail(f"the server ended: {self.lines} {process.stderr.read()}")
        self.urls = dict(line.split() for line in self.lines[:-1])

    def end(self, number):
        """Send a signal, wait for the end, and return the exit code and what was printed since the start."""
        self.process.send_signal(number)
        return rest_of(self.process)


def rest_of(process):
    """Wait for the end; return the exit code and what was printed since something was last read.

    Not by `communicate`: it does not know of what is read ahead already.
    """
    out, err = process.stdout.read(), process.stderr.read()
    return process.wait(), out, err


@pytest.fixture
def ended():
    return rest_of


@pytest.fixture
def run(process):
    """Start `signalpost run` and read what it prints until it serves."""
    return lambda *arguments, **options: Running(process("run", *arguments, **options))


# Makes its standard input the terminal that it is controlled by, as a shell is, and becomes the program.
_CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Shown:
    """A program on a terminal as a person has one: with a keyboard, job control, and a screen of `rows` and `columns`.

    Attributes:
        raw: all bytes that were written to it.
    """

    def __init__(self, command, cwd, environment, rows=100, columns=100):
        self.raw = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLED, *command],
            cwd=cwd,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def close(self):
        """End what is left of the program."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def lines(self):
        """What stands on the screen, without empty rows."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def press(self, keys):
        """Press keys."""
        os.write(self._ours, keys.encode())

    def until(self, seen):
        """Read until a text is on the screen, or until a function of the lines says so; return the lines."""
        is_there = seen if callable(seen) else lambda lines: any(seen in line for line in lines)
        while not is_there(self.lines):
            assert self._read(), f"the program ended, and this is on the screen: {self.lines}"
        return self.lines

    def end(self):
        """Read until the program has ended; return its exit code."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self):
        select.select([self._ours], [], [])
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # Linux's way to say that nothing more comes
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


@pytest.fixture
def on_terminal(folder):
    """Start a command on a terminal of its own, and read its screen."""
    started = []

    def start(*arguments, command=COMMAND, **environment):
        told = quiet_environment(**{"TERM": "xterm", **environment})
        if "CI" not in environment:
            told.pop("CI", None)
        started.append(Shown([*command, *arguments], folder, told))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def serving():
    """Read what a process of `signalpost run` prints until it serves."""
    return Running
