"""Attacks on the opening handshake: floods, sizes, requests hidden in requests (RFC 9112 sections 5, 6 and 11.2)."""

import asyncio

import pytest

KEY_HEADER = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
HIDDEN = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
TEXT = 1
REFUSED = {400, 413}


class TestSizes:
    async def test_a_header_without_an_end_is_cut_off(self, target):
        attacker = await target.attacker()
        await attacker.send(b"GET /echo HTTP/1.1\r\nX-Long: " + b"a" * 20_000)
        assert await attacker.status() == 413
        await attacker.rest()

    async def test_one_huge_header_is_refused(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake("/echo", "X-Long: " + "a" * 100_000))
        assert await attacker.status() == 413
        await attacker.rest()

    async def test_a_flood_of_headers_is_refused(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake("/echo", *(f"X-{number}: x" for number in range(50_000))))
        assert await attacker.status() == 431
        await attacker.rest()

    async def test_a_huge_path_is_refused(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake("/" + "a" * 100_000))
        assert await attacker.status() == 413
        await attacker.rest()

    async def test_a_path_of_thousands_of_segments_is_looked_up_like_any_other(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake("/a" * 3_000))
        assert await attacker.status() == 101

    async def test_a_flood_of_subprotocols_and_extensions_is_read_as_far_as_a_head_may_go(self, target):
        offers = ["Sec-WebSocket-Protocol: " + "a," * 1_500, "Sec-WebSocket-Extensions: " + "x;y=z," * 500]
        attacker = await target.attacker()
        await attacker.send(target.handshake("/echo", *offers))
        assert await attacker.status() == 101

    async def test_headers_are_bounded_however_slowly_they_come(self, target):
        attacker = await target.attacker()
        await attacker.send(b"GET /echo HTTP/1.1\r\n")
        for lines in range(1_000):  # 21 KB, which do not end
            await attacker.send(b"X-Flood: 0123456789\r\n")
            if not lines % 100:
                await target.nobody_noticed()
        assert await attacker.status() in (413, 431)


SMUGGLED = [
    ("Content-Length twice", "Content-Length: 0\r\nContent-Length: 41"),
    ("Content-Length and Transfer-Encoding", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ("Content-Length that is a list", "Content-Length: 0, 5"),
    ("Content-Length with a sign", "Content-Length: +5"),
    ("Content-Length below nothing", "Content-Length: -1"),
    ("Content-Length in hexadecimal", "Content-Length: 0x5"),
    ("Content-Length of Unicode's digits", "Content-Length: ²"),
    ("Content-Length that is huge", "Content-Length: 99999999999999999999"),
    ("Content-Length with a space before the colon", "Content-Length : 5"),
    ("Transfer-Encoding with a tab before the colon", "Transfer-Encoding\t: chunked"),
    ("Transfer-Encoding in capitals", "Transfer-Encoding: CHUNKED"),
    ("Transfer-Encoding twice", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    ("Transfer-Encoding with something before it", "Transfer-Encoding: gzip, chunked"),
    ("Transfer-Encoding with something behind it", "Transfer-Encoding: chunked, identity"),
    ("Transfer-Encoding with a control character", "Transfer-Encoding: \x0bchunked"),
    ("Transfer-Encoding behind a blank of Unicode's", "Transfer-Encoding: \xc2\xa0chunked"),
    ("a folded line that is a header to others", "X-Fold: a\r\n Content-Length: 5"),
    ("a folded line by a tab", "X-Fold: a\r\n\tTransfer-Encoding: chunked"),
    ("a folded line that is none of a header", "X-Fold: a\r\n b"),
    ("a bare line feed", "X-Line: a\nContent-Length: 5"),
    ("a bare carriage return", "X-Line: a\rContent-Length: 5"),
    ("a null", "X-Null: a\0b"),
    ("a header without a colon", "X-None"),
    ("a header without a name", ": chunked"),
    ("a name that is no token", "X(a): b"),
    ("a name beyond ASCII", "X-\xe9: b"),
    ("two Hosts", "Host: evil.example"),
    ("two Hosts that agree", "Host: 127.0.0.1"),
    ("two keys", KEY_HEADER),
    ("two Origins", "Origin: https://good.example\r\nOrigin: https://evil.example"),
]


@pytest.mark.parametrize(("what", "lines"), SMUGGLED, ids=[what for what, _ in SMUGGLED])
async def test_a_handshake_that_two_servers_may_read_differently_is_refused(target, what, lines):
    attacker = await target.attacker()
    await attacker.send(target.handshake("/echo", lines))
    assert await attacker.status() in REFUSED
    assert b"101 Switching" not in await attacker.rest()


PLAIN = [row for row in SMUGGLED if not row[1].startswith(("Origin:", "Sec-"))]


@pytest.mark.parametrize(("what", "lines"), PLAIN, ids=[what for what, _ in PLAIN])
async def test_a_plain_request_that_two_servers_may_read_differently_is_refused_and_what_it_hides_is_not_answered(
    target, what, lines
):
    attacker = await target.attacker("web")
    await attacker.send(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n%b" % (lines.encode("latin-1"), HIDDEN))
    answers = await attacker.rest()
    assert int(answers.split()[1]) in REFUSED
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /hello HTTP/1.1", 400),
        ("GET /hello HTTP/1.1\r\nHosts: 127.0.0.1", 400),
        ("GET http://127.0.0.1/hello HTTP/1.1", 400),
        *(
            (f"GET /hello HTTP/1.1\r\nHost: {host}", 400)
            for host in ("a b", "a,b", "http://a", "a@b", "a:b", "[::1", "a/b")
        ),
        *((f"GET /hello HTTP/1.1\r\nhOST: {host}", 200) for host in ("", "a", "a:1", "[::1]", "[::1]:8090", "xn--a.b")),
        ("GET /hello HTTP/1.0", 200),
        ("GET /hello HTTP/1.0\r\nHost: a\r\nHost: b", 400),
    ],
)
async def test_a_plain_request_has_one_host_and_one_of_http_1_0_may_have_none(target, head, status):
    attacker = await target.attacker("web")
    await attacker.send(b"%b\r\nConnection: close\r\n\r\n" % head.encode())
    answers = await attacker.rest()
    assert int(answers.split()[1]) == status
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "line",
    [
        "GET  /echo HTTP/1.1",
        "GET /echo  HTTP/1.1",
        "GET\t/echo HTTP/1.1",
        "GET /echo",
        "GET /echo HTTP/1.1 x",
        " GET / HTTP/1.1",
    ],
)
async def test_a_request_line_that_is_none_is_refused(target, line):
    attacker = await target.attacker()
    await attacker.send(target.handshake().replace(b"GET /echo HTTP/1.1", line.encode()))
    assert await attacker.status() == 400
    await attacker.rest()


