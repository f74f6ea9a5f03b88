"""Files over a real socket: what is sent, what is not, and what is refused."""

import os
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sanic.exceptions import RangeNotSatisfiable

from signalpost.http.files import CHUNK, StaticFolder, _servable, content_type, part_of
from signalpost.http.router import path_segments
from signalpost.http.routes import CLIENT_MODULE


async def test_a_file_is_sent_with_its_type_and_version(serve, rule, write):
    page = write("web/index.html", "<h1>Grüße</h1>")
    site = await serve(rule("/", file=page))
    answer = await site.client.get("/")
    assert (answer.status_code, answer.text) == (200, "<h1>Grüße</h1>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["last-modified"] == formatdate(int(page.stat().st_mtime), usegmt=True)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "alt-svc" not in answer.headers


async def test_a_file_that_the_client_has_is_not_sent_again(serve, rule, write):
    site = await serve(rule("/", file=write("a.css", "a{}")))
    first = await site.client.get("/")
    for condition in (
        {"if-none-match": first.headers["etag"]},
        {"if-none-match": f'"x", W/{first.headers["etag"]}'},
        {"if-none-match": "*"},
        {"if-modified-since": first.headers["last-modified"]},
    ):
        again = await site.client.get("/", headers=condition)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-type" not in again.headers
        assert "content-length" not in again.headers


async def test_a_file_that_changed_is_sent_again(serve, rule, write):
    page = write("a.css", "a{}")
    os.utime(page, ns=(10**18, 10**18))
    site = await serve(rule("/", file=page))
    first = await site.client.get("/")
    os.utime(page, ns=(10**18 + 1, 10**18 + 1))
    for condition in (
        {"if-none-match": first.headers["etag"]},
        {"if-none-match": first.headers["etag"], "if-modified-since": first.headers["last-modified"]},
        {"if-modified-since": formatdate(10**9 - 1, usegmt=True)},
        {"if-modified-since": "yesterday"},
        {"if-modified-since": "Mon, 01 Jan 99999 00:00:00 GMT"},
    ):
        assert (await site.client.get("/", headers=condition)).status_code == 200


async def test_the_client_for_browsers_is_sent_at_any_path(site):
    async with site("routes: [{path: /any/name.js, client: true}]") as app, httpx.AsyncClient() as client:
        url = f"{app.url('web')}/any/name.js"
        answer = await client.get(url)
        head = await client.head(url)
        again = await client.get(url, headers={"if-none-match": answer.headers["etag"]})
        post = await client.post(url)
    assert (answer.status_code, answer.content) == (200, CLIENT_MODULE.read_bytes())
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert (head.status_code, head.content) == (200, b"")
    assert (again.status_code, post.status_code) == (304, 405)


async def test_head_tells_the_length_and_sends_nothing(serve, rule, write):
    site = await serve(rule("/", file=write("a.bin", b"x" * 5000)))
    head = await site.raw(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    lines, _, body = head.partition(b"\r\n\r\n")
    assert body == b""
    assert b"content-length: 5000" in lines
    assert b"application/octet-stream" in lines


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-3", (b"0123", "bytes 0-3/10")),
        ("bytes=4-", (b"456789", "bytes 4-9/10")),
        ("bytes=-3", (b"789", "bytes 7-9/10")),
        ("bytes=8-999", (b"89", "bytes 8-9/10")),
        ("bytes=-999", (b"0123456789", "bytes 0-9/10")),
    ],
)
async def test_a_part_of_a_file_is_sent(serve, rule, write, wanted, part):
    site = await serve(rule("/", file=write("digits", "0123456789")))
    answer = await site.client.get("/", headers={"range": wanted})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, *part)


@pytest.mark.parametrize("wanted", ["bytes=3-1", "bytes=0-1,4-5", "lines=0-1", "bytes=-", "bytes=a-b", "bytes"])
async def test_a_range_that_is_none_gets_the_whole_file(serve, rule, write, wanted):
    site = await serve(rule("/", file=write("digits", "0123456789")))
    answer = await site.client.get("/", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, b"0123456789")


