"""A room that is open: values, messages and their answers, presence, history."""

import pytest
from drivers import FailedError

ROOM = """
signals:
  - path: /rooms/<room>
    rebroadcast: path
    history: {keep: 100, replay: 2}
    presence: {every: 0.1s}
    schema: {type: object, required: [message], properties: {message: {type: string, maxLength: 10}}}
  - {path: /answer, do: [{reply: {value: "{{ data.n }} times"}}]}
  - {path: /plain, rebroadcast: path}
"""


async def open_blue(driver, app, room="r"):
    await driver.open(room, url=app.url("live"), path="/rooms/<room>", params={"room": "blue"})
    return await driver.next("welcome", room)


async def test_a_message_comes_back_as_a_value_and_is_acked(driver, app):
    async with app(ROOM) as running:
        welcome = await open_blue(driver, running)
        answer = await driver.ask("r", message={"message": "hi"})
        signal = await driver.next("signal")
    assert welcome["path"] == "/rooms/blue"
    assert signal["value"] == "hi"
    assert (answer["kind"], answer["at"]) == ("ack", signal["at"])
    assert driver.events("ack", "error") == []


async def test_a_parameter_is_percent_encoded_into_the_path(driver, app):
    async with app(ROOM) as running:
        await driver.open("r", url=running.url("live"), path="/rooms/<room>", params={"room": "a/b ü?#%"})
        welcome = await driver.next("welcome")
    assert welcome["path"] == "/rooms/a%2Fb ü?#%"


async def test_the_query_of_the_app_reaches_the_server(driver, app):
    steps = 'signals: [{path: /p, connected: [{reply: {value: "{{ request.query.name }}"}}]}]'
    async with app(steps) as running:
        await driver.open("r", url=running.url("live"), path="/p", query={"name": "Ada & Eve"})
        assert (await driver.next("signal"))["value"] == "Ada & Eve"


async def test_a_reply_answers_the_message_that_asked(driver, app):
    async with app(ROOM) as running:
        await driver.open("r", url=running.url("live"), path="/answer")
        answers = [driver.begin("ask", "r", message={"message": "", "n": n}) for n in (1, 2)]
        values = [(await each)["value"] for each in answers]
    assert values == ["1 times", "2 times"]
    assert driver.events("reply") == []


async def test_a_refused_message_fails_with_code_pointer_and_detail(driver, app):
    async with app(ROOM) as running:
        await open_blue(driver, running)
        with pytest.raises(FailedError) as failed:
            await driver.ask("r", message={"message": "x" * 11})
    assert (failed.value.code, failed.value.pointer) == ("schema-mismatch", "/message")
    assert failed.value.detail


async def test_a_message_without_an_answer_is_sent_and_its_error_is_an_event(driver, app):
    async with app(ROOM) as running:
        await open_blue(driver, running)
        assert await driver.send("r", message={"message": "hi"}) is True
        assert (await driver.next("signal"))["value"] == "hi"
        await driver.send("r", message={"message": 5})
        assert (await driver.next("error"))["code"] == "schema-mismatch"


async def test_a_message_is_not_sent_while_there_is_no_connection(driver, scripted):
    await driver.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    assert await driver.send("r", message={"message": "early"}) is False
    await socket.welcome()
    await driver.next("state", name="connected")
    assert await driver.send("r", message={"message": "then"}) is True
    assert (await socket.read())["message"] == "then"


async def test_history_is_read_backwards_and_forwards(driver, app):
    async with app(ROOM) as running:
        await open_blue(driver, running)
        for text in ("a", "b", "c", "d"):
            await driver.ask("r", message={"message": text})
        newest = await driver.history("r", limit=2)
        older = await driver.history("r", before=newest["signals"][0]["at"], limit=1)
        newer = await driver.history("r", after=older["at"], limit=10)
        with pytest.raises(FailedError) as failed:
            await driver.history("r", before="x")
    assert [each["value"] for each in newest["signals"]] == ["c", "d"]
    assert newest["more"] is True
    assert [each["value"] for each in older["signals"]] == ["b"]
    assert ([each["value"] for each in newer["signals"]], newer["more"]) == (["c", "d"], False)
    assert failed.value.code == "bad-message"


