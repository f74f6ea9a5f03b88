"""An app as a whole: its settings, its limits, and others beside it."""

import gc
import logging
import weakref
from dataclasses import replace

import pytest
from sanic import Sanic

from signalpost.errors import OperatorError
from signalpost.http.app import build_app, discard_app


async def name(event):
    return event.endpoint.name


async def test_two_apps_with_equal_routes_work_side_by_side(serve, services, rule, write):

    page = write("web/index.html", "page")
    rules = [rule("/name", "GET", handler=name), rule("/", file=page), rule("/assets", static=page.parent)]
    sites = [await serve(*rules, endpoint=replace(services().endpoint, name=f"web{number}")) for number in range(2)]
    for number, site in enumerate(sites):
        assert (await site.client.get("/name")).text == f"web{number}"
        assert (await site.client.get("/")).text == "page"
        assert (await site.client.get("/assets/index.html")).text == "page"


def test_apps_of_one_name_are_told_apart_and_forgotten(services, rule):
    before = dict(Sanic._app_registry)
    apps = [build_app("web ☃ 8090", [rule("/", "GET", handler=name)], services()) for _ in range(2)]
    assert len(Sanic._app_registry) == len(before) + 2
    for app in apps:
        discard_app(app)
        discard_app(app)
    assert Sanic._app_registry == before


async def test_nothing_keeps_an_app_that_was_stopped(services, rule):
    made = services()
    app = build_app("gone", [rule("/", "GET", handler=name)], made)
    await app._startup()
    app.router.get("/", "GET", None)
    router = weakref.ref(app.router)
    discard_app(app)
    del app
    gc.collect()
    assert router() is None


def test_a_template_that_cannot_be_used_leaves_no_app_behind(services, rule, write):
    before = dict(Sanic._app_registry)
    with pytest.raises(OperatorError, match=r"web/a.html:1"):
        build_app("web", [rule("/", view=write("web/a.html", "{{"))], services())
    assert Sanic._app_registry == before


async def test_a_port_without_routes_answers_404(serve):
    site = await serve()
    assert (await site.client.get("/")).status_code == 404


def test_sanic_takes_nothing_from_the_environment(services, monkeypatch):
    monkeypatch.setenv("SANIC_ACCESS_LOG", "true")
    monkeypatch.setenv("SANIC_FALLBACK_ERROR_FORMAT", "html")
    app = build_app("web", [], services(patience=3.0))
    discard_app(app)
    assert not app.config.ACCESS_LOG
    assert not app.config.MOTD
    assert not app.config.TOUCHUP
    assert not app.config.AUTO_EXTEND
    assert app.config.REQUEST_TIMEOUT == 3.0


def test_sanic_leaves_the_log_alone(services):
    handlers = {
        key: list(logging.getLogger(key).handlers) for key in ("sanic.root", "sanic.error", "sanic.access", None)
    }
    discard_app(build_app("web", [], services()))
    assert handlers == {key: list(logging.getLogger(key).handlers) for key in handlers}


@pytest.mark.parametrize("limit", [10, 20_000, 200_000])
async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(serve, rule, limit):
    async def size(event):
        return {"size": len(event.request.body)}

    site = await serve(rule("/", handler=size), message_limit=limit)
    assert (await site.client.post("/", content=b"x" * limit)).json() == {"size": limit}
    refused = await site.client.post("/", content=b"x" * (limit + 1))
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request-entity-too-large"


async def test_a_small_limit_leaves_room_for_headers(serve, rule):
    site = await serve(rule("/", "GET", handler=name), message_limit=1)
    assert (await site.client.get("/", headers={"x": "a" * 6000})).status_code == 200


async def test_three_megabytes_come_whole_if_the_limit_allows(serve, rule):
    async def echo(event):
        return event.request.body

    body = bytes(range(256)) * 12_000
    site = await serve(rule("/", handler=echo), message_limit=4 * 1024 * 1024)
    assert (await site.client.post("/", content=body)).content == body


async def test_a_connection_serves_many_requests(serve, rule):
    site = await serve(rule("/", "GET", handler=name))
    answer = await site.raw(
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3 + b"GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"HTTP/1.1 404 Not Found") == 1


async def test_a_request_that_stalls_is_given_up(serve, rule):
    site = await serve(rule("/", "GET", handler=name), patience=0.2)
    answer = await site.raw(b"GET / HTTP/1.1\r\nhost:")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_missing_host_header_is_no_reason_to_fail(serve, rule):
    site = await serve(rule("/", "GET", handler=name))
    assert (await site.raw(b"GET / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nweb")