async def test_a_part_beyond_the_end_is_416_with_the_length(serve, rule, write):
    site = await serve(rule("/", file=write("digits", "0123456789")))
    answer = await site.client.get("/", headers={"range": "bytes=10-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


async def test_a_part_of_another_version_gets_the_whole_file(serve, rule, write):
    site = await serve(rule("/", file=write("digits", "0123456789")))
    first = await site.client.get("/")
    same = {"range": "bytes=0-1", "if-range": first.headers["etag"]}
    other = {"range": "bytes=0-1", "if-range": '"other"'}
    dated = {"range": "bytes=0-1", "if-range": first.headers["last-modified"]}
    assert [(await site.client.get("/", headers=headers)).status_code for headers in (same, other, dated)] == [
        206,
        200,
        206,
    ]


@given(st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True), st.integers(0, 300))
def test_a_part_lies_within_the_file(header, size):
    try:
        part = part_of(header, size)
    except RangeNotSatisfiable:
        return
    if part:
        start, length = part
        assert 0 <= start < start + length <= size


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
async def test_files_of_any_size_come_back_whole(serve, rule, write, size):
    content = os.urandom(size)
    site = await serve(rule("/", file=write("noise.bin", content)))
    answer = await site.client.get("/")
    assert answer.content == content
    assert answer.headers["content-length"] == str(size)
    part = await site.client.get("/", headers={"range": f"bytes={size // 3}-"})
    if size:
        assert part.content == content[size // 3 :]


async def test_a_connection_serves_on_after_a_large_file(serve, rule, write):
    site = await serve(rule("/big", file=write("big", b"x" * 3 * CHUNK)), rule("/small", file=write("small", "s")))
    both = b"GET /big HTTP/1.1\r\nhost: x\r\n\r\nGET /small HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await site.raw(both)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\ns")


async def test_a_file_that_is_gone_is_404_and_a_line_in_the_log(serve, rule, write, caplog):
    page = write("web/secret-name.html", "here")
    site = await serve(rule("/", file=page))
    page.unlink()
    answer = await site.client.get("/")
    assert answer.status_code == 404
    assert "secret-name" not in answer.text
    assert caplog.messages == [
        "routes.yaml:14: the file of this route cannot be sent: web/secret-name.html: No such file or directory"
    ]


async def test_a_pipe_in_place_of_a_file_is_404_at_once(serve, rule, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    site = await serve(rule("/", file=tmp_path / "pipe"))
    assert (await site.client.get("/")).status_code == 404


@pytest.fixture
def folder(write, tmp_path):
    """Make a folder to serve, with things in it and beside it that are nobody's business."""
    write("web/index.html", "index")
    write("web/app.js", "js")
    write("web/naïve file.txt", "odd")
    write("web/sub/index.html", "sub index")
    write("web/sub/page.html", "page")
    write("web/empty/file.txt", "")
    write("web/.env", "secret")
    write("web/.git/config", "secret")
    write("web/.well-known/security.txt", "contact")
    write("web/a\\b", "secret")
    write("outside.txt", "secret")
    write("webby/x.txt", "secret")
    web = tmp_path / "web"
    (web / "out.txt").symlink_to(tmp_path / "outside.txt")
    (web / "outdir").symlink_to(tmp_path / "webby")
    (web / "in.txt").symlink_to("app.js")
    (web / "hidden.txt").symlink_to(".env")
    (web / "loop").symlink_to("loop")
    (web / "linked").mkdir()
    (web / "linked" / "index.html").symlink_to(tmp_path / "outside.txt")
    return web


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/assets/", "index"),
        ("/assets/index.html", "index"),
        ("/assets/app.js", "js"),
        ("/assets/%61pp.js", "js"),
        ("/assets/na%C3%AFve%20file.txt", "odd"),
        ("/assets/sub/", "sub index"),
        ("/assets/sub/page.html", "page"),
        ("/assets/in.txt", "js"),
        ("/assets/.well-known/security.txt", "contact"),
    ],
)
async def test_what_is_in_the_folder_is_served(serve, rule, folder, path, content):
    site = await serve(rule("/assets", static=folder))
    answer = await site.client.get(path)
    assert (answer.status_code, answer.text) == (200, content)


