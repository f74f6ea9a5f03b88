"""A room that is open: values, messages and their answers, presence, history."""

ROOM = """
signals:
  - path: /rooms/<room>
    rebroadcast: path
    history: {keep: 100, replay: 2}
    presence: true
    schema: {type: object, required: [message], properties: {message: {type: string, maxLength: 10}}}
"""


async def test_a_message_comes_back_as_a_value_and_is_acked(driver, live):
    async with live(ROOM) as app:
        await driver.open("r", url=app.url(), path="/rooms/<room>", params={"room": "blue"})
        welcome = await driver.next("welcome")
        answer = await driver.ask("r", message={"message": "hi"})
        signal = await driver.next("signal")
    assert welcome["path"] == "/rooms/blue"
    assert signal["value"] == "hi"
    assert answer == {"kind": "ack", "ref": answer["ref"], "at": signal["at"]}
