"""Tests of apps with a backplane need no Redis."""

from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
backplane: redis://nowhere.invalid/0
signals: [{path: /kept, rebroadcast: path, history: 10}]
"""


async def test_an_app_under_test_has_a_backplane_of_its_own_in_memory(caplog):
    async with serve(APP) as app, app.connect("/kept") as ann, serve(APP) as other, other.connect("/kept") as bob:
        await ann.send("hi")
        await bob.send("ho")
        assert [await ann.receive(), await bob.receive()] == ["hi", "ho"]
    assert not caplog.records
