"""What an app without a backplane sends, byte for byte, beside another checkout.

Clients of one server, plain ones and those of ``signalpost.v1``, read all that comes while one of them sends to every
kind of target. What is random, ids, sessions and epochs, is blanked out.
"""

import re
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from harness import BenchError, Cores, running
from servers import SIGNALPOST, Server

APP = """\
limits: {{rate: 0}}
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
signals:
  - {{path: /all, rebroadcast: everyone}}
  - {{path: /others, rebroadcast: others}}
  - {{path: "/rooms/<room>", rebroadcast: path, targets: [path, clientId, group]}}
  - {{path: "/kept/<room>", rebroadcast: path, history: 10}}
  - {{path: /raw, rebroadcast: path, format: raw}}
  - {{path: /end, rebroadcast: everyone}}
"""
PATHS = ("/all", "/others", "/rooms/blue", "/rooms/red", "/kept/x", "/raw", "/end")
MESSAGES = (
    ("/all", '{"message":"a text"}'),
    ("/all", '{"message":{"of":[1,2.5,null,"\\u00e9"]}}'),
    ("/others", '{"message":"for others"}'),
    ("/rooms/blue", '{"message":"on the path"}'),
    ("/rooms/blue", '{"message":"to another path","path":"/rooms/red"}'),
    ("/rooms/blue", '{"message":"direct","direct":true}'),
    ("/rooms/blue", '{"message":"to nobody","clientId":"nobody"}'),
    ("/rooms/blue", '{"message":"to a group","group":"nobody"}'),
    ("/rooms/blue", "no JSON"),
    ("/kept/x", '{"message":"kept"}'),
    ("/kept/x", '{"message":{"kept":"too"}}'),
    ("/raw", "as it is"),
)
LAST = "~ the end ~"
RANDOM = re.compile(rb'("(?:session|user)":")[^"]*|[0-9a-f]{32}|(?<=")\w{6}(?=:\d+:\w{4}")|(?<=:)\w{4}(?=")')
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


class Client:
    """A connection that reads all that comes."""

    def __init__(self, port: int, path: str, subprotocol: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        more = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self._socket.sendall(REQUEST.format(path=path, port=port, more=more).encode())
        self.read = b""
        self._pings = 0
        self.read_until(b"\r\n\r\n")

    def read_until(self, end: bytes) -> None:
        """Read until something has come.

        Raises:
            BenchError: the connection ended before.
        """
        while end not in self.read:
            data = self._socket.recv(65_536)
            if not data:
                raise BenchError(f"a client was cut off after {self.read[-200:]!r}")
            self.read += data

    def send(self, text: str) -> None:
        """Send a text, and wait until the server has dealt with it: a pong comes after what that made of it."""
        self._pings += 1
        for opcode, data in ((1, text.encode()), (9, b"ping %d." % self._pings)):
            self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + bytes(4) + data)
        self.read_until(data)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def sent_by(python: str) -> dict[str, bytes]:
    """Return what clients of a server read, by their path and subprotocol; `python` is that of its checkout."""

    def command(port: int, folder: Path) -> list[str]:
        routes = folder / "routes.yaml"
        routes.write_text(APP.format(port=port), encoding="utf-8")
        return [python, "-m", "signalpost", "run", str(routes)]

    with ExitStack() as stack:
        server = stack.enter_context(
            running(Server("golden", command, envelope=SIGNALPOST.envelope), Cores(None, None))
        )
        clients: dict[str, Client] = {}
        for subprotocol in ("", "signalpost.v1"):
            for path in PATHS:
                client = clients[f"{path} {subprotocol or 'plain'}"] = Client(server.port, path, subprotocol)
                stack.callback(client.close)
                if subprotocol:
                    client.read_until(b'{"welcome":')
        for subprotocol in ("plain", "signalpost.v1"):
            for number, (path, text) in enumerate(MESSAGES):
                sender, end = clients[f"{path} {subprotocol}"], f"{LAST}{subprotocol}{number}"
                sender.send(text)
                clients["/end plain"].send(f'{{"message":"{end}"}}')
                for client in clients.values():  # one message after the other, so that there is one order
                    client.read_until(end.encode())
        return {name: RANDOM.sub(rb"\1#", client.read) for name, client in clients.items()}


def differences(checkout: Path) -> list[str]:
    """Return in words what another checkout sends that this one does not."""
    before, now = sent_by(str(checkout / ".venv" / "bin" / "python")), sent_by(sys.executable)
    wrong = []
    for name, old in before.items():
        new = now[name]
        at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        if old != new:
            wrong.append(
                f"{name}: {old[max(0, at - 80) : at + 40]!r} was sent before, {new[max(0, at - 80) : at + 40]!r} is now"
            )
    return wrong
