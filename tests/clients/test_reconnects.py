"""A connection that breaks: when a client comes back, with what, and when it does not.

The clock of the driver stands until the test moves it, so what is compared is the wait that was chosen.
"""

import socket as sockets

import pytest
from drivers import FailedError

from signalpost.testing import serve

HISTORY = """
signals:
  - {path: /p, rebroadcast: path, history: {keep: 3}}
"""


def closed_port():
    """Return a port that nobody listens on."""
    with sockets.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def chosen_wait(driver, closed=None):
    """Let the time come at which the client tries again; return how long that is after the connection has ended."""
    closed = closed or await driver.next("close")
    return (await driver.advance(seconds=1000, until="connecting"))["now"] - closed["now"]


async def welcomed(driver, scripted, **more):
    socket = await scripted.accept()
    await socket.welcome(**more)
    await driver.next("welcome")
    return socket


@pytest.fixture
async def opened(driver, scripted):
    """Open a path with a clock, and welcome it."""
    await driver.clock(random=0.5)
    await driver.open("r", url=scripted.url, path="/p")
    return await welcomed(driver, scripted, at="e:0:0", missed=0)


@pytest.mark.parametrize(
    ("random", "waits"),
    [
        pytest.param(0, [0.5] * 6, id="the least"),
        pytest.param(0.5, [1.25, 2.25, 4.25, 8.25, 10.25, 10.25], id="the middle"),
        pytest.param([0, 1], [0.5, 4, 0.5, 16, 0.5, 20], id="both ends"),
    ],
)
async def test_waits_are_drawn_from_a_bound_that_doubles(driver, scripted, random, waits):
    await driver.clock(random=random)
    await driver.open("r", url=f"ws://127.0.0.1:{closed_port()}", path="/p")
    assert [await chosen_wait(driver) for _ in waits] == waits


async def test_a_server_that_accepts_and_drops_at_once_does_not_reset_the_waits(driver, opened, scripted):
    await opened.drop()
    waits = [await chosen_wait(driver)]
    for _ in range(2):
        await (await scripted.accept()).drop()
        waits.append(await chosen_wait(driver))
    assert waits == [1.25, 2.25, 4.25]


async def test_a_welcome_resets_the_waits(driver, opened, scripted):
    await opened.drop()
    await chosen_wait(driver)
    await (await scripted.accept()).drop()
    assert await chosen_wait(driver) == 2.25
    await (await welcomed(driver, scripted)).drop()
    assert await chosen_wait(driver) == 1.25


@pytest.mark.parametrize(("wish", "wait"), [(100, 1.25), (30_000, 45.0), (10**9, 450.0)])
async def test_what_the_server_asks_for_is_a_floor_of_at_most_five_minutes(driver, opened, wish, wait):
    await opened.say(bye={"retry_ms": wish})
    assert (await driver.next("bye"))["retry_ms"] == wish
    await opened.close(1012)
    assert await chosen_wait(driver) == wait


@pytest.mark.parametrize("code", [1008, 4009, 4403, 4410])
async def test_a_client_that_was_sent_away_stays_away(driver, opened, code):
    asking = driver.begin("ask", "r", message={"message": "hi"})
    await opened.read()
    await opened.close(code, "no more of this")
    assert (await driver.next("close"))["code"] == code
    assert (await driver.next("state", name="closed"))["reason"] == "no more of this"
    with pytest.raises(FailedError) as failed:
        await asking
    assert failed.value.code == "closed"
    await driver.advance(seconds=600)
    assert driver.events("state")[-1]["name"] == "closed"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4008])
async def test_after_any_other_end_a_client_comes_back(driver, opened, scripted, code):
    await opened.close(code)
    closed = await driver.next("close")
    assert closed["code"] == code
    assert await chosen_wait(driver, closed) == 1.25
    await scripted.accept()


async def test_a_refused_token_is_replaced_at_once_and_then_with_the_waits(driver, scripted):
    await driver.clock(random=0.5)
    await driver.open("r", url=scripted.url, path="/p", tokens=["first", "second", "third"])
    socket = await scripted.accept()
    assert socket.bearer == "first"
    await socket.close(4401)
    socket = await scripted.accept()
    assert socket.bearer == "second"
    await driver.next("close")
    await socket.close(4401)
    assert await chosen_wait(driver) in (1.25, 2.25)
    socket = await scripted.accept()
    assert socket.bearer == "third"
    await socket.welcome()
    await driver.next("welcome")
    await socket.close(4401)
    assert (await scripted.accept()).bearer == "third"  # at once again
    assert "first" not in socket.query


