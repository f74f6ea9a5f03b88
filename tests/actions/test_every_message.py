"""A list of actions is done with every message; what else is sent and says nothing is told to its sender."""

import pytest

ECHO = 'signals: [{path: /, do: [{reply: {value: ["{{ message }}", "{{ data }}"]}}]}]'


@pytest.mark.parametrize(
    ("sent", "seen"),
    [('{"x":1}', [None, 1]), ("{}", [None, None]), ('{"message":null}', [None, None]), ('{"message":""}', ["", None])],
)
async def test_a_list_is_done_with_messages_without_message_too(live, sent, seen):
    async with live(ECHO) as app, app.connect("/") as client:
        await client.send_raw(sent)
        message, data = await client.receive_json()
        assert [message, data.get("x")] == seen


@pytest.mark.parametrize("does", ["", ", rebroadcast: path", ", rebroadcast: sender"])
async def test_what_a_relay_finds_no_message_in_is_told_to_its_sender(live, does):
    async with live(f"signals: [{{path: /{does}}}]") as app, app.connect("/") as client:
        await client.send_raw('{"msg":"hi","ref":7}')
        error = (await client.receive_json())["error"]
        assert (error["code"], error["ref"]) == ("bad-message", 7)
        assert 'no key "message"' in error["detail"]


@pytest.mark.parametrize("sent", ["{}", '{"message":null}', '{"message":""}', '{"path":"/"}'])
async def test_an_empty_message_stays_nothing_to_a_relay(live, sent):
    async with live("signals: [{path: /}]") as app, app.connect("/") as client:
        await client.send_raw(sent)
        await client.send("after")
        assert await client.receive() == "after"


async def test_where_no_message_goes_anywhere_none_is_refused(live):
    signals = "signals: [{path: /, rebroadcast: none, from_elsewhere: true}, {path: /other}]"
    async with live(signals) as app, app.connect("/") as client, app.connect("/other") as other:
        await client.send_raw('{"ping":1}')
        await client.send("for nobody")
        await client.send("back", direct=True)
        assert await client.receive() == "back"
        await other.send("told", path="/")
        assert await client.receive() == "told"
