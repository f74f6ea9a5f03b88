"""Messages that are bad to judge by a schema, over sockets: their sender is answered, and nobody else notices."""

import json

import httpx
import pytest

from signalpost.testing import serve

APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
    routes:
      - path: /tags
        method: POST
        schema: &tags {items: {type: string}, uniqueItems: true}
        do: [{respond: {text: ok}}]
      - path: /prices
        method: POST
        schema: &prices {items: {multipleOf: 0.01}}
        do: [{respond: {text: ok}}]
      - path: /codes
        method: POST
        schema: &codes {items: {enum: [9223372036854775809, 0.5]}}
        do: [{respond: {text: ok}}]
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /tags, rebroadcast: sender, schema: {properties: {message: *tags}}}
      - {path: /prices, rebroadcast: sender, schema: {properties: {message: *prices}}}
      - {path: /codes, rebroadcast: sender, schema: {properties: {message: *codes}}}
"""
COLLIDING = [10**19 - number for number in range(8_000)]
COSTLY = "takes too long to check against the schema: send less at once"
INPUTS = [
    ("/tags", json.dumps(COLLIDING), "expected a string, got a number"),
    ("/prices", f"[{','.join(['1e308'] * 40_000)}]", COSTLY),
    ("/codes", json.dumps([2**63 + number for number in range(2, 40_000)]), COSTLY),
]


@pytest.mark.parametrize(("path", "value", "detail"), INPUTS)
async def test_a_message_that_is_bad_to_judge_is_answered_to_its_sender_alone(path, value, detail):
    async with serve(APP) as app, app.connect(path) as sender, app.connect("/echo") as bystander:
        await sender.send_raw(f'{{"ref": 1, "message": {value}}}')
        error = (await sender.receive_json())["error"]
        assert (error["code"], error["ref"]) == ("schema-mismatch", 1)
        assert error["detail"].startswith(detail)
        await bystander.send("still here")
        assert await bystander.receive() == "still here"


@pytest.mark.parametrize(("path", "value", "detail"), INPUTS)
async def test_a_body_that_is_bad_to_judge_is_answered_with_422(path, value, detail):
    async with serve(APP) as app, httpx.AsyncClient(base_url=app.url("web")) as client:
        answer = await client.post(path, content=value)
        assert answer.status_code == 422
        assert detail in answer.text
        assert (await client.post(path, content="[]")).text == "ok"


async def test_a_member_that_is_named_by_a_number_is_no_harm_to_its_connection():
    schema = "{additionalProperties: {additionalProperties: false}}"
    app_text = APP.replace("/echo, rebroadcast: sender", f"/echo, rebroadcast: sender, schema: {schema}")
    async with serve(app_text) as app, app.connect("/echo") as sender:
        await sender.send_raw('{"message": {"007": {}, "7": 2}}')
        error = (await sender.receive_json())["error"]
        assert error["code"] == "schema-mismatch"
        await sender.send("still here")
        assert await sender.receive() == "still here"
