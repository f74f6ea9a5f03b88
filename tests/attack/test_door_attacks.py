"""Pages that would speak to a server behind its owner's back: by a name of their own, or across origins."""

import asyncio
import logging

import httpx
import pytest

from signalpost.testing import serve

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, hosts: [app.example, "*.wide.example"]}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, hosts: [app.example, "*.wide.example"]}
      - {name: both, address: localhost, port: 0, protocol: http}
      - {name: open, address: "*", port: 0, protocol: http}
      - {name: named, address: "*", port: 0, protocol: http, hosts: [app.example]}
      - {name: shared, address: 127.0.0.1, port: 0, protocol: http, origins: ["https://good.example"]}
    routes:
      - {path: /page, method: GET, do: [{respond: {text: read}}]}
      - {path: /bell, broadcast: {value: ding}}
      - {path: /both, method: [PUT, GET], do: [{respond: {text: done}}]}
      - {path: /rung, method: [GET, OPTIONS], broadcast: {value: ding}}
      - {path: /count, method: GET, do: [{if: "{{ true }}", then: [{set: {count: 1}}]}, {respond: {text: one}}]}
      - {path: /noted, method: GET, do: [{append: {to: log, value: 1, keep: 5}}, {respond: {text: one}}]}
      - {path: /own, method: OPTIONS, do: [{respond: {text: mine, headers: {access-control-allow-methods: BREW}}}]}
