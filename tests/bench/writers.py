"""What a write to one of N sockets costs with each of the writers: one by one, and by a ring of io_uring.

``python tests/bench/writers.py``; microseconds of a write of 66 bytes over TCP, medians of rounds in which both take
turns. Nobody waits for the bytes, so it is the least that a write can cost. It exits 0 when it could measure.
"""

import socket
import statistics
import time
from array import array

from signalpost.delivery.ring import Ring
from signalpost.delivery.writers import OneByOne, Writer
from signalpost.http.descriptors import raise_limit

NUMBERS = (1, 4, 8, 12, 16, 20, 24, 32, 100, 1_000, 2_000)
DATA = b"-" * 66
WRITES = 6_000  # of each row, so that a row takes about as long as the next


def pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """Connect sockets; the first of each pair does not block."""
    connected = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(count):
            far = socket.create_connection(listening.getsockname())
            near, _ = listening.accept()
            near.setblocking(False)
            connected.append((near, far))
    return connected


def row(writers: dict[str, Writer], connected: list[tuple[socket.socket, socket.socket]]) -> dict[str, float]:
    """Give the microseconds of a write to these sockets."""
    descriptors = array("i", [near.fileno() for near, _ in connected])
    times: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(max(20, WRITES // len(connected))):
        for name, writer in writers.items():
            start = time.perf_counter()
            unfinished = writer.write(descriptors, DATA)
            times[name].append((time.perf_counter() - start) / len(connected) * 1e6)
            if unfinished:
                raise SystemExit(f"{name}: sockets did not take 66 bytes: {unfinished}")
            for _, far in connected:
                far.recv(len(DATA))
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Measure and print a table."""
    writers: dict[str, Writer] = {"one by one": OneByOne()}
    try:
        ring = Ring()
    except OSError as error:
        print(f"ring: left out, this system lets nobody have one ({error.strerror})")
    else:
        ring.fewest = 1
        writers["ring"] = ring
    raise_limit(2 * max(NUMBERS))
    connected = pairs(max(NUMBERS))
    print(f"{'N':>6}" + "".join(f"{name:>12}" for name in writers))
    for number in NUMBERS:
        print(f"{number:6,}" + "".join(f"{us:12.2f}" for us in row(writers, connected[:number]).values()), flush=True)


if __name__ == "__main__":
    main()
