"""`signalpost.testing`: events without a server, jobs on demand, and a clock that the test moves."""

from datetime import UTC, datetime

import pytest

from signalpost import FeedEvent, RouteEvent, SignalEvent, TickEvent
from signalpost.testing import ManualClock, Sent, feed_event, route_event, sent, serve, signal_event, tick_event

ROUTES = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
TICKS = """
from signalpost import schedule, timer

@timer("tick", every="10m")
async def tick(event):
    event.state["ticks"] = [*event.state.get("ticks", []), event.due.isoformat()]

@schedule("noon", cron="0 12 * * *", timezone="UTC")
async def noon(event):
    event.state["noons"] = event.state.get("noons", 0) + 1
"""


async def test_a_handler_is_called_with_an_event_of_the_test_s_and_what_it_sends_is_noted():
    async def shout(event: SignalEvent) -> None:
        event.client.join("loud")
        event.state.increment("heard")
        event.reply(event.settings["greeting"])
        event.broadcast(event.data.message.upper(), path=event.data.path)

    event = signal_event("hello", wished_path="/all", settings={"greeting": "hi"}, colour="red", headers={"X-A": "1"})
    await shout(event)
    assert sent(event) == [Sent("hi", to="sender"), Sent("HELLO", path="/all")]
    assert (event.state["heard"], event.client.groups) == (1, {"loud"})
    assert event.data.document == {"message": "hello", "path": "/all", "colour": "red"}
    assert event.request.headers["x-a"] == "1"


async def test_an_event_of_a_request_has_what_handlers_ask_for():
    async def publish(event: RouteEvent) -> dict[str, object]:
        event.broadcast(event.request.json["text"])
        return {"to": event.query["to"], "by": event.request.headers["x-by"], "room": event.params["room"]}

    event = route_event({"text": "hi"}, path="/p/7", params={"room": 7}, query={"to": "all"}, headers={"X-By": "ann"})
    assert await publish(event) == {"to": "all", "by": "ann", "room": 7}
    assert sent(event) == [Sent("hi")]


async def test_an_event_of_a_job_has_its_arguments():
    async def tick(event: TickEvent) -> None:
        event.broadcast(event.arguments["text"], group="all")

    event = tick_event(arguments={"text": "now"})
    await tick(event)
    assert sent(event) == [Sent("now", group="all")]
    with pytest.raises(TypeError, match="is not changed"):
        event.arguments["text"] = "then"


@pytest.mark.parametrize(
    ("message", "text"),
    [({"price": 1}, '{"price":1}'), ("hello", "hello"), (b"\x00", "")],
    ids=["JSON", "text", "binary"],
)
async def test_an_event_of_a_feed_has_its_message_and_takes_answers(message, text):
    async def quotes(event: FeedEvent) -> None:
        event.broadcast([event.name, event.text], path="/prices")
        await event.send(event.message)

    answers = []
    event = feed_event(message, name="quotes", answers=answers)
    await quotes(event)
    assert sent(event) == [Sent(["quotes", text], path="/prices")]
    assert answers == [message]


async def test_a_test_runs_a_job_when_it_wants():
    async with serve(ROUTES, plugins={"ticks": TICKS}) as app:
        assert await app.run_job("noon")
        assert app.server.jobs.status("noon").runs == 0  # nothing of the series
        with pytest.raises(LookupError, match='did you mean "noon"'):
            await app.run_job("moon")


async def test_time_passes_as_the_test_says_and_every_run_on_the_way_is_done():
    clock = ManualClock(datetime(2030, 6, 1, 11, 30, tzinfo=UTC))
    async with serve(ROUTES, plugins={"ticks": TICKS}, clock=clock) as app:
        await app.advance("29m")
        state = app.server.node.shared.state
        assert state["ticks"] == ["2030-06-01T11:40:00+00:00", "2030-06-01T11:50:00+00:00"]
        assert "noons" not in state
        await app.advance(60)
        assert (len(state["ticks"]), state["noons"]) == (3, 1)
        await app.advance("2d")
        assert (len(state["ticks"]), state["noons"]) == (3 + 2 * 144, 3)
        assert clock.now == datetime(2030, 6, 3, 12, 0, tzinfo=UTC)


async def test_time_that_passes_by_itself_is_not_moved():
    async with serve(ROUTES) as app:
        with pytest.raises(RuntimeError, match=r"clock=ManualClock\(\)"):
            await app.advance(1)
