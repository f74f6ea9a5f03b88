"""Responses that handlers make: what is none is the handler's failure, and ends neither a connection nor the server."""

import logging

import httpx
import pytest

from signalpost.testing import serve

APP = """
    endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
    routes:
      - {path: /returned, method: GET, handler: returned}
      - {path: /responded, method: GET, handler: responded}
      - {path: /streamed, method: GET, handler: streamed}
      - {path: /fine, method: GET, do: [{respond: {text: fine}}]}
"""
PLUGIN = """
    from http import HTTPStatus
    from sanic.response import HTTPResponse, ResponseStream
    from signalpost import route

    class Raising:
        def __init__(self, error):
            self.error = error
        def __str__(self):
            raise self.error

    MADE = {
        "status too large": {"status": 99999},
        "status of two digits": {"status": 99},
        "status for now": {"status": 101},
        "status as a text": {"status": "200"},
        "no status": {"status": None},
        "header that raises": {"headers": {"x-a": Raising(ValueError("boom"))}},
        "header that exits": {"headers": {"x-a": Raising(SystemExit(3))}},
        "header that interrupts": {"headers": {"x-a": Raising(KeyboardInterrupt())}},
        "half a character": {"headers": {"x-a": chr(0xD800)}},
        "name with a blank": {"headers": {"x a": "1"}},
        "name with a colon": {"headers": {"x:": "1"}},
        "no name": {"headers": {"": "1"}},
        "content type that is none": {"content_type": Raising(ValueError("boom"))},
        "fine": {"status": HTTPStatus.CREATED, "headers": {"x-number": 7, "x-text": "\u00e9"}, "content_type": "a/b"},
    }

    @route("returned")
    async def returned(event):
        return HTTPResponse("made", **MADE[event.query["made"]])

    @route("responded")
    async def responded(event):
        made = MADE[event.query["made"]]
        made = {**made, "headers": dict(made.get("headers", {}))}
        answer = await event.request.respond(**made)
        await answer.send("made")
        await answer.eof()

    @route("streamed")
    async def streamed(event):
        async def write(answer):
            await answer.write("made")
        return ResponseStream(write, **MADE[event.query["made"]])
"""
BROKEN = (
    "status too large",
    "status of two digits",
    "status for now",
    "status as a text",
    "no status",
    "header that raises",
    "header that exits",
    "header that interrupts",
    "half a character",
    "name with a blank",
    "name with a colon",
    "no name",
    "content type that is none",
)
WAYS = ("returned", "responded", "streamed")


@pytest.fixture(scope="module")
async def app():
    async with serve(APP, plugins={"made": PLUGIN}) as app:
        yield app


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", BROKEN)
async def test_a_response_that_is_none_is_500_and_told_to_its_author(app, way, made, caplog):
    caplog.set_level(logging.ERROR)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(f"{app.url('web')}/{way}", params={"made": made})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "handler-failed"
        assert (await browser.get(f"{app.url('web')}/fine")).text == "fine"
    assert f"handler {way} " in caplog.text


@pytest.mark.parametrize("way", WAYS)
async def test_a_response_may_have_any_status_and_headers_that_are_no_texts(app, way):
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(f"{app.url('web')}/{way}", params={"made": "fine"})
    assert (answer.status_code, answer.text) == (201, "made")
    assert answer.headers["x-number"] == "7"
    assert answer.headers["content-type"] == "a/b"
