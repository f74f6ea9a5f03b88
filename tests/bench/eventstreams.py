"""What an event stream costs beside a WebSocket: ``python tests/bench/eventstreams.py``.

One server has as many readers of each kind, on a path each. A publisher sends one message after the other, each when it
has read the one before, to the one path and the other in turns. What counts is the server's CPU time for a delivery.
The readers count events and frames by their bytes: none may be missing. Talks to nothing but 127.0.0.1.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when a delivery was missing.
"""

import argparse
import base64
import json
import os
import select
import socket
import statistics
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

from harness import BenchError, Cores, Running, machine, raise_descriptor_limit, running
from servers import Server

APP = """\
limits: {{rate: 0}}
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws, keepalive: {{every: 1h}}}}
  - {{name: web, address: 127.0.0.1, port: {port}, protocol: http, fallbacks: [sse], keepalive: {{every: 1h}}}}
signals:
  - path: /<kind>
    rebroadcast: path
    schema: {{type: object, required: [message]}}
"""
KINDS = ("socket", "stream")
VALUE = "x" * 52
WANTED = 1.1
SPARE_DESCRIPTORS = 300


def _handshake(path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n\r\n".encode()


def _connected(port: int, kind: str) -> socket.socket:
    """Connect a reader, and return its socket when the head of the response has been read."""
    request = f"GET /{kind} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
    found = socket.create_connection(("127.0.0.1", port))
    found.sendall(_handshake(f"/{kind}") if kind == "socket" else request)
    head = b""
    # Of an event stream, the first field follows, which says when to come back.
    end = b"\r\n\r\n" if kind == "socket" else b"\r\n\r\nretry: 2000\n\n"
    while not head.endswith(end):
        piece = found.recv(1)
        if not piece:
            raise BenchError(f"a reader was refused: {head.decode(errors='replace')}")
        head += piece
    return found


def read_all(port: int, clients: int, pipe: Connection) -> None:
    """Connect readers of both kinds, and count the bytes that each kind reads; whenever asked, send both counts."""
    socks = {kind: [_connected(port, kind) for _ in range(clients)] for kind in KINDS}
    counts = dict.fromkeys(KINDS, 0)
    poll = select.epoll()
    by_descriptor = {sock.fileno(): (kind, sock) for kind, each in socks.items() for sock in each}
    for descriptor in (*by_descriptor, pipe.fileno()):
        poll.register(descriptor, select.EPOLLIN)
    pipe.send("ready")
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == pipe.fileno():
                if pipe.recv() == "end":
                    return
                pipe.send(counts)
                continue
            kind, sock = by_descriptor[descriptor]
            counts[kind] += len(sock.recv(65_536))


def _frame(text: str) -> bytes:
    """Return a short text frame of a client, masked with zeros (RFC 6455 section 5.2)."""
    data = text.encode()
    return bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data


def publish(port: int, kind: str, messages: int) -> None:
    """Send messages to one path, each when the one before has come back."""
    with closing(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.sendall(_handshake(f"/{kind}"))
        while not sock.recv(65_536).endswith(b"\r\n\r\n"):
            pass
        frame, size = _frame(json.dumps({"message": VALUE})), 2 + len(VALUE)
        for _ in range(messages):
            sock.sendall(frame)
            left = size
            while left:
                left -= len(sock.recv(left))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _command(port: int, folder: Path) -> list[str]:
    routes = folder / "routes.yaml"
    routes.write_text(APP.format(port=port), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(routes)]


@contextmanager
def reading(target: Running, clients: int) -> Iterator[Connection]:
    """Connect readers in a process of their own; gives the pipe to it."""
    context = get_context("spawn")
    ours, theirs = Pipe()
    process = context.Process(target=read_all, args=(target.port, clients, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(120) or ours.recv() != "ready":
            raise BenchError("the readers could not connect")
        yield ours
    finally:
        ours.send("end")
        process.join()


def _counts(pipe: Connection) -> dict[str, int]:
    pipe.send("count")
    found: dict[str, int] = pipe.recv()
    return found


def measure(clients: int, messages: int, rounds: int, cores: Cores) -> tuple[dict[str, list[float]], list[str]]:
    """Return the microseconds of the server's CPU time for a delivery, by kind and round, and what was wrong."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    sizes = {"socket": 2 + len(VALUE), "stream": len(f"data: {VALUE}\n\n")}
    sent = dict.fromkeys(KINDS, 0)
    with running(Server("signalpost", _command), cores) as target, reading(target, clients) as pipe:
        for number in range(rounds + 1):
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                begin = _cpu_seconds(target.pid)
                publish(target.port, kind, messages)
                sent[kind] += messages
                if number:  # the first round warms up
                    found[kind].append((_cpu_seconds(target.pid) - begin) / (messages * clients) * 1e6)
        wanted = {kind: sent[kind] * clients * sizes[kind] for kind in KINDS}
        for _ in range(1_000):
            if (read := _counts(pipe)) == wanted:
                return found, []
            select.select([], [], [], 0.01)
    return found, [f"{kind}: {read[kind]:,} bytes were read of {wanted[kind]:,}" for kind in KINDS]


def main() -> int:
    """Measure and print; 0, 1 when nothing could be measured, 2 when something was wrong."""
    parser = argparse.ArgumentParser(description="What an event stream costs beside a WebSocket.")
    parser.add_argument("--clients", type=int, default=1_000, help="readers of each kind")
    parser.add_argument("--messages", type=int, default=300, help="in each turn")
    parser.add_argument("--rounds", type=int, default=9)
    arguments, cores = parser.parse_args(), Cores.choose()
    if raise_descriptor_limit() < 2 * arguments.clients + SPARE_DESCRIPTORS:
        print("eventstreams: more files are needed than ulimit -Hn allows; try --clients 100", file=sys.stderr)
        return 1
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
    try:
        found, wrong = measure(arguments.clients, arguments.messages, arguments.rounds, cores)
    except BenchError as error:
        print(f"eventstreams: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"{key}: {value}" for key, value in machine(cores).items()))
    ratios = [stream / plain for plain, stream in zip(found["socket"], found["stream"], strict=True)]
    print(
        f"\n{arguments.clients:,} readers of each kind, {arguments.rounds} rounds of {arguments.messages:,} messages:"
    )
    for kind in KINDS:
        low, high = min(found[kind]), max(found[kind])
        print(f"  {kind}: {statistics.median(found[kind]):.2f} us of CPU a delivery ({low:.2f} to {high:.2f})")
    ratio = statistics.median(ratios)
    met = "yes" if ratio <= WANTED else "NO"
    print(f"  ratio: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}); at most {WANTED}: {met}")
    print(*(wrong or ["Nothing was missing."]), sep="\n")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
