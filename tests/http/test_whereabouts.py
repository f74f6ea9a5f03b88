"""Where WebSockets are, as the server tells pages that ask."""

import httpx
import pytest

from signalpost.config.model import EndpointConfig, Scheme
from signalpost.http.whereabouts import PATH, whereabouts
from signalpost.testing import serve


def endpoint(name, port, scheme="ws", address="127.0.0.1"):
    return EndpointConfig((), name, address, port, Scheme(scheme))


WEB, LIVE = endpoint("web", 8090, "http"), endpoint("live", 8091)


def told(host, *sockets, page=WEB):
    return whereabouts(host, page, (page, *sockets))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "chat.localhost"])
def test_a_page_that_came_directly_is_told_the_other_port_by_the_name_that_it_used(name):
    assert told(f"{name}:8090", LIVE)["url"] == f"ws://{name}:8091"


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "127.0.0.1", "localhost:80", "chat.example", "", "no host"])
def test_where_host_names_another_port_something_is_in_front_and_the_page_keeps_to_its_own_address(host):
    assert told(host, endpoint("live", 8091, address="*")) == {"url": None, "endpoints": {"live": None}}


def test_a_default_port_is_left_out_on_both_sides():
    page, live = endpoint("web", 443, "https", "*"), endpoint("live", 8443, "wss", "*")
    assert told("chat.example", live, page=page)["url"] == "wss://chat.example:8443"
    page, live = endpoint("web", 8080, "http", "*"), endpoint("live", 80, "ws", "*")
    assert told("chat.example:8080", live, page=page)["url"] == "ws://chat.example"


def test_a_socket_that_shares_the_pages_port_is_the_best_and_at_its_own_address():
    shared = endpoint("shared", 8090)
    assert told("localhost:8090", LIVE, shared) == {
        "url": None,
        "endpoints": {"shared": None, "live": "ws://localhost:8091"},
    }


def test_of_several_sockets_the_one_that_is_as_safe_as_the_page_is_the_best():
    page = endpoint("web", 8443, "https")
    safe = endpoint("safe", 8444, "wss")
    assert told("localhost:8443", LIVE, safe, page=page)["url"] == "wss://localhost:8444"
    assert told("localhost:8090", safe, LIVE)["url"] == "ws://localhost:8091"


def test_what_listens_on_a_loopback_address_is_told_to_nobody_from_outside():
    page, live = endpoint("web", 8090, "http", "*"), endpoint("live", 8091, "ws", "*")
    admin = endpoint("admin", 8092)
    assert told("192.0.2.7:8090", admin, live, page=page) == {
        "url": "ws://192.0.2.7:8091",
        "endpoints": {"live": "ws://192.0.2.7:8091"},
    }
    assert set(told("localhost:8090", admin, live, page=page)["endpoints"]) == {"admin", "live"}


# Over a real socket

WEB_AND_LIVE = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""


async def ask(app, method="GET", **headers):
    async with httpx.AsyncClient() as http:
        return await http.request(method, app.url("web") + PATH, headers=headers)


async def test_every_port_with_pages_tells_and_no_cache_keeps_it():
    async with serve(WEB_AND_LIVE) as app:
        answer = await ask(app)
        assert answer.json() == {"url": app.url("live"), "endpoints": {"live": app.url("live")}}
        assert answer.headers["cache-control"] == "no-store"
        assert (await ask(app, "HEAD")).status_code == 200
        assert (await ask(app, "POST")).status_code == 405
        assert (await ask(app, Host="chat.example:9000")).status_code == 421


async def test_after_a_reload_a_page_is_told_the_new_port_and_where_there_is_none_any_more_nothing():
    async with serve(WEB_AND_LIVE) as app:
        before = (await ask(app)).json()["url"]
        await app.reload(WEB_AND_LIVE.replace("name: live", "name: other"))
        after = (await ask(app)).json()
        assert after["endpoints"] == {"other": app.url("other")}
        assert after["url"] != before
        await app.reload(WEB_AND_LIVE.partition("      - {name: live")[0])
        assert (await ask(app)).status_code == 404


async def test_an_app_that_has_a_route_there_answers_for_itself_and_one_without_sockets_has_nothing_there():
    own = f"    routes: [{{path: {PATH}, method: GET, do: [{{respond: {{text: mine}}}}]}}]\n"
    async with serve(WEB_AND_LIVE + own) as app:
        assert (await ask(app)).text == "mine"
    catch_all = "    routes: [{path: '/<rest:path>', method: GET, do: [{respond: {text: mine}}]}]\n"
    async with serve(WEB_AND_LIVE.partition("      - {name: live")[0] + catch_all) as app:
        assert (await ask(app)).text == "mine"
    async with serve(WEB_AND_LIVE + catch_all) as app:  # a literal path goes before a parameter, as among all routes
        assert (await ask(app)).json()["url"] == app.url("live")