async def test_who_is_there_is_kept_up_to_date(driver, app):
    async with app(ROOM) as running:
        welcome = await open_blue(driver, running)
        await driver.next("presence")
        assert await driver.present("r") == {
            "user": welcome["user"],
            "count": 1,
            "present": {welcome["user"]: {"n": 1, "info": None}},
        }
        other = await open_blue(driver, running, "other")
        await driver.next("presence", count=2)
        assert set((await driver.present("r"))["present"]) == {welcome["user"], other["user"]}


async def test_a_missing_difference_of_presence_has_the_whole_asked_for(driver, scripted):
    await driver.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome(user="ann")
    one = {"n": 1, "info": None}
    await socket.say(presence={"path": "/p", "version": 4, "count": 1, "users": {"ann": one}})
    await socket.say(presence={"path": "/p", "version": 5, "count": 2, "joined": {"bob": one}, "left": []})
    await driver.next("presence", version=5)
    assert set((await driver.present("r"))["present"]) == {"ann", "bob"}
    await socket.say(presence={"path": "/p", "version": 7, "count": 2, "joined": {}, "left": ["bob"]})
    asked = await socket.read()
    assert asked["signalpost"] == {"presence": {}}
    whole = {"path": "/p", "version": 8, "count": 1, "users": {"eve": one}, "ref": asked["ref"]}
    await socket.say(presence=whole)
    await socket.say(presence={"path": "/p", "version": 9, "count": 2, "joined": {"joe": one}, "left": []})
    await driver.next("presence", version=9)
    assert await driver.present("r") == {"user": "ann", "count": 2, "present": {"eve": one, "joe": one}}


async def test_too_many_to_be_told_are_counted(driver, scripted):
    await driver.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome(user="ann")
    await socket.say(presence={"path": "/p", "version": 1, "count": 1, "users": {"ann": {"n": 1, "info": None}}})
    await socket.say(presence={"path": "/p", "version": 2, "count": 5000})
    await driver.next("presence", version=2)
    assert await driver.present("r") == {"user": "ann", "count": 5000, "present": {}}


async def test_a_sign_of_life_comes_behind_what_was_sent(driver, scripted):
    await driver.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome()
    await driver.next("state", name="connected")
    await driver.send("r", message={"message": "hi"})
    sign = driver.begin("alive", "r")
    assert [await socket.read(), await socket.read()] == [{"message": "hi"}, None]
    assert not sign.done()
    await socket.say(alive={})
    await sign


async def test_what_nobody_knows_is_ignored(driver, scripted):
    await driver.open("r", url=scripted.url, path="/p")
    socket = await scripted.accept()
    await socket.welcome(unheard="of")
    await socket.say(novelty={"x": 1})
    await socket.say(signal={"path": "/p", "value": 1, "extra": 2})
    assert (await driver.next("signal"))["value"] == 1


async def test_an_iterator_has_the_values_from_there_on_and_ends_with_the_room(driver, app):
    async with app(ROOM) as running:
        await driver.open("r", url=running.url("live"), path="/plain")
        await driver.iterate("r")
        await driver.next("welcome")
        for text in ("a", "b"):
            await driver.ask("r", message={"message": text})
        assert [each["value"] for each in await driver.read("r", count=2)] == ["a", "b"]
        reading = driver.begin("read", "r", count=1)
        await driver.close("r")
        assert await reading == []


@pytest.mark.slow
async def test_values_that_nobody_reads_are_dropped_at_a_bound(script, scripted):
    await script.open("r", url=scripted.url, path="/p")
    await script.iterate("r")
    socket = await scripted.accept()
    await socket.welcome()
    for number in range(10_003):
        await socket.say(signal={"path": "/p", "value": number})
    await script.next("signal", value=10_002)
    assert [each["value"] for each in await script.read("r", count=2)] == [3, 4]
    assert script.events("gap") == [{"path": "/p", "why": "slow"}]
