"""What a handshake with a token costs beside one without: ``python tests/bench/identities.py``.

Three servers run: one asks nobody, one takes HS256 and one ES256. A client opens WebSockets one after the other, each
as soon as the one before is open, and leaves them with a reset. A round has a turn for each server, with tokens that
it sees for the first time, and then with one that it remembers. What counts is the server's CPU time for a handshake.
Talks to nothing but 127.0.0.1.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when remembered tokens cost too much.
"""

import argparse
import base64
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from harness import BenchError, Cores, Running, machine, running
from servers import Server

APP = """\
limits: {{rate: 0}}
endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws, keepalive: {{every: 1h}}}}]
undeclared: refuse
{auth}signals: [{{path: /room, rebroadcast: path}}]
"""
AUTH = """\
auth: {{tokens: {{keys: {keys}, algorithms: [{algorithm}], audience: signalpost}}}}
"""
SECRET = "mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
WANTED = 0.85
KINDS = ("none", "HS256 first", "HS256 remembered", "ES256 first", "ES256 remembered")
RESET = struct.pack("ii", 1, 0)


class Signer:
    """Signs tokens of an algorithm, and says what its server must know."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._key = SECRET if algorithm == "HS256" else ec.generate_private_key(ec.SECP256R1())
        self._made = 0

    def auth(self, folder: Path) -> str:
        """Return the section of the file, and write the key that it names."""
        if isinstance(self._key, str):
            return AUTH.format(keys=f"{{secret: {self._key}}}", algorithm=self.algorithm)
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "key.pem").write_bytes(pem)
        return AUTH.format(keys="key.pem", algorithm=self.algorithm)

    def tokens(self, count: int) -> list[str]:
        """Return tokens that no server has seen."""
        now, begin = int(time.time()), self._made
        self._made += count
        claims = {"sub": "ann", "aud": "signalpost", "exp": now + 3_600, "iat": now, "rooms": ["blue"], "roles": []}
        numbers = range(begin, self._made)
        return [jwt.encode({**claims, "jti": f"{number:x}"}, self._key, self.algorithm) for number in numbers]


def command(port: int, folder: Path, signer: Signer | None) -> list[str]:
    """Write the app of a server, and return what starts it."""
    routes = folder / "routes.yaml"
    routes.write_text(APP.format(port=port, auth="" if signer is None else signer.auth(folder)), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(routes)]


def connect(port: int, tokens: Sequence[str]) -> None:
    """Open a WebSocket with each token, or without if it is empty."""
    for token in tokens:
        key = base64.b64encode(os.urandom(16)).decode()
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall(f"GET /room HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}{fields}\r\n\r\n".encode())
            head = sock.recv(4_096)
            if not head.startswith(b"HTTP/1.1 101"):
                raise BenchError(f"a handshake was refused: {head.decode(errors='replace')[:200]}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, to the nanosecond (Linux: /proc/PID/task/TID/schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


@contextmanager
def servers(cores: Cores) -> Iterator[dict[str, tuple[Running, Signer | None]]]:
    """Run a server for each algorithm, and one without."""
    with ExitStack() as stack:
        found: dict[str, tuple[Running, Signer | None]] = {}
        for name in ("none", "HS256", "ES256"):
            signer = None if name == "none" else Signer(name)
            server = Server("signalpost", partial(command, signer=signer))
            found[name] = (stack.enter_context(running(server, cores)), signer)
        yield found


def measure(handshakes: int, rounds: int, cores: Cores) -> dict[str, list[float]]:
    """Return the microseconds of CPU for a handshake, by kind and round."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with servers(cores) as running_ones:
        for number in range(rounds + 1):
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                target, signer = running_ones[kind.partition(" ")[0]]
                tokens = [""] * handshakes
                if signer is not None:
                    tokens = signer.tokens(handshakes if kind.endswith("first") else 1)
                    tokens = tokens if kind.endswith("first") else tokens * handshakes
                    connect(target.port, tokens[:1] if kind.endswith("remembered") else ())
                begin = cpu_seconds(target.pid)
                connect(target.port, tokens)
                if number:  # the first round warms up
                    found[kind].append((cpu_seconds(target.pid) - begin) / handshakes * 1e6)
    return found


def main() -> int:
    """Measure and print; 0, 1 when nothing could be measured, 2 when remembered tokens cost too much."""
    parser = argparse.ArgumentParser(description="What a handshake with a token costs beside one without.")
    parser.add_argument("--handshakes", type=int, default=1_000, help="in each turn")
    parser.add_argument("--rounds", type=int, default=9)
    arguments, cores = parser.parse_args(), Cores.choose()
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
    try:
        found = measure(arguments.handshakes, arguments.rounds, cores)
    except BenchError as error:
        print(f"identities: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"{key}: {value}" for key, value in machine(cores).items()))
    print(f"\n{arguments.rounds} rounds of {arguments.handshakes:,} handshakes; rate beside that without a token:")
    met = True
    for kind in KINDS:
        ratios = [plain / cost for plain, cost in zip(found["none"], found[kind], strict=True)]
        ratio, cost = statistics.median(ratios), statistics.median(found[kind])
        judged = ""
        if kind.endswith("remembered"):
            met = met and ratio >= WANTED
            judged = f"; at least {WANTED}: {'yes' if ratio >= WANTED else 'NO'}"
        print(
            f"  {kind:17} {cost:6.1f} us of CPU, {1e6 / cost:7,.0f} handshakes a CPU second,"
            f" ratio {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}){judged}"
        )
    return 0 if met else 2


if __name__ == "__main__":
    sys.exit(main())
