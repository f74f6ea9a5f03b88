"""What all tests share."""

import asyncio
import codecs
import logging
import re
import ssl
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from signalpost.testing import serve

# Nothing here is timed: a busy machine must not turn a test red.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def anyio_backend():
    """Run async tests on the loop that the server runs on."""
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="session")
def trusting():
    """A client's side of TLS that takes every certificate, as `self_signed` needs it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.fixture(scope="session")
def count_descriptors():
    """Count the descriptors that this process has open."""
    return lambda: sum(1 for _ in Path("/proc/self/fd").iterdir())


def _run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def build_package(tmp_path_factory):
    """Build a project's wheel or sdist without a network, each once: ``build_package(folder, "wheel")``."""
    built = {}

    def build(project, kind="wheel"):
        if (project, kind) not in built:
            folder = tmp_path_factory.mktemp("built")
            _run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=project)
            (built[project, kind],) = folder.iterdir()
        return built[project, kind]

    return build


@pytest.fixture(scope="session")
def install(tmp_path_factory):
    """Install packages into a fresh environment that borrows all others from this one; return its Python.

    What is installed is given as to pip: wheels, or ``"--editable", folder``.
    """

    def install(*packages):
        home = tmp_path_factory.mktemp("installed") / "venv"
        venv.create(home, with_pip=False, symlinks=True)
        python = home / "bin" / "python"
        own = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Its own packages come first, and .pth files of the lent folder (an editable signalpost) are not followed.
        (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet")
        _run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *packages)
        return python

    return install


class Clock:
    """Seconds as the test sets them, and what was asked to be called later."""

    def __init__(self, now=0.0):
        self.now = now
        self.later = []

    def __call__(self):
        return self.now

    def call_later(self, seconds, callback):
        handle = Handle(self.now + seconds, callback)
        self.later.append(handle)
        return handle

    @property
    def waiting(self):
        return [handle for handle in self.later if not handle.cancelled]

    def advance(self, seconds):
        """Let time pass, and run what falls due, each at its time."""
        until = self.now + seconds
        while due := sorted((handle for handle in self.waiting if handle.at <= until), key=lambda each: each.at):
            self.later.remove(due[0])
            self.now = due[0].at
            due[0].callback()
        self.now = until


class Handle:
    def __init__(self, at, callback):
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


@pytest.fixture(scope="session")
def make_clock():
    """Give the class: ``make_clock(now)`` is a clock that stands until the test advances it."""
    return Clock


@pytest.fixture
def until():
    """Let the loop turn until something is true."""

    async def until(is_true):
        async with asyncio.timeout(30):
            while not is_true():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)

    return until


class EventParser:
    """Reads an event stream as the HTML Living Standard says (section 9.2.6), and nothing more kindly than that."""

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._begun = False
        self._name, self._data, self._id = "", [], ""
        self.last_id = ""
        self.retry = None
        self.comments = 0
        self.unknown = []

    def feed(self, data):
        """Take bytes; return the events that are complete, each as its name, its data and the last id there was."""
        self._text += self._decoder.decode(data)
        if self._text and not self._begun:
            self._begun = True
            self._text = self._text.removeprefix("\ufeff")
        events = []
        # A carriage return at the end may be half of a line's end.
        while (end := re.search(r"\r\n|\n|\r(?!\Z)", self._text)) is not None:
            line, self._text = self._text[: end.start()], self._text[end.end() :]
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _line(self, line):
        if not line:
            return self._dispatch()
        field, colon, value = line.partition(":")
        if colon and not field:
            self.comments += 1
            return None
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            if "\0" not in value:
                self._id = value
        elif field == "retry":
            if re.fullmatch("[0-9]+", value):
                self.retry = int(value)
        else:
            self.unknown.append(line)
        return None

    def _dispatch(self):
        self.last_id = self._id
        name, data = self._name, self._data
        self._name, self._data = "", []
        return (name or "message", "\n".join(data), self.last_id) if data else None


@pytest.fixture(scope="session")
def make_event_parser():
    """Give the class: a strict reader of event streams."""
    return EventParser


LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
BOTH = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""


@pytest.fixture
def live():
    """Serve signals, given as YAML."""
    return lambda signals, **options: serve(LIVE + signals, **options)


@pytest.fixture
def site():
    """Serve routes and signals, given as YAML."""
    return lambda text, **options: serve(BOTH + text, **options)


@pytest.fixture
def failures(caplog):
    """Give what the log says of failed steps."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
