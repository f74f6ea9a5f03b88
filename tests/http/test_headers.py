"""The key ``headers`` of routes and endpoints, and what pages carry by themselves."""

import httpx
import pytest

from signalpost.testing import serve

APP = """
    endpoints:
      - name: web
        address: 127.0.0.1
        port: 0
        protocol: http
        headers: {X-From: endpoint, cache-control: max-age=1, x-gone: "", x-both: endpoint}
      - {name: plain, address: 127.0.0.1, port: 0, protocol: http}
    routes:
      - {path: /file, file: web/page.html, headers: {Cache-Control: max-age=60, x-both: route}}
      - {path: /big, file: web/big.bin, headers: {x-both: route}}
      - {path: /static, static: web, headers: {x-both: route}}
      - {path: /view, view: web/page.html, headers: {content-security-policy: "frame-ancestors *", x-both: route}}
      - path: /bare
        file: web/page.html
        headers: {content-security-policy: "", Referrer-Policy: "", cache-control: ""}
      - {path: /do, method: GET, headers: {x-both: route}, do: [{respond: {text: hi, headers: {X-Both: step}}}]}
      - {path: /html, method: GET, do: [{respond: {text: hi, headers: {content-type: text/html}}}]}
      - {path: /handler, method: GET, handler: answer, headers: {x-both: route, x-a: b}}
      - {path: /fails, method: GET, handler: fail, headers: {x-both: route}}
"""
PLUGIN = """
    from sanic.response import html

    from signalpost import route

    @route("answer")
    async def answer(event):
        return html("<p>hi", headers={"X-Both": "handler", "Content-Security-Policy": "default-src 'self'"})

    @route("fail")
    async def fail(event):
        raise RuntimeError
"""
FRAMES, REFERRER = "content-security-policy", "referrer-policy"


@pytest.fixture(scope="module")
async def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "web").mkdir()
    (folder / "web" / "page.html").write_text("<p>page")
    (folder / "web" / "index.html").write_text("<p>index")
    (folder / "web" / "a.txt").write_text("text")
    (folder / "web" / "big.bin").write_bytes(bytes(3_000_000))
    async with serve(APP, folder=folder, plugins={"shop": PLUGIN}) as app:
        yield app


@pytest.fixture
def get(app):
    async def ask(path, endpoint="web", **headers):
        async with httpx.AsyncClient() as browser:
            return await browser.get(app.url(endpoint) + path, headers=headers)

    return ask


@pytest.mark.parametrize(
    ("path", "both"),
    [
        ("/file", "route"),
        ("/big", "route"),
        ("/static/", "route"),
        ("/static/a.txt", "route"),
        ("/static", "route"),
        ("/view", "route"),
        ("/do", "step"),
        ("/handler", "handler"),
        ("/html", "endpoint"),
        ("/fails", "endpoint"),
        ("/nowhere", "endpoint"),
        ("/static/missing", "endpoint"),
    ],
)
async def test_what_answers_goes_before_the_route_and_the_route_before_the_endpoint(get, path, both):
    answer = await get(path)
    assert answer.headers.get_list("x-both") == [both]
    assert answer.headers["x-from"] == "endpoint"
    assert "x-gone" not in answer.headers


async def test_what_files_are_sent_with_is_replaced_and_what_errors_say_is_not(get):
    assert (await get("/file")).headers.get_list("cache-control") == ["max-age=60"]
    assert (await get("/static/a.txt")).headers["cache-control"] == "max-age=1"
    assert (await get("/static/a.txt", "plain")).headers["cache-control"] == "no-cache"
    assert (await get("/nowhere")).headers["cache-control"] == "no-store"


async def test_a_file_that_the_client_has_is_answered_with_the_routes_headers(get):
    tag = (await get("/file")).headers["etag"]
    again = await get("/file", **{"if-none-match": tag})
    assert (again.status_code, again.headers["cache-control"]) == (304, "max-age=60")


@pytest.mark.parametrize("path", ["/file", "/static/", "/html"])
async def test_pages_are_framed_by_their_own_origin_only_and_their_forms_say_theirs(get, path):
    answer = await get(path, "plain")
    assert answer.headers[FRAMES] == "frame-ancestors 'self'"
    assert answer.headers[REFERRER] == "strict-origin-when-cross-origin"


@pytest.mark.parametrize("path", ["/static/a.txt", "/big", "/do", "/nowhere"])
async def test_what_is_no_page_carries_nothing_of_pages(get, path):
    answer = await get(path, "plain")
    assert FRAMES not in answer.headers
    assert REFERRER not in answer.headers


async def test_an_error_page_runs_nothing_and_is_framed_by_its_own_origin_only(get):
    policy = (await get("/nowhere", accept="text/html")).headers[FRAMES]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


async def test_a_policy_of_ones_own_stays_as_it_is(get):
    assert (await get("/view")).headers.get_list(FRAMES) == ["frame-ancestors *"]
    assert (await get("/handler")).headers.get_list(FRAMES) == ["default-src 'self'"]
    bare = (await get("/bare")).headers
    assert not {FRAMES, REFERRER, "cache-control"} & set(bare)


async def test_an_answer_without_a_body_names_no_type_of_it(get):
    redirect = await get("/static")
    assert redirect.status_code == 308
    assert "content-type" not in redirect.headers