"""


@pytest.fixture(scope="module")
async def app():
    async with serve(APP) as app:
        yield app


def port_of(app, name):
    return next(each.port for each in app.server.endpoints if each.name == name)


async def ask(app, endpoint, *lines, request="GET /page HTTP/1.1"):
    """Ask over a bare socket; give the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(app, endpoint))
    writer.write("\r\n".join([request, *lines, "Connection: close", "", ""]).encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def shake_hands(app, host, *, first=b"", request="GET / HTTP/1.1"):
    """Shake hands; what comes `first` on the connection leads it past the quick look at its first bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(app, "live"))
    head = f"{request}\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\r\n".encode()
    writer.write(first or head)
    if first:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
    await reader.readuntil(b"HTTP/1.1 ")
    status = int(await reader.readexactly(3))
    writer.close()
    return status


ANSWERED = [
    "127.0.0.1",
    "127.0.0.1:{port}",
    "localhost",
    "LOCALHOST:{port}",
    "localhost.",
    "anything.localhost",
    "[::1]",
    "[::1]:{port}",
    "10.1.2.3",
    "app.example",
    "App.Example:80",
    "app.example.",
    "a.wide.example",
    "a.b.wide.example",
]
NOT_ANSWERED = [
    "evil.test",
    "evil.test:{port}",
    "localhost.evil.test",
    "evillocalhost",
    "127.0.0.1.evil.test",
    "127.0.0.1.nip.io",
    "x.app.example",
    "app.example.evil.test",
    "evilapp.example",
    "wide.example",
    "evilwide.example",
    "a.wide.example.evil.test",
    "a" * 250 + "!",
    "a-" * 120 + "!",
    "a." * 120 + "!",
    "_" * 15_000,
    "loca\u017fhost",
    "\u212aiosk.localhost.evil",
]


@pytest.mark.parametrize("host", ANSWERED)
async def test_a_name_that_nobody_else_can_have_is_answered_on_loopback(app, host):
    assert await ask(app, "web", f"Host: {host.format(port=port_of(app, 'web'))}") == 200
    assert await shake_hands(app, host.format(port=port_of(app, "live"))) == 101


@pytest.mark.parametrize("host", NOT_ANSWERED)
async def test_a_name_that_others_may_lead_here_is_refused_on_loopback(app, host):
    host = host.format(port=port_of(app, "web"))
    assert await ask(app, "web", f"Host: {host}") in ({421} if host.isascii() else {400, 421})
    assert await ask(app, "web", f"Host: {host}", request="GET /nowhere HTTP/1.1") in {400, 421}
    assert await shake_hands(app, host) in ({421} if host.isascii() else {400, 421})


async def test_a_handshake_is_held_to_the_same_names_whichever_way_it_comes(app):
    first = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert await shake_hands(app, "evil.test", first=first) == 421
    assert await shake_hands(app, "localhost", request="GET http://evil.test/ HTTP/1.1") == 421
    assert await shake_hands(app, "localhost", request="GET http://localhost/ HTTP/1.1") == 101


@pytest.mark.parametrize(
    ("request_", "host", "status"),
    [
        ("GET http://evil.test/page HTTP/1.1", "127.0.0.1", 421),
        ("GET http://evil.test:80/page HTTP/1.1", "127.0.0.1", 421),
        ("GET http://127.0.0.1@evil.test/page HTTP/1.1", "127.0.0.1", 421),
        ("GET http://127.0.0.1/page HTTP/1.1", "evil.test", 421),
        ("GET http://[::1]/page HTTP/1.1", "127.0.0.1", 200),
        ("GET http://app.example/page HTTP/1.1", "app.example", 200),
        ("OPTIONS * HTTP/1.1", "evil.test", 421),
        ("POST /bell HTTP/1.1", "evil.test", 421),
    ],
)
async def test_a_url_in_the_request_line_names_a_host_too(app, request_, host, status):
    assert await ask(app, "web", f"Host: {host}", request=request_) == status


async def test_a_request_of_http_1_0_may_name_no_host(app):
    assert await ask(app, "web", request="GET /page HTTP/1.0") == 200


async def test_an_endpoint_of_the_network_answers_any_name_unless_it_lists_its_own(app):
    assert await ask(app, "open", "Host: any.example") == 200
    for host, status in {"any.example": 421, "app.example": 200, "localhost": 200, "192.0.2.1": 200}.items():
        assert await ask(app, "named", f"Host: {host}") == status


async def test_localhost_is_a_loopback_address_too(app):
    assert await ask(app, "both", "Host: evil.test") == 421


async def test_each_name_is_one_line_that_says_what_to_write(caplog):
    async with serve(APP) as app:
        for _ in range(3):
            await ask(app, "web", "Host: new.example:8090")
    # A count of what other tests were refused at their server may come meanwhile.
    (line,) = [text for each in caplog.records if "new.example" in (text := each.getMessage())]
    assert 'routes.yaml:3: endpoint web: not answered by the name "new.example:8090" (421)' in line
    assert line.endswith("write hosts: [app.example, *.wide.example, new.example]")


async def test_the_log_of_names_is_bounded_in_number_and_length(caplog):
    async with serve(APP) as app:
        for number in range(200):
            await ask(app, "web", f"Host: a{number}.example")
        await ask(app, "web", f"Host: {'x' * 4000}.example")
        lines = [each.getMessage() for each in caplog.records]
    assert 64 < len(lines) < 90
    assert all(len(line) < 500 for line in lines)


async def test_after_a_reload_the_names_are_those_of_the_new_file():
    with_name = APP
    without = with_name.replace("hosts: [app.example, ", "hosts: [other.example, ")
    async with serve(without) as app:
        assert await ask(app, "web", "Host: app.example") == 421
        assert await shake_hands(app, "app.example") == 421
        await app.reload(with_name)
        assert await ask(app, "web", "Host: app.example") == 200
        assert await shake_hands(app, "app.example") == 101


# Requests that change something


async def send(app, endpoint="shared", method="POST", path="/bell", **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient() as browser:
        return await browser.request(method, app.url(endpoint) + path, headers=sent, content='{"value": 1}')


FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "https://good.example.evil.test"},
    {"Origin": "https://good.example:444"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": ""},
    {"Origin": "http://evil.test", "Sec_Fetch_Site": "same-origin"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "Cross-Site"},
    {"Origin": "http://127.0.0.1:9001", "Host": "127.0.0.1:9000"},
    {"Origin": "http://localhost:9001", "Host": "localhost", "Sec_Fetch_Site": "same-site"},
    {"Origin": "http://evil.test", "Host": "localhost"},
    {"Origin": "http://127.0.0.1:{port}", "Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},  # it hides which origin that is
    {"Sec_Fetch_Site": "same-site", "Referer": "http://localhost:1/"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("method", "path"), [("POST", "/bell"), ("PUT", "/both"), ("DELETE", "/page")])
async def test_a_page_of_another_origin_changes_nothing(app, headers, method, path):
    port = port_of(app, "shared")
    sent = {name: value.format(port=port) for name, value in headers.items()}
    answer = await send(app, method=method, path=path, **sent)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


async def test_two_origins_are_a_foreign_one(app):
    port = port_of(app, "shared")
    lines = ["Host: 127.0.0.1", f"Origin: http://127.0.0.1:{port}", "Origin: http://evil.test", "Content-Length: 0"]
    assert await ask(app, "shared", *lines, request="POST /bell HTTP/1.1") == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-site", "Referer": "http://127.0.0.1:{other}/page"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{other}", "Sec_Fetch_Site": "same-site"},
        {"Origin": "http://127.0.0.1:9000", "Host": "127.0.0.1:9000"},  # as a proxy at that port passes it on
        {"Origin": "https://localhost", "Host": "localhost", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "http://localhost:9000", "Host": "localhost", "Sec_Fetch_Site": "same-origin"},  # nginx's $host
        {"Origin": "https://good.example"},
        {"Origin": "https://good.example", "Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_programs_and_pages_of_this_host_or_of_listed_origins_change_things_as_ever(app, headers):
    ports = {"port": port_of(app, "shared"), "other": port_of(app, "live")}
    answer = await send(app, **{name: value.format(**ports) for name, value in headers.items()})
    assert answer.status_code == 202


async def test_what_only_reads_is_answered_whoever_asks(app):
    for method in ("GET", "HEAD"):
        answer = await send(app, method=method, path="/page", Origin="http://evil.test", Sec_Fetch_Site="cross-site")
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/rung"), ("HEAD", "/rung"), ("OPTIONS", "/rung"), ("GET", "/count"), ("GET", "/noted")],
)
async def test_what_changes_something_is_refused_to_a_foreign_page_by_any_method(app, method, path):
    """A page has a browser send a GET by an image, a link or a form."""
    port = port_of(app, "shared")
    for sent in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://evil.test"}, {"Origin": "null"}):
        answer = await send(app, method=method, path=path, **sent)
        assert answer.status_code == 403
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}
    listed = {"Origin": "https://good.example", "Sec_Fetch_Site": "cross-site"}
    for sent in ({}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}, own, listed):
        assert (await send(app, method=method, path=path, **sent)).status_code < 300


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/rung", "/count"])
async def test_an_image_on_a_page_of_the_same_site_changes_something_if_that_is_a_page_of_this_app(app, path):
    """A site is a host's name without its first part, whatever the port: others may have pages there."""
    other = port_of(app, "live")
    for page in ("", "http://127.0.0.1:1/", "http://127.0.0.1:1", "http://other.example/a?b", "nonsense", "//", "a://"):
        answer = await send(app, method="GET", path=path, Sec_Fetch_Site="same-site", Referer=page)
        assert answer.status_code == 403
    assert (await send(app, method="GET", path=path, Sec_Fetch_Site="same-site")).status_code == 403
    for page in (f"http://127.0.0.1:{other}/", f"http://127.0.0.1:{other}/a?b", "https://good.example/"):
        answer = await send(app, method="GET", path=path, Sec_Fetch_Site="same-site", Referer=page)
        assert answer.status_code < 300


async def test_what_changes_something_when_it_is_read_is_noted(app):
    notes = [note for note in app.server.plan.notes if "pages of other origins" in note]
    assert [note.partition(", but")[0].partition(": ")[2] for note in notes] == [
        "/rung answers GET, OPTIONS",
        "/count answers GET",
        "/noted answers GET",
    ]


async def test_a_refused_change_is_a_line_that_says_what_to_write_and_many_are_a_count(caplog):
    caplog.set_level(logging.WARNING)
    # A server of its own: what other tests were refused uses up the few lines of a second.
    async with serve(APP) as app, httpx.AsyncClient() as browser:
        for _ in range(50):
            await browser.post(app.url("shared") + "/bell", headers={"Origin": "http://evil.test"})
    # Servers of other tests may still count what they have refused.
    lines = [line for each in caplog.records if (line := each.getMessage()).startswith(str(app.folder))]
    assert 0 < len(lines) < 10
    refused = 'endpoint shared: POST "/bell" of a page of "http://evil.test" was refused (403)'
    assert all(refused in line and "if it is yours, write origins: [http://evil.test]" in line for line in lines)


# Pages of listed origins


async def test_a_listed_page_reads_answers_and_errors(app):
    for path, status in (("/page", 200), ("/nowhere", 404), ("/bell", 405)):
        answer = await send(app, method="GET", path=path, Origin="https://good.example")
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://good.example"
        assert "origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    for headers in ({}, {"Origin": "http://evil.test"}):
        answer = await send(app, method="GET", path="/page", **headers)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "origin"  # or a cache would give the answer to the listed page


async def test_a_listed_page_is_told_beforehand_what_it_may_send(app):
    asked = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "content-type, x-a"}
    answer = await send(app, method="OPTIONS", path="/both", Origin="https://good.example", **asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, PUT"
    assert answer.headers["access-control-allow-headers"] == "content-type, x-a"
    assert answer.headers["access-control-max-age"] == "86400"
    assert "origin" in answer.headers["vary"]
    foreign = await send(app, method="OPTIONS", path="/both", Origin="http://evil.test", **asked)
    assert not [name for name in foreign.headers if name.startswith("access-control")]
    missing = await send(app, method="OPTIONS", path="/nowhere", Origin="https://good.example", **asked)
    assert (missing.status_code, "access-control-allow-methods" in missing.headers) == (404, False)


async def test_a_declared_options_route_answers_for_itself(app):
    asked = {"Access_Control_Request_Method": "PUT"}
    answer = await send(app, method="OPTIONS", path="/own", Origin="https://good.example", **asked)
    assert (answer.text, answer.headers["access-control-allow-methods"]) == ("mine", "BREW")
    assert answer.headers["access-control-allow-origin"] == "https://good.example"


async def test_an_endpoint_without_origins_sends_no_headers_of_cors(app):
    answer = await send(app, "open", method="GET", path="/page", Origin="https://good.example")
    assert "vary" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