REFUSED = [
    "/assets/../outside.txt",
    "/assets/sub/../../outside.txt",
    "/assets/%2e%2e/outside.txt",
    "/assets/.%2E/outside.txt",
    "/assets/..%2foutside.txt",
    "/assets/..%5coutside.txt",
    "/assets/%252e%252e/outside.txt",
    "/assets/sub%2fpage.html",
    "/assets/sub%2f..%2f..%2foutside.txt",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/a%5cb",
    "/assets/a\\b",
    "/assets/app.js%00",
    "/assets/%00",
    "/assets/app.js%00.html",
    "/assets/.env",
    "/assets/%2eenv",
    "/assets/.git/config",
    "/assets/out.txt",
    "/assets/outdir/x.txt",
    "/assets/hidden.txt",
    "/assets/linked/",
    "/assets/loop",
    "/assets/empty/",
    "/assets/empty",
    "/assets/missing",
    "/assets/app.js/x",
    "/assets/%ff",
    "/assets/" + "x" * 300,
    "/assets/" + "x/" * 2000,
    "/assetsapp.js",
    "/assets../outside.txt",
]


@pytest.mark.parametrize("path", REFUSED, ids=[path[:40] for path in REFUSED])
async def test_what_is_not_to_be_had_is_404(serve, rule, folder, path):
    site = await serve(rule("/assets", static=folder))
    answer = await site.raw(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"secret" not in answer
    assert str(folder).encode() not in answer


@given(
    st.lists(st.sampled_from(["..", ".", "%2e%2e", "%2f", "\\", "sub", "out.txt", "outdir", "etc", "%00"]), max_size=6)
)
def test_no_path_leads_out_of_the_folder(tmp_path_factory, pieces):
    base = tmp_path_factory.mktemp("static", numbered=True)
    root = base / "web"
    (root / "sub").mkdir(parents=True)
    (base / "secret").write_text("secret")
    (root / "out.txt").symlink_to(base / "secret")
    (root / "outdir").symlink_to(base)
    segments = path_segments("/" + "/".join(pieces))
    if segments is None or not all(map(_servable, segments)):
        return
    try:
        path, _ = StaticFolder(root)._find(segments)
    except (OSError, RuntimeError):
        return
    assert path.is_relative_to(root.resolve())


async def test_a_folder_without_its_slash_is_redirected_to_it(serve, rule, folder):
    site = await serve(rule("/assets", static=folder))
    for path, target in (("/assets", "./assets/"), ("/assets/sub?a=1&b=%20", "./sub/?a=1&b=%20")):
        answer = await site.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (308, target)
        followed = await site.client.get(path, follow_redirects=True)
        assert followed.status_code == 200


async def test_a_folder_at_the_root_leaves_other_routes_alone(serve, rule, folder, write):
    site = await serve(rule("/", static=folder), rule("/app.js", file=write("other.js", "other")))
    assert (await site.client.get("/")).text == "index"
    assert (await site.client.get("/sub/page.html")).text == "page"
    assert (await site.client.get("/app.js")).text == "other"


async def test_a_folder_takes_no_posts(serve, rule, folder):
    site = await serve(rule("/assets", static=folder))
    answer = await site.client.post("/assets/app.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_route_below_a_folder_stands_before_it(serve, rule, folder):
    async def rest(event):
        return event.params["rest"]

    site = await serve(rule("/assets", static=folder), rule("/assets/<rest:path>", "GET", handler=rest))
    assert (await site.client.get("/assets/app.js")).text == "app.js"
    assert (await site.client.get("/assets/")).text == "index"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat.js", "text/javascript; charset=utf-8"),
        ("LOGO.SVG", "image/svg+xml"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("a.unknown-kind", "application/octet-stream"),
    ],
)
def test_the_name_tells_the_type(name, kind):
    assert content_type(Path(name)) == kind