async def test_the_preface_of_http2_is_refused(target):
    attacker = await target.attacker()
    await attacker.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    assert await attacker.status() == 400
    await attacker.rest()


async def test_the_hello_of_tls_is_no_handshake(target):
    attacker = await target.attacker()
    await attacker.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
    attacker.end_of_sending()
    assert b" 101 " not in await attacker.rest()


class TestBehindTheHandshake:
    async def test_a_second_request_is_read_as_frames_and_never_answered(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake() + HIDDEN)
        assert await attacker.status() == 101
        assert await attacker.closed() == 1002
        assert await attacker.rest() == b""

    async def test_a_second_handshake_is_read_as_frames_and_never_answered(self, target):
        attacker = await target.attacker()
        await attacker.send(target.handshake() * 2)
        assert await attacker.status() == 101
        assert await attacker.closed() == 1002
        assert b"HTTP" not in await attacker.rest()

    async def test_frames_behind_a_refused_handshake_are_no_messages(self, target, frame):
        watcher, _ = await target.intruder("/rooms/a")
        attacker = await target.attacker()
        await attacker.send(target.handshake("/rooms/a", Sec_WebSocket_Version="8") + frame(TEXT, b'{"message":1}'))
        assert await attacker.status() == 426
        assert b"HTTP/1.1 101" not in await attacker.rest()
        await watcher.send(frame(TEXT, b'{"message":2}'))
        assert await watcher.frame() == (TEXT, b"2")

    async def test_frames_in_a_body_are_no_messages(self, target, frame):
        hidden = frame(TEXT, b'{"message":1}')
        watcher, _ = await target.intruder("/rooms/a")
        attacker = await target.attacker()
        await attacker.send(target.handshake("/rooms/a", f"Content-Length: {len(hidden)}") + hidden)
        assert await attacker.status() == 400
        await attacker.rest()
        await watcher.send(frame(TEXT, b'{"message":2}'))
        assert await watcher.frame() == (TEXT, b"2")

    async def test_a_handshake_behind_a_plain_request_is_one_and_what_follows_are_frames(self, target, frame):
        attacker = await target.attacker()
        plain = b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await attacker.send(plain + target.handshake() + frame(TEXT, b'{"message":"mine"}'))
        assert await attacker.status() == 426
        await attacker.until(b"HTTP/1.1 ")
        assert (await attacker.until(b"\r\n\r\n")).startswith(b"101 ")
        assert await attacker.frame() == (TEXT, b"mine")

    async def test_a_port_of_pages_opens_no_websocket(self, target, frame):
        attacker = await target.attacker("web")
        await attacker.send(target.handshake() + frame(TEXT, b'{"message":1}'))
        assert await attacker.status() == 400


class TestGoingAway:
    async def test_peers_that_end_with_their_handshake_leave_nothing(self, target, frame):
        for number in range(200):
            attacker = await target.attacker()
            await attacker.send(target.handshake(f"/rooms/{number}") + frame(TEXT, b'{"message":1}') * (number % 3))
            if number % 4 == 0:
                attacker.end_of_sending()
            else:
                attacker.vanish(reset=number % 4 == 1)
            if not number % 20:
                await target.nobody_noticed()
        await target.is_alone_again()

    async def test_peers_that_end_in_the_middle_of_a_handshake_leave_nothing(self, target):
        head = target.handshake()
        for size in range(0, len(head), 3):
            attacker = await target.attacker()
            await attacker.send(head[:size])
            if size % 2:
                attacker.vanish(reset=size % 4 == 1)
            else:
                attacker.end_of_sending()
                assert b" 101 " not in await attacker.rest()
        await target.is_alone_again()

    async def test_hundreds_of_handshakes_at_once_are_all_answered(self, target):
        attackers = await asyncio.gather(*(target.attacker() for _ in range(300)))
        await asyncio.gather(*(attacker.send(target.handshake()) for attacker in attackers))
        assert set(await asyncio.gather(*(attacker.status() for attacker in attackers))) == {101}
        await target.nobody_noticed()
