"""The metrics, as families of prometheus-client: each with its name, its labels and what it means.

Labels are what the file declares: signals by their paths there, endpoints, jobs and feeds by their names, and words of
which there are few. No path that a client has chosen, no user and no id is one, so there are as many series as the file
makes.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from signalpost import __version__
from signalpost.monitoring.readings import Readings
from signalpost.signals.counts import BOUNDS, Groups, SignalCounts
from signalpost.websocket.frames import CloseCode

_WHY: Mapping[str, str] = {str(int(CloseCode.TOO_SLOW)): "too-slow", str(int(CloseCode.ABNORMAL)): "gone"}
_PLAIN = "plain"
_INFINITE = "+Inf"


def families(readings: Readings, groups: Groups) -> list[Metric]:
    """Return all metrics of a server at this moment.

    Args:
        readings: where the numbers are.
        groups: its clients (`signalpost.signals.counts.groups_of`).
    """
    return [
        *_of_clients(groups),
        *_of_arrivals(readings),
        *_of_signals(readings.node.counts.signals.values()),
        _gaps(readings),
        *_of_memory(readings),
        *_of_backplane(readings),
        *_of_jobs(readings),
        *_of_server(readings),
    ]


def _counter(name: str, text: str, labels: tuple[str, ...], sums: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = CounterMetricFamily(f"signalpost_{name}", text, labels=labels)
    for values, total in sums:
        family.add_metric(values, total)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"signalpost_{name}", text, value=value)


def _of_clients(groups: Groups) -> Iterator[Metric]:
    labels = ("signal", "endpoint", "dialect")
    clients = GaugeMetricFamily("signalpost_clients", "Clients that are connected now.", labels=labels)
    waiting = GaugeMetricFamily(
        "signalpost_waiting_bytes", "Bytes that wait in the server until clients read.", labels=labels
    )
    for (signal, endpoint, dialect), group in groups.items():
        clients.add_metric((signal, endpoint, dialect or _PLAIN), group.clients)
        waiting.add_metric((signal, endpoint, dialect or _PLAIN), group.waiting)
    yield clients
    yield waiting


def _of_arrivals(readings: Readings) -> Iterator[Metric]:
    seen = readings.occurrences
    yield _counter(
        "handshakes",
        "Clients that came: accepted, or the HTTP status of what they were answered instead.",
        ("outcome",),
        (((outcome,), total) for outcome, total in seen.handshakes.items()),
    )
    yield _counter(
        "auth",
        "Clients that came where it is asked who they are, by what was found.",
        ("outcome",),
        (((outcome,), total) for outcome, total in seen.identities.items()),
    )
    yield _counter(
        "disconnects",
        "Clients that have gone, by the code of their close (RFC 6455 section 7.4).",
        ("code",),
        (((code,), total) for code, total in seen.disconnected_clients.items()),
    )
    yield _counter(
        "dropped",
        "Clients whose connection the server has aborted: too slow, or gone.",
        ("why",),
        (((_WHY.get(code, code),), total) for code, total in seen.dropped_clients.items()),
    )
    yield _counter(
        "kicked",
        "Clients that were sent away: 4009 kicked, 4403 banned, 4401 their tokens revoked.",
        ("code",),
        (((code,), total) for code, total in seen.kicked_clients.items()),
    )
    yield _counter(
        "limited",
        "What was answered with 429, by the limit that was reached.",
        ("limit",),
        (((limit,), total) for limit, total in seen.limits.items()),
    )


def _of_signals(counts: Iterable[SignalCounts]) -> Iterator[Metric]:
    counts = list(counts)
    yield _counter(
        "messages",
        "Messages of clients, by what became of them; refused ones by the code of their error.",
        ("signal", "outcome"),
        (((each.signal, outcome), total) for each in counts for outcome, total in each.messages.items()),
    )
    each_signal = ("signal",)
    yield _counter(
        "broadcasts", "Values that were published.", each_signal, (((each.signal,), each.broadcasts) for each in counts)
    )
    yield _counter(
        "deliveries",
        "Published values that were queued, once for each client.",
        each_signal,
        (((each.signal,), each.deliveries) for each in counts),
    )
    yield _counter(
        "delivery_bytes",
        "The sizes of these values, once for each client.",
        each_signal,
        (((each.signal,), each.delivered_bytes) for each in counts),
    )
    yield _counter(
        "recoveries",
        "Clients that came back to a history: whole, or why values were missing.",
        ("signal", "outcome"),
        (((each.signal, outcome), total) for each in counts for outcome, total in each.recoveries.items()),
    )
    yield _counter(
        "recovered_values",
        "Values that these were sent because they had missed them.",
        each_signal,
        (((each.signal,), each.recovered) for each in counts if each.recoveries),
    )
    yield _handler_times(counts)


def _gaps(readings: Readings) -> Metric:
    return _counter(
        "gaps",
        "How often a client missed values of its path, by why.",
        ("why",),
        (((why,), total) for why, total in readings.occurrences.gaps.items()),
    )


def _handler_times(counts: Iterable[SignalCounts]) -> Metric:
    family = HistogramMetricFamily(
        "signalpost_handler_seconds",
        "Seconds from the beginning to the end of a handler, or of a list of actions that waits.",
        labels=("signal",),
    )
    for each in counts:
        if not any(each.times):
            continue
        buckets, total = [], 0
        for bound, count in zip((*map(str, BOUNDS), _INFINITE), each.times, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric((each.signal,), buckets, each.seconds)
    return family


def _of_memory(readings: Readings) -> Iterator[Metric]:
    memory = readings.node.memory
    yield _gauge("history_entries", "Values that histories keep in memory.", memory.streams.entries)
    yield _gauge("history_bytes", "Memory that they take.", memory.streams.size)
    yield _gauge("presence_users", "Users who are present, each path for itself.", memory.presence.count)
    yield _gauge("connections", "WebSockets and event streams, with those that come or go.", readings.node.occupied)


def _of_backplane(readings: Readings) -> Iterator[Metric]:
    backplane = readings.backplane
    if backplane is None:
        return
    yield _gauge("backplane_up", "1 while the backplane is there, else 0.", float(backplane.here))
    yield _gauge("backplane_seconds", "How long the last beat took through it and back.", backplane.seconds)
    yield _gauge("backplane_waiting_bytes", "Bytes that wait until the backplane has taken them.", backplane.waiting)
    yield _counter("backplane_missed", "Values that this node has missed.", (), (((), backplane.missed),))
    yield _counter("backplane_healed", "Holes in histories that were filled.", (), (((), backplane.healed),))


def _of_jobs(readings: Readings) -> Iterator[Metric]:
    seen = readings.occurrences
    yield _counter("job_runs", "Runs of timers and schedules that have ended.", ("job", "outcome"), seen.jobs.items())
    yield _counter(
        "job_seconds",
        "Seconds that these took.",
        ("job",),
        (((name,), seconds) for name, seconds in seen.job_seconds.items()),
    )
    feeds = [feed.name for feed in readings.node.generation.plan.config.feeds]
    if not feeds:
        return
    up = GaugeMetricFamily("signalpost_feed_up", "1 while a feed is connected, else 0.", labels=("feed",))
    for name in feeds:
        up.add_metric((name,), float(name in seen.connected_feeds))
    yield up
    yield _counter("feed_messages", "Messages of feeds that were handled.", ("feed", "outcome"), seen.feeds.items())
    yield _counter(
        "feed_seconds",
        "Seconds that handling them took.",
        ("feed",),
        (((name,), seconds) for name, seconds in seen.feed_seconds.items()),
    )
    yield _counter(
        "feed_losses",
        "How often a connection of a feed ended, or could not be made.",
        ("feed",),
        (((name,), total) for name, total in seen.feed_losses.items()),
    )


def _of_server(readings: Readings) -> Iterator[Metric]:
    yield _counter(
        "reloads",
        "New plans: done, or failed, so that the old one was kept.",
        ("outcome",),
        (((outcome,), total) for outcome, total in readings.occurrences.reloads.items()),
    )
    yield _gauge("loop_lag_seconds", "How late the event loop was at most in the last half minute.", readings.pulse.lag)
    yield _gauge("ready", "1 while the server should have clients, else 0.", float(not readings.unready()))
    about = {"version": __version__, "python": platform.python_version()}
    yield InfoMetricFamily("signalpost_build", "The server.", value=about)
