"""An observer from outside hears all that can be counted."""

from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.testing import ManualClock, serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /chat}, {path: /do, do: [{reply: {value: "{{ message }}"}}]}]
timers: [{name: tick, every: 1s, do: [{broadcast: {value: tock}}]}]
undeclared: refuse
"""


class Counting(Observer):
    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        if name in vars(Observer) and not name.startswith("_"):
            return lambda *args, **_: self.heard.append((name, *args[1:]))
        return super().__getattribute__(name)


async def story(observer):
    async with (
        serve(APP, seams=Seams(observer=observer), clock=ManualClock()) as app,
        app.connect("/chat") as ada,
        app.connect("/do") as bob,
    ):
        await ada.send("hello")
        assert [await ada.receive(), await bob.receive()] == ["hello", "hello"]
        await bob.send("hi")
        assert await bob.receive() == "hi"
        await ada.send_raw("no JSON")
        assert "error" in await ada.receive()
        await app.advance("1s")
        assert await ada.receive() == "tock"
        await app.reload(APP.replace("/do", "/done"))
        await ada.close()


async def test_an_observer_from_outside_hears_all_that_can_be_counted():
    observer = Counting()
    await story(observer)
    assert {"connected", "received", "published", "job_ran", "reloaded", "disconnected"} <= {
        name for name, *_ in observer.heard
    }
    assert ("received", "/chat", "deliver") in observer.heard
    assert ("received", "/chat", "bad-message") in observer.heard
    assert ("received", "/do", "act") in observer.heard
    assert ("published", 5, 2, 0) in observer.heard
