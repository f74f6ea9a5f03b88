"""What only a browser does: it loses its network, sleeps, keeps pages in a cache, loads them again, and has tabs."""

import pytest
from drivers import FailedError

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOM = """
signals:
  - {path: /p, rebroadcast: path, history: {keep: 100}, presence: true}
  - {path: /plain, rebroadcast: path}
  - {path: /answer, do: [{reply: {value: "{{ data.n }}"}}]}
"""


async def open_page(page, app, path="/p", room="r", **options):
    await page.open(room, url=app.url("live"), path=path, **options)
    return await page.next("welcome", room)


async def say(app, text, path="/p"):
    async with app.connect(path, endpoint="live") as other:
        await other.send(text)
        await other.receive()


async def test_the_browsers_word_is_taken_when_the_network_has_gone_and_comes_back(page, scripted):
    await page.open("r", url=f"ws://far.page.test:{scripted.port}", path="/p")
    await (await scripted.accept()).welcome()
    await page.next("state", name="connected")
    await page.offline(on=True)
    await page.next("state", name="offline")
    await page.offline(on=False)
    await (await scripted.accept()).welcome()
    await page.next("state", name="connected")


async def test_a_machine_without_a_network_still_reaches_itself(page, scripted):
    await page.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", name="connected")
    await page.offline(on=True)
    await page.present("r")  # what the browser had to say it has said
    assert [each["name"] for each in page.events("state")] == ["connecting", "connected"]
    await page.offline(on=False)


async def test_a_page_that_is_looked_at_again_does_not_sit_out_its_wait(page, scripted):
    await page.clock()
    await page.open("r", url=scripted.url, path="/p")
    await (await scripted.accept()).drop()
    await page.next("state", name="waiting")
    await page.looked_at()
    await (await scripted.accept()).welcome()
    await page.next("state", name="connected")


async def test_a_machine_that_wakes_up_asks_before_it_gives_up(make_driver, scripted):
    page = await make_driver("chromium", playwright_clock=True)
    await page.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", name="connected")
    await page.tick(seconds=20)
    assert await socket.read() is None
    await page.sleep(seconds=3600)  # what came meanwhile may be unread, so it is asked for how long it was awake
    await socket.say(alive={})
    await socket.say(signal={"path": "/p", "value": 1})
    await page.next("signal")
    await page.tick(seconds=10)
    assert page.events("close") == []


async def test_a_page_from_the_back_forward_cache_goes_on_where_it_was(page, app):
    async with app(ROOM) as running:
        first = await open_page(page, running)
        await page.ask("r", message={"message": "before"})
        await page.next("signal", value="before")
        assert await page.away() is True
        again = await page.next("welcome")
        assert (again["user"], again["recovered"]) == (first["user"], True)
        await say(running, "after")
        await page.next("signal", value="after")
    assert page.events("gap") == []


async def test_with_a_store_a_page_that_is_loaded_again_goes_on_where_it_was(page, app):
    async with app(ROOM) as running:
        first = await open_page(page, running, store=True)
        await page.ask("r", message={"message": "before"})
        await page.next("signal", value="before")
        assert await page.stored() == 0  # what is in use is not in the store
        await page.reload()
        assert await page.stored() == 1
        await say(running, "meanwhile")
        again = await open_page(page, running, store=True)
        await page.next("signal", value="meanwhile")
        assert await page.stored() == 0
    assert (again["user"], again["recovered"], again["missed"]) == (first["user"], True, 1)


async def test_without_a_store_a_page_that_is_loaded_again_is_a_new_one(page, app):
    async with app(ROOM) as running:
        first = await open_page(page, running)
        await page.reload()
        again = await open_page(page, running)
    assert again["user"] != first["user"]
    assert "recovered" not in again


async def test_a_page_asks_the_server_it_came_from_where_websockets_are(page, web, scripted):
    web.known = {"url": scripted.url, "endpoints": {}}
    await page.open("r", url=web.url, path="//elsewhere/p")
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", name="connected")


# Tabs


async def test_two_tabs_share_one_connection_and_all_that_comes(page, scripted):
    await page.open("one", url=scripted.url, path="/p", shared=True)
    socket = await scripted.accept()
    await socket.welcome(user="ann")
    await page.next("state", "one", name="connected")
    await page.page(page="second")
    await page.open("two", url=scripted.url, path="/p", shared=True)
    assert (await page.next("welcome", "two"))["late"] is True
    assert (await socket.read())["signalpost"] == {"presence": {}}
    await socket.say(signal={"path": "/p", "value": 1})
    await socket.say(gap={"path": "/p", "why": "slow", "at": None})
    for room in ("one", "two"):
        assert (await page.next("signal", room))["value"] == 1
        await page.next("gap", room)
    assert scripted.arrived.empty()


