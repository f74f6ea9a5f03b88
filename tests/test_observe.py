"""The debug log: what `signalpost run --log-level debug` says of what happens."""

import logging

from signalpost.node import Seams
from signalpost.observe import DebugLog, Observer
from signalpost.testing import ManualClock, serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /chat}]
timers: [{name: tick, every: 1s, do: [{broadcast: {value: tock}}]}]
"""


async def test_the_debug_log_has_a_line_for_what_a_server_does(caplog):
    caplog.set_level(logging.DEBUG, logger="signalpost.observe")
    async with serve(APP, seams=Seams(observer=DebugLog()), clock=ManualClock()) as app, app.connect("/chat") as ada:
        await ada.send("hello")
        assert await ada.receive() == "hello"
        await app.advance("1s")
        assert await ada.receive() == "tock"
        lines = [record.getMessage().replace(ada.id, "ada") for record in caplog.records]
    assert lines == [
        "client ada connected on /chat",
        "a message of client ada on /chat: deliver",
        "5 bytes to /chat for 1 clients, 0 too slow",
        "4 bytes to everyone for 1 clients, 0 too slow",
        *(line for line in lines if line.startswith("job tick was done after")),
    ]
    assert len(lines) == 5


def test_the_debug_log_has_a_line_for_all_that_an_observer_hears():
    heard = {name for name in vars(Observer) if not name.startswith("_")}
    assert heard == {name for name in vars(DebugLog) if not name.startswith("_")}
