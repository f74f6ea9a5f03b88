"""An app as a user runs it: a folder, `signalpost run` in a process of its own, and a real browser before it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

WEB = Path(__file__).parents[2] / "web"
PATIENCE_MS = 30_000
QUIET_CHROMIUM = [
    "--no-sandbox",  # containers have no user namespaces to build one from
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # names that are not this machine's own, without a DNS
]

ROUTES = """\
endpoints:
{endpoints}
routes:
  - {{path: /, file: web/index.html}}
  - {{path: /assets, static: web}}
  - {{path: /hello/<name>, view: web/hello.html}}
signals:
  - path: /
    schema: {{type: object, required: [message], properties: {{message: {{type: string, maxLength: 4096}}}}}}
  - {{path: /silent, rebroadcast: none}}
"""


class App:
    """A folder with routes.yaml and the chat page, and the process that serves it.

    Args:
        folder: empty; filled here.
        shared: whether page and signals share one port, or have one each as in the demo.

    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        page, signals = free_ports(2)
        self.folder = folder
        self.url = f"http://127.0.0.1:{page}"
        self.signals_url = f"ws://127.0.0.1:{page if shared else signals}"
        self._process: subprocess.Popen[str] | None = None
        shutil.copytree(WEB, folder / "web")
        index = folder / "web" / "index.html"
        port = "" if shared else f'data-port="{signals}"'
        index.write_text(index.read_text().replace('data-port="8091"', port))
        hosts = "hosts: [signalpost.test]"
        endpoints = (
            f"  - {{name: web, address: 127.0.0.1, port: {page}, {hosts}, protocol: http}}\n"
            f"  - {{name: live, address: 127.0.0.1, port: {page if shared else signals}, {hosts}, protocol: ws}}\n"
        )
        (folder / "routes.yaml").write_text(ROUTES.format(endpoints=endpoints))

    def start(self) -> None:
        """Start the server and wait until it has printed where it listens."""
        log = (self.folder / "server.log").open("a")
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "signalpost", "run", "routes.yaml"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        log.close()
        missing = {self.url, self.signals_url}
        seen = ""
        while missing:
            line = self._process.stdout.readline()
            if not line:
                pytest.fail(f"the server ended: {seen}{(self.folder / 'server.log').read_text()}")
            seen += line
            missing -= set(re.findall(r"\w+://[\w.]+:\d+", line))

    def stop(self) -> None:
        """Ask the server to stop, as Ctrl-C does, and wait until it has."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server without a goodbye."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let the server do nothing, with its connections open."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.stdout.close()
        self._process.wait()
        self._process = None


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path)
    app.start()
    yield app
    app.kill()


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[[], App]]:
    """Make an app that is not started yet, so that its files can be changed before."""
    app = App(tmp_path, shared=True)
    yield lambda: app
    app.kill()


@pytest.fixture
def one_port_app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path, shared=True)
    app.start()
    yield app
    app.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        reason = "there is no Chromium on the PATH (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET_CHROMIUM)
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def complaints() -> list[str]:
    """Collect what pages complain of in the console; a test that provokes a complaint takes it out."""
    return []


@pytest.fixture
def open_page(browser: Browser, complaints: list[str]) -> Iterator[OpenPage]:
    """Open a page for a further person: ``open_page(url, **options_of_the_context)``; it waits for the connection.

    What the page complains of in the console fails the test, but for the browser's own note that a WebSocket
    could not be opened, which no page can prevent.
    """
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("WebSocket connection to"):
            complaints.append(message.text)

    def open_page(url: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        expect(page.locator("#state")).to_have_text("Connected")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
