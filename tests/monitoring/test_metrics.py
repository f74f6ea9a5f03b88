"""Metrics of a real server, read as Prometheus reads them: by prometheus-client's parsers, and by promtool if there."""

import asyncio
import os
import shutil

import httpx
import jwt
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from websockets.exceptions import InvalidStatus

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.delivery.broker import LocalBroker
from signalpost.errors import ConfigError
from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.testing import ManualClock, serve

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PLUGIN = """
from signalpost import signal

@signal("shout", path="/shout")
async def shout(event):
    event.reply(event.data.message.upper())

@signal("fails", path="/fails")
async def fails(event):
    raise ValueError("no")
"""
ENDPOINTS = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
REST = """
signals:
  - {path: /chat, rebroadcast: path, history: 10, presence: true}
  - {path: /rooms/<room>, rebroadcast: path}
  - {path: /echo, rebroadcast: sender}
timers: [{name: tick, every: 1h, do: [{broadcast: {value: tock}}]}]
"""
APP = f"{ENDPOINTS}{REST}monitor: {{metrics: /metrics}}\n"


async def fetch(app, accept=None, path="/metrics"):
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(app.url("web") + path, headers={} if accept is None else {"accept": accept})


async def scrape(app):
    """Return all samples, by name and labels; both formats must say the same of what does not move by itself."""
    plain, opened = await fetch(app), await fetch(app, OPENMETRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    texts = (
        {(s.name, *sorted(s.labels.items())): s.value for family in read(text) for s in family.samples}
        for read, text in ((read_text, plain.text), (read_openmetrics, opened.text))
    )
    one, other = texts
    assert one.keys() == other.keys()
    moving = ("process_", "signalpost_loop_lag", "signalpost_connections")
    assert all(one[key] == other[key] for key in one if not key[0].startswith(moving))
    return one


def of(samples, name, **labels):
    return samples[(f"signalpost_{name}", *sorted(labels.items()))]


async def test_a_scrape_says_what_clients_have_done():
    async with serve(APP, plugins={"shouting": PLUGIN}, clock=ManualClock()) as app:
        async with (
            app.connect("/chat") as ada,
            app.connect("/chat", subprotocols=["signalpost.v1"]) as bob,
            app.connect("/rooms/blue") as red,
            app.connect("/rooms/green") as green,
            app.connect("/shout") as shout,
            app.connect("/fails") as fails,
            app.connect("/echo") as echo,
        ):
            assert await bob.receive_json()
            await ada.send("hello")
            assert await ada.receive() == "hello"
            await ada.send_raw("nonsense")
            await ada.receive()
            for each in (red, green):
                await each.send("hi")
                assert await each.receive() == "hi"
            await shout.send("loud")
            assert await shout.receive() == "LOUD"
            await fails.send("x")
            await fails.receive()
            await echo.send("me")
            assert await echo.receive() == "me"
            await app.run_job("tick")
            assert await echo.receive() == "tock"
            found = await scrape(app)
        assert of(found, "clients", signal="/chat", endpoint="live", dialect="plain") == 1
        assert of(found, "clients", signal="/chat", endpoint="live", dialect="signalpost.v1") == 1
        assert of(found, "clients", signal="/rooms/<room>", endpoint="live", dialect="plain") == 2
        assert of(found, "handshakes_total", outcome="accepted") == 7
        assert of(found, "messages_total", signal="/chat", outcome="deliver") == 1
        assert of(found, "messages_total", signal="/chat", outcome="bad-message") == 1
        assert of(found, "messages_total", signal="/rooms/<room>", outcome="deliver") == 2
        assert of(found, "messages_total", signal="/shout", outcome="invoke") == 1
        assert of(found, "messages_total", signal="/echo", outcome="answer") == 1
        assert of(found, "broadcasts_total", signal="/chat") == 1
        assert of(found, "broadcasts_total", signal="/rooms/<room>") == 2
        assert of(found, "broadcasts_total", signal="none") == 1
        assert of(found, "deliveries_total", signal="/chat") == 2
        assert of(found, "delivery_bytes_total", signal="/chat") == 2 * len("hello")
        assert of(found, "deliveries_total", signal="none") == 7
        assert of(found, "handler_seconds_count", signal="/fails") == 1
        assert of(found, "handler_seconds_bucket", signal="/fails", le="+Inf") == 1
        assert of(found, "history_entries") == 1
        assert of(found, "history_bytes") > 0
        assert of(found, "presence_users") == 2
        assert of(found, "job_runs_total", job="tick", outcome="done") == 1
        assert of(found, "ready") == 1


async def test_clients_that_have_gone_or_were_refused_are_counted():
    async with serve(APP + "undeclared: refuse\n") as app:
        async with app.connect("/chat") as ada:
            await ada.close()
        answer = await fetch(app, path="/chat")  # an event stream that does not ask for one
        assert answer.status_code >= 400
        with pytest.raises(Exception, match="404"):
            async with app.connect("/nowhere"):
                pass
        found = await scrape(app)
        assert of(found, "handshakes_total", outcome="accepted") == 1
        assert of(found, "handshakes_total", outcome="404") == 1
        assert of(found, "disconnects_total", code="1000") == 1
        assert not [key for key in found if key[0] == "signalpost_clients"]


AUTH = """
auth:
  tokens: {keys: {secret: "0123456789abcdef0123456789abcdef"}, algorithms: [HS256], issuer: me, audience: you}
  keys: {shop: {key: "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", may: [publish]}}
undeclared: refuse
"""


async def test_who_clients_are_found_to_be_is_counted():
    claims = {"sub": "ann", "iss": "me", "aud": "you", "exp": 4102444800}
    good = jwt.encode(claims, "0123456789abcdef0123456789abcdef", algorithm="HS256")
    text = APP.replace("{path: /echo,", "{path: /echo, may: {connect: anyone},") + AUTH
    async with serve(text) as app:
        async with app.connect("/echo", additional_headers={"authorization": f"Bearer {good}"}), app.connect("/echo"):
            pass
        with pytest.raises(InvalidStatus):
            async with app.connect("/echo", additional_headers={"authorization": f"Bearer {good}x"}):
                pass
        found = await scrape(app)
    assert {key[1][1]: value for key, value in found.items() if key[0] == "signalpost_auth_total"} == {
        "user": 1,
        "guest": 1,
        "refused": 1,
    }
    assert of(found, "handshakes_total", outcome="401") == 1


async def test_a_client_that_comes_back_is_counted_with_what_it_had_missed():
    async with serve(APP) as app, app.connect("/chat") as ada:
        async with app.connect("/chat", subprotocols=["signalpost.v1"]) as bob:
            at = (await bob.receive_json())["welcome"]["at"]
        for number in range(3):
            await ada.send(str(number))
            await ada.receive()
        async with app.connect(f"/chat?at={at}", subprotocols=["signalpost.v1"]) as bob:
            await bob.receive_json()
            found = await scrape(app)
    assert of(found, "recoveries_total", signal="/chat", outcome="whole") == 1
    assert of(found, "recovered_values_total", signal="/chat") == 3


async def test_gaps_are_counted_by_why_values_are_missing():
    async with serve(APP.replace("history: 10", "history: 2")) as app, app.connect("/chat") as ada:
        async with app.connect("/chat", subprotocols=["signalpost.v1"]) as bob:
            at = (await bob.receive_json())["welcome"]["at"]
        for number in range(5):
            await ada.send(str(number))
            await ada.receive()
        for shown in (at, "of-another-server:1"):
            async with app.connect(f"/chat?at={shown}", subprotocols=["signalpost.v1"]) as bob:
                while "gap" not in await bob.receive_json():
                    pass
        found = await scrape(app)
    assert of(found, "gaps_total", why="too-old") == 1
    assert of(found, "gaps_total", why="lost") == 1


async def test_clients_choose_no_label():
    async with serve(APP) as app, app.connect("/chat") as ada, app.connect("/rooms/blue") as bob:
        for number in range(30):
            path = f"/undeclared/{number}"
            async with app.connect(f"/rooms/{number}") as one, app.connect(path) as two:
                await one.send("hi")
                await one.receive()
                await two.send("hi", path=path)
                await two.receive()
                await bob.send(f"{number}", path=f"/nobody/is/here/{number}")
                await ada.send("hi", path=f"/rooms/{number}")
                await one.receive()
        found = await scrape(app)
    told = {key for key in found if key[0].startswith("signalpost_") and "build" not in key[0]}
    labels = {value for _, *pairs in told for _, value in pairs}
    declared = {"/chat", "/rooms/<room>", "/echo", "undeclared", "none", "live"}
    words = {"plain", "accepted", "deliver", "done", "failed", "1000", "1005", "lost", "slow", "too-old"}
    assert labels <= declared | words
    assert of(found, "messages_total", signal="undeclared", outcome="deliver") == 30
    assert of(found, "broadcasts_total", signal="undeclared") == 60
    assert of(found, "broadcasts_total", signal="/rooms/<room>") == 60


async def test_every_series_is_there_for_signals_that_are_declared_at_once():
    async with serve(APP) as app:
        found = await scrape(app)
    for signal in ("/chat", "/rooms/<room>", "/echo"):
        assert of(found, "broadcasts_total", signal=signal) == 0


async def test_a_node_says_of_its_backplane_whether_it_is_there():
    text = f"{APP}backplane: redis://127.0.0.1/0\n"
    async with serve(text) as app, app.connect("/echo") as other, app.connect("/chat") as ada:
        assert of(await scrape(app), "clients", signal="/echo", endpoint="live", dialect="plain") == 1
        await other.close()
        await ada.send("hello")
        assert await ada.receive() == "hello"
        found = await scrape(app)
        assert of(found, "backplane_up") == 1
        assert of(found, "backplane_missed_total") == 0
        assert of(found, "broadcasts_total", signal="/chat") == 1
        assert of(found, "deliveries_total", signal="/chat") == 1


async def test_a_delivery_of_a_node_without_its_backplane_counts_once():
    backplane = MemoryBackplane(MemoryServer())
    text = f"{APP}backplane: {{url: redis://127.0.0.1/0, patience: 0}}\n"
    async with serve(text, seams=Seams(backplane=backplane)) as app, app.connect("/rooms/blue") as ada:
        backplane.cut()
        for _ in range(2):  # the first one still waits for the backplane
            await ada.send("hello")
            assert await ada.receive() == "hello"
        found = await scrape(app)
    assert of(found, "backplane_up") == 0
    assert of(found, "broadcasts_total", signal="/rooms/<room>") == 2
    assert of(found, "deliveries_total", signal="/rooms/<room>") == 2


class Elsewhere(LocalBroker):
    """A broker that has other nodes, and delivers at once nevertheless."""

    alone = False


async def test_a_delivery_by_a_broker_with_other_nodes_counts_once():
    async with serve(APP, seams=Seams(broker=Elsewhere())) as app, app.connect("/rooms/blue") as ada:
        await ada.send("hello")
        assert await ada.receive() == "hello"
        found = await scrape(app)
    assert of(found, "deliveries_total", signal="/rooms/<room>") == 1


async def test_without_monitor_nothing_is_counted():
    async with serve(ENDPOINTS + REST) as app, app.connect("/chat") as ada:
        node = app.server.node
        await ada.send("hello")
        assert await ada.receive() == "hello"
        assert node.observer is None
        assert not node.counts.on
        assert not any(each.messages or each.broadcasts for each in node.counts.signals.values())
        assert node.broadcaster.publish != node.publish
        assert (await fetch(app)).status_code == 404


async def test_a_reload_begins_and_ends_to_count_and_sums_stay():
    without = ENDPOINTS + REST
    async with serve(without) as app, app.connect("/chat") as ada:
        await ada.send("unheard")
        await ada.receive()
        await app.reload(APP)
        await ada.send("heard")
        await ada.receive()
        assert of(await scrape(app), "messages_total", signal="/chat", outcome="deliver") == 1
        await app.reload(without)
        assert (await fetch(app)).status_code == 404
        await ada.send("unheard again")
        await ada.receive()
        await app.reload(APP.replace("monitor", "undeclared: refuse\nmonitor"))
        await ada.send("heard again")
        await ada.receive()
        found = await scrape(app)
        assert of(found, "messages_total", signal="/chat", outcome="deliver") == 2
        assert of(found, "reloads_total", outcome="done") == 2


async def test_a_signal_that_a_reload_renames_keeps_its_clients_sums_apart():
    async with serve(APP) as app, app.connect("/rooms/blue") as ada:
        await ada.send("one")
        await ada.receive()
        await app.reload(APP.replace("/rooms/<room>", "/rooms/<name>"))
        await ada.send("two")
        await ada.receive()
        found = await scrape(app)
    assert of(found, "messages_total", signal="/rooms/<room>", outcome="deliver") == 1
    assert of(found, "messages_total", signal="/rooms/<name>", outcome="deliver") == 1
    assert of(found, "broadcasts_total", signal="/rooms/<name>") == 1


class Hearing(Observer):
    def __init__(self):
        self.heard = []

    def received(self, _client, path, outcome):
        self.heard.append((path, outcome))

    def connected(self, _client, path):
        self.heard.append((path, "connected"))


async def test_an_observer_of_the_program_is_still_notified():
    observer = Hearing()
    async with serve(APP, seams=Seams(observer=observer)) as app, app.connect("/chat") as ada:
        await ada.send("hello")
        await ada.receive()
        assert observer.heard == [("/chat", "connected"), ("/chat", "deliver")]
        assert of(await scrape(app), "messages_total", signal="/chat", outcome="deliver") == 1


async def test_a_scrape_lets_the_loop_turn_between_clients(monkeypatch):
    monkeypatch.setattr("signalpost.signals.counts._SLICE", 1)
    async with serve(APP) as app, app.connect("/chat"), app.connect("/echo"), app.connect("/rooms/blue"):
        found = await scrape(app)
    assert sum(value for (name, *_), value in found.items() if name == "signalpost_clients") == 3


async def test_metrics_without_their_package_are_refused_at_their_place(monkeypatch, tmp_path):
    monkeypatch.setattr("signalpost.config.monitor.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'signalpost\[metrics\]'"):
        async with serve(APP, folder=tmp_path):
            pass


async def test_promtool_has_nothing_to_say_against_a_scrape():
    async with serve(APP) as app, app.connect("/chat") as ada:
        await ada.send("hello")
        await ada.receive()
        text = (await fetch(app)).text
    if shutil.which("promtool") is None:
        reason = "there is no promtool on the PATH (Debian: apt install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    pipe = asyncio.subprocess.PIPE
    promtool = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=pipe, stdout=pipe, stderr=pipe
    )
    said, complaints = await promtool.communicate(text.encode())
    assert (promtool.returncode, said, complaints) == (0, b"", b"")