async def test_protocol_session_and_token_are_offered_in_this_order(driver, scripted):
    await driver.clock()
    await driver.open("r", url=scripted.url, path="/p", tokens=["t"])
    socket = await welcomed(driver, scripted, session="abc")
    assert socket.protocols == ["signalpost.v1", "signalpost.bearer.t"]
    await socket.drop()
    await chosen_wait(driver)
    socket = await scripted.accept()
    assert socket.protocols == ["signalpost.v1", "signalpost.session.abc", "signalpost.bearer.t"]


# Positions


async def come_back(driver, scripted, socket):
    await socket.drop()
    await chosen_wait(driver)
    return await scripted.accept()


async def test_the_position_is_that_of_the_last_value_or_gap_and_never_of_an_ack(driver, opened, scripted):
    socket = await come_back(driver, scripted, opened)
    assert (socket.query, socket.session) == ("at=e%3A0%3A0", "s")
    await socket.welcome(at="e:2:2", recovered=True, missed=2)
    await driver.next("welcome")
    socket = await come_back(driver, scripted, socket)
    assert socket.query == "at=e%3A0%3A0"  # the values on the way there have not come
    await socket.welcome(at="e:2:2", recovered=True, missed=2)
    await socket.say(signal={"path": "/p", "value": 1, "at": "e:1:1"})
    await socket.say(ack={"ref": 1, "at": "e:9:9"})
    await socket.say(signal={"path": "/everywhere", "value": 1})
    await driver.next("signal", path="/everywhere")
    socket = await come_back(driver, scripted, socket)
    assert socket.query == "at=e%3A1%3A1"
    await socket.welcome(at="e:8:8", recovered=False, missed=0)
    await socket.say(gap={"path": "/p", "at": "e:7:7", "why": "too-old"})
    await driver.next("gap")
    socket = await come_back(driver, scripted, socket)
    assert socket.query == "at=e%3A7%3A7"
    assert [each["why"] for each in driver.events("gap")] == ["too-old"]


async def test_a_gap_that_names_no_position_leaves_the_position_as_it_was(driver, opened, scripted):
    socket = await come_back(driver, scripted, opened)
    await socket.welcome(at="e:1:1", recovered=True, missed=1)
    await socket.say(signal={"path": "/p", "value": 1, "at": "e:1:1"})
    await socket.say(gap={"path": "/p", "why": "lost"})  # of values that are not kept
    assert (await driver.next("gap"))["why"] == "lost"
    socket = await come_back(driver, scripted, socket)
    assert socket.query == "at=e%3A1%3A1"


async def test_a_gap_whose_position_is_null_leaves_none_to_bring(driver, opened, scripted):
    socket = await come_back(driver, scripted, opened)
    await socket.welcome(at="e:9:9", recovered=False, missed=2)
    await socket.say(gap={"path": "/p", "at": None, "why": "slow"})
    await driver.next("gap")
    assert (await come_back(driver, scripted, socket)).query == ""


async def test_a_position_stands_beside_the_query_of_the_app(driver, scripted):
    await driver.clock()
    await driver.open("r", url=scripted.url, path="/p", query={"name": "Ada"})
    socket = await welcomed(driver, scripted, at="e:1:1", missed=0)
    assert socket.query == "name=Ada"
    assert (await come_back(driver, scripted, socket)).query == "name=Ada&at=e%3A1%3A1"


async def test_who_comes_back_to_a_path_without_history_is_told_that_something_may_be_missing(driver, scripted):
    await driver.clock()
    await driver.open("r", url=scripted.url, path="/p")
    socket = await welcomed(driver, scripted)
    assert driver.events("gap") == []
    await (await come_back(driver, scripted, socket)).welcome()
    gap = await driver.next("gap")
    assert (gap["path"], gap["why"]) == ("/p", "unknown")


@pytest.fixture
async def restart(driver, tmp_path):
    """Run a server, open it, restart it, and have something said before the driver is back; return what it says."""

    async def run(text, said):
        port = closed_port()
        routes = f"endpoints: [{{name: live, address: 127.0.0.1, port: {port}, protocol: ws, origins: [http://page.test]}}]\n"
        await driver.clock()
        async with serve(routes + text, folder=tmp_path) as first:
            await driver.open("r", url=first.url("live"), path="/p")
            await driver.next("welcome")
            await driver.ask("r", message={"message": "before"})
            await driver.next("signal", value="before")
        await driver.next("state", name="waiting")
        async with serve(routes + text, folder=tmp_path) as second, second.connect("/p") as other:
            for each in said:
                await other.send(each)
                await other.receive()
            await driver.advance(seconds=10, until="connecting")
            return await driver.next("welcome")

    return run


