"""Restart three nodes one after the other, under load: ``python tests/bench/rolling.py``.

Two thousand clients are on two hundred paths with history, at three nodes behind HAProxy, with a real Redis. They are
the Python client, the JavaScript client in node, and WebSockets that bring back their position and nothing else, a
third each. Two clients of each path publish, numbered messages, 500 a second together. Then each node is stopped
(SIGTERM), waited for, and started again. Counted is what was missing, what came twice, and how often clients came back.

It needs redis-server (or valkey-server), haproxy and node. The exit status is 0 when nothing was missing, nothing came
twice, and each client came back once for each restart of its node; 2 when not. `tests/cluster/test_rolling.py` is the
same with fewer clients. It talks to nothing but 127.0.0.1.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backplanes"))

from redisserver import RedisServer
from rollingrestart import IN_A_ROOM, NODES, roll


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=2_000, help="rounded down to whole paths of 10")
    parser.add_argument("--rate", type=float, default=500, help="messages a second, of all publishers")
    options = parser.parse_args()
    count = max(1, options.clients // IN_A_ROOM) * IN_A_ROOM
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app"
        app.mkdir()
        with RedisServer(folder) as redis:
            outcome = roll(app, redis.url, count, options.rate, tell)
    came_back = outcome.total("nodes") - count
    faults = {
        "missing": outcome.total("missing") + outcome.unread(),
        "twice": outcome.total("doubled"),
        "gaps": outcome.total("gaps"),
        "came back to the node that stopped": len(outcome.came_again()),
        "came back without being asked to": abs(came_back - outcome.total("byes")),
        "answered with 5xx": outcome.refused,
    }
    figures = {
        "clients": count,
        "paths": count // IN_A_ROOM,
        "nodes restarted": len(NODES),
        "messages published": outcome.published,
        "a second": round(outcome.published / outcome.seconds),
        "read": sum(number for each in outcome.clients for number in each["last"].values()),
        **faults,
        "reconnects": came_back,
        "clients by reconnects": ", ".join(f"{times}: {many}" for times, many in sorted(outcome.reconnects().items())),
        "most reconnects in a second": outcome.most_in_a_second(),
        "handshakes that took too long": outcome.total("tries") - outcome.total("nodes"),
        "given to another node by HAProxy": outcome.redispatched,
    }
    for name, figure in figures.items():
        print(f"| {name} | {figure:,} |" if isinstance(figure, int) else f"| {name} | {figure} |")
    return 2 if any(faults.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
