"""The programs that are measured: signalpost, the yardstick in C, and peers as their users write them.

Each passes on what it is sent: on ``/`` to everyone, its sender included. signalpost, the yardstick and stock Sanic
also have ``/echo``, which answers the sender alone. signalpost and the mode ``rooms`` of the yardstick have rooms:
messages stay there.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from json import loads
from pathlib import Path

from signalpost.delivery.ring import Ring, open_writer

HERE = Path(__file__).resolve().parent
BUILD = HERE / ".build"
PEERS_FOLDER = HERE / "peers"

ROUTES = """\
limits: {{rate: 0}} # the load is one client's
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
signals:
  - path: /
    schema: &object
      type: object
      required: [message]
      properties: {{message: {{type: object, required: [text]}}}}
  - path: /room
    rebroadcast: path
    schema: *object
  - path: /rooms/<number>
    rebroadcast: path
    schema: *object
  - path: /echo
    rebroadcast: sender
    schema:
      type: object
      required: [message]
      properties: {{message: {{type: string, maxLength: 4096}}}}
"""

MONITOR = """\
  - {{name: ops, address: 127.0.0.1, port: 0, protocol: http}}
monitor: {{metrics: /metrics}}
signals:
"""
"""In place of the line ``signals:``: the same routes with metrics."""

PIP = "pip install -e '.[bench]'"
NPM = "npm install in tests/bench/peers"
RING = "Linux 5.19 or later, where io_uring is allowed"


@dataclass(frozen=True, slots=True)
class Message:
    """What publishers send.

    Attributes:
        template: with ``%s`` where stamp and padding go.
        size: bytes of one message.
        unwrapped: whether template and size mean what receivers get, so that every server delivers the same
            bytes: signalpost, which unwraps ``message``, is sent the envelope around them.

    """

    template: str
    size: int
    unwrapped: bool = True


@dataclass(frozen=True, slots=True)
class Server:
    """A program that can be measured.

    Attributes:
        command: from a port and an empty folder of its own to the arguments that start it.
        envelope: around what receivers are to get, with ``%s`` for it.
        version: of what is measured; empty where it is not installed, None where there is none to speak of.
        remedy: what installs it.

    """

    name: str
    command: Callable[[int, Path], list[str]]
    envelope: str = "%s"
    version: Callable[[], str] | None = None
    remedy: str = PIP

    @property
    def installed(self) -> bool:
        """Whether it can be started here."""
        return self.version is None or bool(self.version())

    def load_arguments(self, message: Message) -> list[str]:
        """Tell the load generator what to send so that receivers get `message`."""
        envelope = self.envelope if message.unwrapped else "%s"
        template = envelope.replace("%s", message.template)
        return ["--template", template, "--size", str(message.size + len(envelope) - len("%s"))]


def of_package(package: str) -> Callable[[], str]:
    def find() -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return ""

    return find


def _of_signalpost() -> str:
    found: str = import_module("signalpost").__version__
    return found


def _of_node_ws() -> str:
    manifest = PEERS_FOLDER / "node_modules" / "ws" / "package.json"
    if shutil.which("node") is None or not manifest.exists():
        return ""
    found: str = loads(manifest.read_text(encoding="utf-8"))["version"]
    return found


def _of_io_uring() -> str:
    writer = open_writer()
    writer.close()
    return "io_uring" if isinstance(writer, Ring) else ""


def _signalpost(port: int, folder: Path) -> list[str]:
    routes = folder / "routes.yaml"
    routes.write_text(ROUTES.format(port=port), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(routes)]


def _monitored(port: int, folder: Path) -> list[str]:
    routes = folder / "routes.yaml"
    routes.write_text(ROUTES.replace("signals:\n", MONITOR, 1).format(port=port), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(routes)]


def _limit(mode: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _folder: [str(BUILD / "limit"), str(port), mode]


def _peer(interpreter: str, program: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _folder: [interpreter, str(PEERS_FOLDER / program), str(port)]


SIGNALPOST = Server("signalpost", _signalpost, envelope='{"message":%s}', version=_of_signalpost)
MONITORED = Server("monitored", _monitored, envelope=SIGNALPOST.envelope, version=_of_signalpost)
LOOP = Server("C loop", _limit("loop"))
COALESCE = Server("C coalescing", _limit("coalesce"))
URING = Server("C io_uring", _limit("uring"), version=_of_io_uring, remedy=RING)
TURN = Server("C io_uring, a turn", _limit("turn"), version=_of_io_uring, remedy=RING)
ROOMS = Server("C io_uring, rooms", _limit("rooms"), version=_of_io_uring, remedy=RING)
STOCK = Server("stock Sanic", _peer(sys.executable, "stock_sanic.py"), version=of_package("sanic"))
PEERS = (
    Server("picows", _peer(sys.executable, "with_picows.py"), version=of_package("picows")),
    Server("node ws", _peer("node", "ws.mjs"), version=_of_node_ws, remedy=NPM),
    Server("aiohttp", _peer(sys.executable, "with_aiohttp.py"), version=of_package("aiohttp")),
    Server("websockets", _peer(sys.executable, "with_websockets.py"), version=of_package("websockets")),
)
