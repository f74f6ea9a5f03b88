"""One rule says which pages may change something here: for handshakes, event streams, posts and routes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from signalpost.testing import serve
from signalpost.websocket.crosssite import Site, may_come, origins_of, sites_of

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse], hosts: [a.example], origins: [LISTED]}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws, hosts: [a.example], origins: [LISTED]}
signals: [{path: /chat}]
routes:
  - {path: /reads, do: [{respond: {text: read}}], method: [GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS]}
  - {path: /changes, do: [{set: {it: 1}}, {respond: {text: changed}}], method: [GET, POST]}
  - {path: /handled, handler: handled, method: [GET, POST]}
""".replace("LISTED", '"https://listed.example"')
PLUGIN = """
from signalpost import route

@route("handled")
async def handled(event):
    return "handled"
"""
HOST = {"Host": "a.example"}
OWN, LISTED, EVIL = "http://a.example", "https://listed.example", "https://evil.example"
COOKIE = {"Cookie": "session=1"}


def page(origin=None, site=None, **more):
    return {
        **({} if origin is None else {"Origin": origin}),
        **({} if site is None else {"Sec-Fetch-Site": site}),
        **{name.capitalize(): value for name, value in more.items()},
    }


PAGES = [
    ("no browser", page(), True),
    ("a program that has cookies", COOKIE, True),
    ("the address was typed", page(site="none"), True),
    ("its own page", page(OWN, "same-origin"), True),
    ("its own page, an old browser", page(OWN), True),
    ("its own page, without Origin", page(site="same-origin"), True),
    ("a listed page", page(LISTED, "cross-site"), True),
    ("another site", page(EVIL, "cross-site"), False),
    ("another site, an old browser", page(EVIL), False),
    ("another site, without Origin", page(site="cross-site"), False),
    ("another site, shouted", page(site="Cross-Site"), False),
    ("a sandboxed frame", page("null", "cross-site"), False),
    ("another name of the site", page("http://b.a.example", "same-site"), False),
    ("another name of the site, without Origin", page(site="same-site"), False),
    ("another name of the site by Referer", page(site="same-site", referer="http://b.a.example/x"), False),
    ("another port of the host", page("http://a.example:81", "same-site"), False),
    ("the same host by Referer", page(site="same-site", referer="http://a.example/x"), True),
    ("two sites in one header", page(site="same-origin, cross-site"), False),
    ("its own page, as the browser does not say", page(OWN, "cross-site"), False),
]
CASES = pytest.mark.parametrize(("headers", "may"), [case[1:] for case in PAGES], ids=[case[0] for case in PAGES])


@CASES
async def test_routes_that_change_something_and_posts_and_event_streams_judge_alike(http, headers, may):
    async with serve(APP, plugins={"p": PLUGIN}) as app:
        for path, method in product(("/reads", "/handled", "/changes"), ("POST", "PUT", "PATCH", "DELETE", "GET")):
            if method not in {"POST", "GET"} and path != "/reads":
                continue
            answer = await http(app, path, {**HOST, **COOKIE, **headers}, method)
            reads = method == "GET" and path != "/changes"
            assert (answer.status_code == 200) is (may or reads), (path, method)
            assert answer.status_code in {200, 403}
        posted = await http(app, "/chat", {**HOST, **COOKIE, **headers}, "POST", json={"message": 1})
        assert posted.status_code == (202 if may else 403)
        # The head of an event stream is what a HEAD gets, which is judged like the stream.
        stream = {**HOST, **COOKIE, **headers, "Accept": "text/event-stream"}
        assert (await http(app, "/chat", stream, "HEAD")).status_code == (200 if may else 403)
        if not may:
            assert "origins" in posted.json()["error"]["detail"]


@CASES
async def test_handshakes_are_judged_by_origin_and_without_it_by_what_the_browser_says(shake, headers, may):
    if "Origin" in headers and headers.get("Sec-Fetch-Site") == "cross-site" and headers["Origin"] == OWN:
        may = True  # browsers do not agree on Sec-Fetch-Site of handshakes
    if headers.get("Origin") == "http://a.example:81":
        may = True  # a host whose port a proxy has left out stands for any port
    async with serve(APP, plugins={"p": PLUGIN}) as app:
        assert await shake(app, "/chat", {**HOST, **headers}) == (101 if may else 403)


async def test_the_log_says_what_to_write(http, shake, caplog):
    async with serve(APP, plugins={"p": PLUGIN}) as app:
        await http(app, "/reads", {**HOST, **page(EVIL, "cross-site")}, "POST")
        await shake(app, "/chat", {**HOST, **page(EVIL)})
    for what in ('POST "/reads"', 'a WebSocket at "/chat"'):
        line = next(record.getMessage() for record in caplog.records if what in record.getMessage())
        assert 'of a page of "https://evil.example" was refused (403)' in line
        assert "write origins: [https://evil.example] beside those that are there" in line


ORIGINS = st.sampled_from([OWN, LISTED, EVIL, "null", "", "http://a.example:81", "nonsense"])
SITES = st.sampled_from(["cross-site", "same-site", "same-origin", "none", "nonsense"])
HERE = Site(("a.example", None), {80}, (LISTED,), 8090)


@given(st.lists(ORIGINS, max_size=2), st.lists(SITES, max_size=2))
def test_no_page_of_another_site_may_come_whatever_else_it_says(origins, sites):
    headers = CIMultiDict([*(("origin", each) for each in origins), *(("sec-fetch-site", each) for each in sites)])
    found = origins_of(headers, sites_of(headers))
    if may_come(found, sites_of(headers), HERE):
        assert len(found) <= 1
        assert not {EVIL, "null"} & set(found)
        assert "cross-site" not in sites or found == [LISTED]
