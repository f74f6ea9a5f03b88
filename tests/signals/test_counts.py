"""What a node counts of its signals, and `Node.signals`, by which it is read in the process."""

import asyncio

import httpx
from hypothesis import given
from hypothesis import strategies as st

from signalpost.signals.counts import _LONGEST_PATH, _MOST_PATHS, BOUNDS, NO_PATH, UNDECLARED, Counts, SignalCounts
from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /chat, rebroadcast: path}, {path: /rooms/<room>, rebroadcast: path}]
"""


class Table:
    """Declares /rooms/<room> alone."""

    rules = ()

    def __init__(self):
        self.asked = []

    def pattern_of(self, path):
        self.asked.append(path)
        return "/rooms/<room>" if path.startswith("/rooms/") else None


def counts():
    made, table = Counts(), Table()
    made.configure(table)
    return made, table


@given(st.lists(st.one_of(st.none(), st.just(""), st.text(max_size=20).map("/rooms/".__add__), st.text(max_size=20))))
def test_however_many_paths_there_are_there_are_three_labels(paths):
    made, _ = counts()
    for path in paths:
        made.at(path).broadcasts += 1
    assert made.signals.keys() <= {"/rooms/<room>", UNDECLARED, NO_PATH}
    assert sum(each.broadcasts for each in made.signals.values()) == len(paths)
    assert made.signals.get(NO_PATH, SignalCounts("")).broadcasts == sum(not path for path in paths)


def test_the_pattern_of_a_path_is_looked_up_once():
    made, table = counts()
    for _ in range(3):
        made.at("/rooms/blue")
    assert table.asked == ["/rooms/blue"]


def test_what_is_remembered_of_paths_is_bounded():
    made, _ = counts()
    for number in range(_MOST_PATHS + 10):
        made.at(f"/undeclared/{number}")
    made.at("/" + "x" * _LONGEST_PATH)
    assert len(made.by_path) <= _MOST_PATHS
    assert all(len(path) <= _LONGEST_PATH for path in made.by_path)


@given(st.lists(st.floats(0, 100)))
def test_every_time_of_a_handler_is_in_one_class(seconds):
    made = SignalCounts("/chat")
    for each in seconds:
        made.handled(each)
    assert sum(made.times) == len(seconds)
    for number, bound in enumerate(BOUNDS):
        assert sum(made.times[: number + 1]) == sum(each <= bound for each in seconds)


async def test_a_node_tells_what_its_signals_do_to_whoever_asks():
    async with serve(APP) as app, app.connect("/rooms/blue") as ada, app.connect("/rooms/blue") as bob:
        node = app.server.node
        before = {each.signal: each for each in node.signals()}
        assert [*before] == ["/chat", "/rooms/<room>"]
        assert (before["/rooms/<room>"].clients, before["/rooms/<room>"].messages) == (2, 0)
        for _ in range(3):
            await ada.send("hi")
            await bob.receive()
        after = {each.signal: each for each in node.signals()}["/rooms/<room>"]
        assert (after.messages, after.broadcasts, after.deliveries, after.waiting) == (3, 3, 6, 0)
        assert not any(each.clients for each in node.signals() if each.signal == "/chat")


async def test_a_client_that_came_for_one_message_is_no_client_of_the_signal():
    text = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]
signals: [{path: /slow, handler: slow}]
"""
    plugin = """
import asyncio
from signalpost import signal

@signal("slow")
async def slow(event):
    event.state["begun"] = True
    while not event.state.get("may end"):
        await asyncio.sleep(0)
"""
    async with serve(text, plugins={"slow": plugin}) as app, httpx.AsyncClient(trust_env=False) as http:
        node = app.server.node
        posted = asyncio.create_task(http.post(app.url("web") + "/slow", json={"message": "hi"}))
        while not node.state.get("begun"):  # noqa: ASYNC110 - the handler says so
            await asyncio.sleep(0)
        assert len(node.hub.clients) == 1
        assert [each.clients for each in node.signals()] == [0]
        node.state["may end"] = True
        assert (await posted).is_success


async def test_nothing_is_counted_before_somebody_asks():
    async with serve(APP) as app, app.connect("/chat") as ada:
        await ada.send("hi")
        await ada.receive()
        assert all(each.messages == each.broadcasts == 0 for each in app.server.node.signals())


async def test_asking_counts_until_a_reload_without_monitor():
    async with serve(APP) as app, app.connect("/chat") as ada:
        node = app.server.node
        node.signals()
        assert node.counts.on
        await app.reload(APP + "undeclared: refuse\n")
        assert not node.counts.on
        await ada.send("hi")
        await ada.receive()
        assert not any(each.messages for each in node.signals())


async def test_waiting_bytes_are_those_of_the_signals_own_clients():
    async with serve(APP) as app, app.connect("/chat"), app.connect("/rooms/blue"):
        node = app.server.node
        (client,) = [each for each in node.hub.clients.values() if each.path == "/chat"]
        client._outbox = type("Outbox", (), {"size": 1234})()
        assert {each.signal: each.waiting for each in node.signals()} == {"/chat": 1234, "/rooms/<room>": 0}
        client._outbox = None