async def test_an_answer_goes_to_the_tab_that_asked(page, scripted):
    await page.open("one", url=scripted.url, path="/p", shared=True)
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", "one", name="connected")
    await page.page(page="second")
    await page.open("two", url=scripted.url, path="/p", shared=True)
    await page.next("state", "two", name="connected")
    asking = page.begin("ask", "two", message={"message": "hi"})
    await socket.say(reply={"ref": (await socket.read())["ref"], "value": 5})
    assert (await asking)["value"] == 5
    await socket.say(signal={"path": "/p", "value": "last"})
    await page.next("signal", "one", value="last")
    assert page.events("reply", room="one") == []
    sign = page.begin("alive", "two")
    assert await socket.read() is None
    await socket.say(alive={})
    await sign


async def test_the_last_tab_closes_the_connection(page, scripted):
    await page.open("one", url=scripted.url, path="/p", shared=True)
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", "one", name="connected")
    await page.page(page="second")
    await page.open("two", url=scripted.url, path="/p", shared=True)
    await page.next("state", "two", name="connected")
    await page.close("two")
    await page.page(page="main")
    await socket.say(signal={"path": "/p", "value": 1})
    await page.next("signal", "one")
    await page.close("one")
    await socket.ended()
    assert page.events("signal", room="two") == []


async def test_tabs_whose_name_differs_share_nothing(page, scripted):
    for name in ("ann", "bob"):
        await page.open(name, url=scripted.url, path="/p", shared=name)
        await (await scripted.accept()).welcome()
        await page.next("state", name, name="connected")


async def test_a_token_of_a_shared_connection_comes_from_a_tab(page, scripted):
    await page.open("r", url=scripted.url, path="/p", shared=True, tokens=["a", "b"])
    socket = await scripted.accept()
    assert socket.bearer == "a"
    await socket.close(4401)
    assert (await scripted.accept()).bearer == "b"


async def test_where_there_is_no_shared_worker_a_tab_has_its_own(page, scripted):
    await page.without_workers()
    await page.open("r", url=scripted.url, path="/p", shared=True)
    await (await scripted.accept()).welcome()
    await page.next("state", name="connected")


async def test_a_tab_that_left_its_shared_connection_fails_its_questions(page, scripted):
    await page.open("r", url=scripted.url, path="/p", shared=True)
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", name="connected")
    asking = page.begin("ask", "r", message={"message": "hi"})
    await socket.read()
    await page.close("r")
    with pytest.raises(FailedError) as failed:
        await asking
    assert failed.value.code == "closed"


async def test_a_tab_from_the_cache_whose_connection_went_on_without_it_is_told_that_something_is_missing(
    page, scripted
):
    await page.open("one", url=scripted.url, path="/p", shared=True)
    socket = await scripted.accept()
    await socket.welcome()
    await page.next("state", "one", name="connected")
    await page.page(page="second")
    await page.open("two", url=scripted.url, path="/p", shared=True)
    await page.next("welcome", "two", late=True)
    await page.page(page="main")
    assert await page.away() is True
    assert (await page.next("gap", "one"))["why"] == "unknown"
    assert (page.events("gap", room="two"), scripted.arrived.empty()) == ([], True)


async def test_a_room_that_was_closed_stays_so_in_a_page_from_the_cache(page, scripted):
    await page.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome()
    await socket.close(4009)
    await page.next("state", name="closed")
    assert await page.away() is True
    await page.open("other", url=scripted.url, path="/other")
    await scripted.accept()
    assert page.events("state")[-1]["name"] == "closed"
    assert scripted.arrived.empty()


async def test_a_shared_connection_asks_a_tab_for_another_token_and_tells_all(page, scripted):
    await page.open("one", url=scripted.url, path="/p", shared=True, tokens=["first"])
    socket = await scripted.accept()
    await socket.welcome(user="ann", expires=70)
    await page.next("state", "one", name="connected")
    await page.page(page="second")
    await page.open("two", url=scripted.url, path="/p", shared=True, tokens=["second"])
    assert (await page.next("welcome", "two"))["user"] == "ann"
    assert (await socket.read())["signalpost"] == {"presence": {}}
    await page.page(page="main")
    await page.close("one")  # a tab that has gone answers nothing
    await socket.say(expiring={"in": 60})
    request = await socket.read()
    assert request["signalpost"] == {"token": "second"}
    await socket.say(error={"code": "forbidden", "detail": "no", "ref": request["ref"]})
    assert (await page.next("error", "two"))["code"] == "forbidden"
    await socket.say(signal={"path": "/p", "value": 1})
    await page.next("signal", "two")
    assert scripted.arrived.empty()
