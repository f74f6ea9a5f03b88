"""An app as a user runs it: a folder, `signalpost run` in a process of its own, and a real browser before it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from signalpost.cli.new import create_app

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CHAT = next(each for each in yaml.safe_load((ROOT / "routes.yaml").read_text())["signals"] if "/chat/" in each["path"])
"""The signal of the chat page, as the demo has it."""
NAME = "signalpost.name"
"""Where a browser keeps the name that a person goes by."""
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

NOT_THERE = ("WebSocket connection to", "Failed to load resource: net::ERR_")

ROUTES = """\
endpoints:
{endpoints}
routes:
  - {{path: /, file: web/index.html}}
  - {{path: /assets, static: web}}
  - {{path: /signalpost.js, client: true}}
  - {{path: /hello/<name>, view: web/hello.html}}
signals:
  - {chat}
  - path: /
    schema: {{type: object, required: [message], properties: {{message: {{type: string, maxLength: 4096}}}}}}
  - {{path: /silent, rebroadcast: none}}
  - {{path: /kept, rebroadcast: path, history: {{keep: 5, replay: 3}}, presence: true}}
  - {{path: /date, do: [{{reply: {{value: it is noon}}}}]}}
  - {{path: /slow, do: [{{wait: 3s}}]}}
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
        hosts = "hosts: [signalpost.test]"
        endpoints = (
            f"  - {{name: web, address: 127.0.0.1, port: {page}, {hosts}, protocol: http}}\n"
            f"  - {{name: live, address: 127.0.0.1, port: {page if shared else signals}, {hosts}, protocol: ws}}\n"
        )
        (folder / "routes.yaml").write_text(ROUTES.format(endpoints=endpoints, chat=json.dumps(CHAT)))

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
        missing = {self.url}
        if re.search(r"protocol: wss?", (self.folder / "routes.yaml").read_text(encoding="utf-8")):
            missing.add(self.signals_url)
        seen = ""
        while missing:
            line = self._process.stdout.readline()
            if not line:
                pytest.fail(f"the server ended: {seen}{(self.folder / 'server.log').read_text()}")
            seen += line
            missing -= set(re.findall(r"\w+://[\w.]+:\d+", line))

    def move_socket(self) -> None:
        """Let the signals have another port."""
        (port,) = free_ports(1)
        file = self.folder / "routes.yaml"
        file.write_text(file.read_text().replace(f"port: {self.signals_url.rpartition(':')[2]},", f"port: {port},"))
        self.signals_url = f"ws://127.0.0.1:{port}"

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


class Forward:
    """Passes bytes on from a port of its own to another one, as ssh and Docker do, until it is told to stop.

    Args:
        port: of 127.0.0.1, where it leads.

    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._passing = threading.Event()
        self._passing.set()
        self._answering = threading.Event()
        self._answering.set()
        self._sockets: list[socket.socket] = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on any more, and say so to nobody."""
        self._passing.clear()

    def mute(self) -> None:
        """Keep back what comes from the server; it gets everything."""
        self._answering.clear()

    def unmute(self) -> None:
        """Pass on what was kept back."""
        self._answering.set()

    def cut(self) -> None:
        """End the connections that there are; what was kept back is lost."""
        broken, self._sockets = self._sockets[1:], self._sockets[:1]
        _end(broken)
        self._answering.set()

    def close(self) -> None:
        """End all connections."""
        self._passing.set()
        self._answering.set()
        _end(self._sockets)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:  # the server is away for now
                    client.close()
                    continue
                self._sockets.append(server)
                for ends in ((client, server, self._passing), (server, client, self._answering)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, going: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._passing.wait()
                going.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _end(sockets: list[socket.socket]) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


class StarterApp(App):
    """A folder that `signalpost new --from` has made; only its port is another."""

    def __init__(self, folder: Path, name: str) -> None:
        (port,) = free_ports(1)
        self.folder = folder / name
        self.url, self.signals_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        self._process = None
        self.passwords = create_app(self.folder, name).passwords
        file = self.folder / "routes.yaml"
        text = file.read_text(encoding="utf-8").replace("port: 8090", f"port: {port}")
        file.write_text(text.replace("//127.0.0.1:8090/", f"//127.0.0.1:{port}/"), encoding="utf-8")


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


@pytest.fixture
def forward() -> Iterator[Callable[[str], Forward]]:
    """Make a forward to the port of a URL."""
    made: list[Forward] = []

    def forward(url: str) -> Forward:
        made.append(Forward(int(url.rpartition(":")[2])))
        return made[-1]

    yield forward
    for each in made:
        each.close()


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Callable[[str], StarterApp]]:
    """Make an app from a starter, and serve it."""
    made: list[StarterApp] = []

    def start(name: str) -> StarterApp:
        made.append(StarterApp(tmp_path, name))
        made[-1].start()
        return made[-1]

    yield start
    for app in made:
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

    The person has told the page a name before (``name="Ann"``), unless it is None. A ``script`` runs before those of
    the page. With ``connected=False`` nothing is waited for.

    What the page complains of in the console fails the test, but for the browser's own notes that a server is not
    there, which no page can prevent.
    """
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(NOT_THERE):
            complaints.append(message.text)

    def open_page(
        url: str,
        name: str | None = "Guest",
        script: str = "",
        connected: bool = True,
        cookies: Sequence[dict[str, str]] = (),
        **options: object,
    ) -> Page:
        origin = "/".join(url.split("/")[:3])
        kept = {"origin": origin, "localStorage": [{"name": NAME, "value": name}]}
        context = browser.new_context(storage_state={"origins": [kept] if name else []}, **options)
        contexts.append(context)
        context.add_cookies(cookies)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.add_init_script(script)
        page.goto(url)
        if connected:
            expect(page.locator("#state")).to_have_text("Connected")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
