"""What fanout.py measures: the loads, the figures drawn from each, and what is wanted of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness import BenchError
from servers import COALESCE, LOOP, PEERS, ROOMS, SIGNALPOST, STOCK, TURN, URING, Message, Server

BROADCAST = Message('{"text":"%s"}', 64)
ECHO = Message('{"message":"%s"}', 50, unwrapped=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One load, put on several servers.

    Attributes:
        name: as given to ``--only``.
        connections: how many clients.
        arguments: for the load generator, beside connections, message and times; they overrule the times.
        yardstick: what signalpost's figures are divided by; None where they stand beside its own of another case.
        others: who takes the same load beside these, where installed.

    """

    name: str
    connections: int
    arguments: tuple[str, ...]
    yardstick: Server | None
    message: Message = BROADCAST
    others: tuple[Server, ...] = (STOCK,)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Everyone who takes part, in the order of a round."""
        yardstick = (self.yardstick,) if self.yardstick else ()
        return (*yardstick, SIGNALPOST, *(server for server in self.others if server.installed))


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a case, to be printed.

    Attributes:
        title: ``{n}`` stands for the number of clients.
        key: of the load generator's report; the value is divided by `divisor` to give `unit`.
        lower: less is better. A ratio is always such that more is better.
        compare: whether a ratio to the yardstick means anything.
        against: the case whose figure of signalpost takes the yardstick's place.
        wanted_ratio: the ratio to the yardstick that is to be reached.
        wanted_value: what is to be reached in `unit`.
        wanted_times_stock: how many times better than stock Sanic it is to be.

    """

    case: str
    title: str
    unit: str
    key: str
    divisor: float = 1.0
    digits: int = 0
    lower: bool = False
    compare: bool = True
    against: str | None = None
    wanted_ratio: float | None = None
    wanted_value: float | None = None
    wanted_times_stock: float | None = None


CPU = "server_cpu_us_per_delivery"
RATE = "deliveries_per_s"
P99 = "p99_us"


def _floor(case: str, title: str, wanted: float | None = None, digits: int = 2) -> Figure:
    return Figure(f"floor-{case}", title, "us", CPU, digits=digits, lower=True, wanted_ratio=wanted)


def _ping_pong(clients: int, wanted: float) -> Figure:
    title = "CPU per delivery, 1 outstanding, N={n}"
    return Figure(f"fanout-{clients}", title, "us", CPU, digits=2, lower=True, wanted_ratio=wanted)


FIGURES = (
    _ping_pong(100, 0.90),
    _ping_pong(1_000, 0.90),
    _ping_pong(10_000, 0.85),
    Figure("burst", "deliveries, 16 outstanding, N={n}", "1,000/s", RATE, 1e3, wanted_ratio=0.90),
    Figure("burst", "CPU per delivery of that", "us", CPU, digits=3, lower=True),
    Figure("publishers", "deliveries, 50 publishers, N={n}", "1,000/s", RATE, 1e3, wanted_ratio=1.00),
    Figure("publishers", "CPU per delivery of that", "us", CPU, digits=3, lower=True),
    _floor("10", "CPU per delivery, 1 outstanding, N={n}", 0.80),
    _floor("100", "CPU per delivery, 1 outstanding, N={n}", 0.90),
    _floor("1000", "CPU per delivery, 1 outstanding, N={n}"),
    _floor("burst", "CPU per delivery, 16 outstanding, N={n}", digits=3),
    _floor("publishers", "CPU per delivery, 50 publishers, N={n}", digits=3),
    _floor("rooms", "CPU per delivery, 100 rooms of ten", 0.85),
    Figure("p99", "p99, 1 message/s, N={n}", "ms", P99, 1e3, digits=1, lower=True, wanted_ratio=0.80),
    Figure("open-200k", "p99, 200,000 deliveries/s due, N={n}", "ms", P99, 1e3, digits=2, lower=True),
    Figure(
        "open-1m",
        "p99, 1,000,000 deliveries/s due, N={n}",
        "ms",
        P99,
        1e3,
        digits=2,
        lower=True,
        against="open-200k",
        wanted_ratio=0.25,
    ),
    Figure("open-1m", "deliveries of that", "1,000/s", RATE, 1e3, wanted_value=990.0),
    Figure("path-alone", "CPU per delivery to a path of 100, N={n}", "us", CPU, digits=2, lower=True, compare=False),
    Figure(
        "path-among",
        "CPU per delivery to a path of 100, N={n}",
        "us",
        CPU,
        digits=2,
        lower=True,
        against="path-alone",
        wanted_ratio=0.90,
    ),
    Figure(
        "connect",
        "memory per idle connection, N={n}",
        "KB",
        "pss_per_conn_bytes",
        1e3,
        digits=1,
        lower=True,
        compare=False,
        wanted_value=4.2,
    ),
    Figure("connect", "handshakes, N={n}", "1/s", "connects_per_s", wanted_times_stock=4.0),
    Figure("connect", "CPU per handshake", "us", "server_cpu_per_connect_us", lower=True),
    Figure("echo", "echo of 50-byte JSON, N={n}", "1,000/s", RATE, 1e3, wanted_times_stock=30.0),
    Figure("echo", "CPU per message of that", "us", CPU, digits=2, lower=True),
)