async def test_after_a_restart_with_a_file_what_was_missed_comes_and_nothing_else(driver, restart):
    welcome = await restart("history: {file: history.db}\n" + HISTORY, ["a", "b"])
    await driver.next("signal", value="b")
    assert (welcome["recovered"], welcome["missed"]) == (True, 2)
    assert [each["value"] for each in driver.events("signal")] == ["before", "a", "b"]
    assert driver.events("gap") == []


async def test_after_a_restart_without_a_file_a_gap_says_that_all_is_lost(driver, restart):
    await restart(HISTORY, ["a"])
    assert (await driver.next("gap"))["why"] == "lost"


async def test_what_is_not_kept_any_more_is_a_gap(driver, restart):
    await restart("history: {file: history.db}\n" + HISTORY, ["a", "b", "c", "d", "e"])
    assert (await driver.next("gap"))["why"] == "too-old"


# Questions


async def test_a_question_is_repeated_with_the_same_once_until_it_is_answered(driver, opened, scripted):
    asking = driver.begin("ask", "r", message={"message": "hi"})
    first = await opened.read()
    assert 0 < len(first["once"]) <= 64
    socket = await come_back(driver, scripted, opened)
    await socket.welcome()
    again = await socket.read()
    assert (again["message"], again["once"]) == ("hi", first["once"])
    await socket.say(ack={"ref": again["ref"], "again": True})
    answer = await asking
    assert (answer["kind"], answer["again"]) == ("ack", True)


async def test_a_question_waits_for_the_connection_and_is_done_once(driver, opened, scripted):
    await opened.drop()
    closed = await driver.next("close")
    asking = driver.begin("ask", "r", message={"message": "hi"})
    await chosen_wait(driver, closed)
    socket = await welcomed(driver, scripted)
    await socket.say(reply={"ref": (await socket.read())["ref"], "value": 5})
    assert (await asking)["value"] == 5


async def test_two_questions_have_different_onces(driver, opened):
    asking = [driver.begin("ask", "r", message={"message": "hi"}) for _ in range(2)]
    one, other = await opened.read(), await opened.read()
    assert one["once"] != other["once"]
    for each in (other, one):
        await opened.say(ack={"ref": each["ref"]})
    for each in asking:
        await each


async def test_a_question_without_an_answer_fails_in_time(driver, opened):
    asking = driver.begin("ask", "r", message={"message": "hi"}, timeout=5)
    await opened.read()
    await driver.advance(seconds=4.9)
    assert not asking.done()
    await driver.advance(seconds=0.2)
    with pytest.raises(FailedError) as failed:
        await asking
    assert failed.value.code == "timeout"


async def test_a_question_at_a_closed_room_fails(driver, opened):
    asking = driver.begin("ask", "r", message={"message": "hi"})
    await opened.read()
    await driver.close("r")
    for each in (asking, driver.begin("ask", "r", message={"message": "hi"})):
        with pytest.raises(FailedError) as failed:
            await each
        assert failed.value.code == "closed"


# Dead lines


async def test_a_quiet_line_is_asked_for_a_sign_of_life_and_stays(driver, opened):
    for number in range(5):
        await driver.advance(seconds=20)
        assert await opened.read() is None
        await opened.say(alive={})
        await opened.say(signal={"path": "/p", "value": number})
        await driver.next("signal", value=number)
    assert driver.events("close") == []


async def test_a_dead_line_is_given_up_and_opened_again(driver, opened, scripted):
    await driver.advance(seconds=20)
    assert await opened.read() is None
    await driver.advance(seconds=60, until="connecting")
    await welcomed(driver, scripted)
    assert [each["name"] for each in driver.events("state") if each["name"] == "connected"] == ["connected"] * 2


async def test_a_server_that_says_nothing_at_all_is_given_up(driver, scripted):
    await driver.clock(random=0)
    await driver.open("r", url=scripted.url, path="/p")
    await scripted.accept()
    await driver.next("state", name="connecting")
    await driver.advance(seconds=30, until="waiting")
    assert await chosen_wait(driver) == 0.5
    await scripted.accept()


async def test_a_room_is_opened_again_at_once_if_it_is_told_to(driver, opened, scripted):
    await opened.drop()
    await driver.next("state", name="waiting")
    await driver.reconnect("r")
    await welcomed(driver, scripted)
