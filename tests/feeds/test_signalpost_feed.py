"""A feed from another signalpost server: its envelope is read, and what was missed is recovered."""

from contextlib import asynccontextmanager

import pytest

from signalpost.feeds.envelope import Envelopes
from signalpost.testing import serve

SOURCE = """
endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}]
signals: [{{path: /news, rebroadcast: path, history: {{keep: {keep}, replay: 1}}}}]
history: {{file: history.db}}
limits: {{drain: 1s}}
"""
RELAY = """
feeds:
  - name: news
    url: {url}/news?lang=en
    subprotocols: signalpost.v1
    broadcast: {{value: ["{{{{ message }}}}", "{{{{ data.path }}}}"], path: /relayed}}
"""


@asynccontextmanager
async def writing(port, folder, keep=100):
    """Run the source, and give what writes a value there."""
    async with serve(SOURCE.format(port=port, keep=keep), folder=folder) as source, source.connect("/news") as writer:

        async def write(value):
            await writer.send(value)
            await writer.receive()

        yield write


async def test_values_are_relayed_and_those_of_a_restart_are_recovered(run_app, time, tmp_path, free_port, told):
    async with run_app(RELAY.format(url=f"ws://127.0.0.1:{free_port}")) as app, app.connect("/relayed") as ada:
        await time.waited()
        async with writing(free_port, tmp_path) as write:
            await write("before all")
            time.let_go()
            assert await ada.receive_json() == ["before all", "/news"]
            await write({"n": 1})
            assert await ada.receive_json() == [{"n": 1}, "/news"]
        assert await time.waited() == 1.0  # the half second that its goodbye asks for, and half a second
        async with writing(free_port, tmp_path) as write:
            for number in range(2, 5):
                await write({"n": number})
            time.let_go()
            assert [await ada.receive_json() for _ in range(3)] == [[{"n": number}, "/news"] for number in range(2, 5)]
            await write("again")
            assert await ada.receive_json() == ["again", "/news"]
    assert [line for line in told() if line.endswith("/news (signalpost.v1)")]


async def test_what_cannot_be_recovered_is_told(run_app, time, tmp_path, free_port, told):
    async with run_app(RELAY.format(url=f"ws://127.0.0.1:{free_port}")) as app, app.connect("/relayed") as ada:
        await time.waited()
        async with writing(free_port, tmp_path, keep=2) as write:
            await write("first")
            time.let_go()
            assert await ada.receive_json() == ["first", "/news"]
        await time.waited()
        async with writing(free_port, tmp_path, keep=2) as write:
            for number in range(10):
                await write({"n": number})
            time.let_go()
            assert await ada.receive_json() == [{"n": 9}, "/news"]  # replayed behind the gap
    assert [line for line in told() if "values are missing here, and cannot be had any more (too-old)" in line]


async def test_frames_that_are_no_signals_reach_no_list(run_app, another, told):
    elsewhere = await another(subprotocols=["signalpost.v1"])
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/relayed") as ada:
        feed = await elsewhere.accept()
        for frame in (
            '{"welcome":{"clientId":"x","path":"/news","session":"s","at":"p:1","missed":0}}',
            '{"ack":{"ref":1}}',
            '{"presence":{"path":"/news","version":1,"count":1}}',
            '{"alive":{}}',
            '{"error":{"code":"bad-message","pointer":"","detail":"no\\nmessage"}}',
            '{"lagged":{"missed":39}}',
            '{"signal":{"path":"/news"}}',
            '{"signal":[1]}',
            '{"bye":{"retry_ms":"soon"}}',
            '{"gap":5}',
            '{"unknown":{}}',
            "[1]",
            "no JSON",
            "",
            "[" * 100_000,
        ):
            await feed.send(frame)
        await feed.send('{"signal":{"path":"/news","value":"at last","at":7}}')
        assert await ada.receive_json() == ["at last", "/news"]
        assert app.server.feeds.status("news").messages == 1
    lines = told()
    assert [line for line in lines if "refused what was sent: bad-message: no\ufffdmessage" in line]
    assert [line for line in lines if "values were left out (39), since they were not handled fast enough" in line]


async def test_a_feed_whose_server_does_not_choose_the_envelope_has_messages_as_they_are(run_app, elsewhere):
    text = RELAY.format(url=elsewhere.url).replace("data.path", "data.signal.path")
    async with run_app(text) as app, app.connect("/relayed") as ada:
        feed = await elsewhere.accept()
        await feed.send('{"signal":{"path":"/news","value":1}}')
        assert await ada.receive_json() == [{"signal": {"path": "/news", "value": 1}}, "/news"]


@pytest.fixture
def envelopes():
    return Envelopes(lambda _: None)


URL = "ws://x/news?at=mine&lang=en"


@pytest.mark.parametrize(
    ("frames", "position"),
    [
        ([], None),
        (['{"welcome":{"at":"p:1"}}'], "p:1"),
        (['{"welcome":{"at":"p:1"}}', '{"welcome":{"at":"p:9","missed":3}}'], "p:1"),
        (['{"welcome":{"at":"p:1"}}', '{"welcome":{"at":"p:9","missed":0}}'], "p:9"),
        (['{"signal":{"at":"p:1","value":1}}', '{"signal":{"value":2}}'], "p:1"),
        (['{"signal":{"at":"p:1","value":1}}', '{"gap":{"at":"q:5","why":"lost"}}'], "q:5"),
        (['{"signal":{"at":"p:1","value":1}}', '{"gap":{"at":null,"why":"lost"}}'], None),
        (['{"ack":{"ref":1,"at":"p:1"}}'], None),
        ([f'{{"signal":{{"at":"{"p" * 500}","value":1}}}}'], None),
    ],
)
def test_the_position_is_that_of_what_was_read_last(envelopes, frames, position):
    for frame in frames:
        envelopes.read(frame)
    asked = URL if position is None else f"ws://x/news?lang=en&at={position.replace(':', '%3A')}"
    assert envelopes.url(URL) == asked


def test_a_position_is_no_part_of_the_address_but_a_value_in_it(envelopes):
    envelopes.read('{"signal":{"at":"a&b=c#/..é","value":1}}')
    assert envelopes.url("ws://x") == "ws://x?at=a%26b%3Dc%23%2F..%C3%A9"