def cases(*, quick: bool) -> list[Case]:
    """List what is measured; the quick list leaves out what takes ten thousand connections or many seconds."""
    ping_pong = ("--mode", "fanout", "--pipeline", "1")
    many = 1_000 if quick else 10_000
    everyone = (STOCK, *PEERS)
    room = (*ping_pong, "--path", "/room", "--bystanders")
    large = (
        Case("fanout-10000", 10_000, ping_pong, LOOP, others=everyone),
        Case("p99", 10_000, ("--rate", "1", "--duration", "8"), LOOP, others=()),
    )
    return [
        Case("fanout-100", 100, ping_pong, LOOP, others=everyone),
        Case("fanout-1000", 1_000, ping_pong, LOOP, others=everyone),
        *([] if quick else large),
        Case("burst", 1_000, ("--mode", "fanout", "--pipeline", "16"), COALESCE),
        Case("publishers", 1_000, ("--mode", "fanout", "--publishers", "50", "--pipeline", "50"), COALESCE),
        Case("floor-10", 10, ping_pong, URING, others=()),
        Case("floor-100", 100, ping_pong, URING, others=()),
        Case("floor-1000", 1_000, ping_pong, URING, others=()),
        Case("floor-burst", 1_000, ("--mode", "fanout", "--pipeline", "16"), TURN, others=()),
        Case("floor-publishers", 1_000, ("--publishers", "50", "--pipeline", "50"), TURN, others=()),
        Case("floor-rooms", 1_000, ("--mode", "rooms", "--path", "/rooms", "--rooms", "100"), ROOMS, others=()),
        Case("open-200k", 1_000, ("--rate", "200"), COALESCE, others=()),
        Case("open-1m", 1_000, ("--rate", "1000"), COALESCE, others=()),
        Case("path-alone", 100, (*room, "0"), None, others=()),
        Case("path-among", many, (*room, str(many - 100)), None, others=()),
        Case("connect", many, ("--mode", "connect"), LOOP),
        Case("echo", 100, ("--mode", "echo", "--path", "/echo", "--pipeline", "16"), LOOP, ECHO),
    ]


def choose(names: Sequence[str] | None, *, quick: bool) -> list[Case]:
    """Pick the cases of `names`, each a name or the beginning of several; all where there are none.

    Raises:
        BenchError: no case is called so.

    """
    everything = cases(quick=quick)
    known = [case.name for case in everything]
    wanted: set[str] = set()
    for name in names or [""]:
        found = [name] if name in known else [other for other in known if other.startswith(name)]
        if not found:
            raise BenchError(f"no case begins with {name!r}; there are {', '.join(known)}")
        wanted.update(found)
    return [case for case in everything if case.name in wanted]
