"""Pages of other sites that would like to open WebSockets here, over a real socket (RFC 6455 section 10.2)."""

import pytest

TRICKS = [
    ("null", "null"),
    ("null in another case", "NULL"),
    ("the end of a listed name", "https://evil-good.example"),
    ("the beginning of a listed name", "https://good.example.evil.example"),
    ("a name below a listed one", "https://evil.good.example"),
    ("a listed name with a dot behind it", "https://good.example."),
    ("a listed name with another port", "https://good.example:444"),
    ("a listed name with a port too large", "https://good.example:65979"),
    ("a listed name without TLS", "http://good.example"),
    ("a listed name as a user", "https://good.example@evil.example"),
    ("a listed name as a user and password", "https://good.example:443@evil.example"),
    ("a listed name with a user", "https://evil@good.example"),
    ("a listed name behind a backslash", "https://evil.example\\.good.example"),
    ("a listed name before a backslash", "https://good.example\\.evil.example"),
    ("a listed name in a path", "https://evil.example/good.example"),
    ("a listed name in a fragment", "https://evil.example#good.example"),
    ("a listed name with a path", "https://good.example/"),
    ("a listed name and another", "https://good.example https://evil.example"),
    ("a listed name and another after a comma", "https://good.example,https://evil.example"),
    ("a listed name percent-encoded", "https://good%2eexample"),
    ("a listed name with a soft hyphen", "https://goo\xadd.example"),
    ("a listed name with a letter that looks alike", "https://g\xf6od.example"),
    ("a listed name that looks alike, in Punycode", "https://xn--gd-7kcb.example"),
    ("a listed name in fullwidth letters, as UTF-8", "https://ｇood.example".encode().decode("latin-1")),  # noqa: RUF001
    ("a listed name with an ideographic full stop, as UTF-8", "https://good。example".encode().decode("latin-1")),
    ("a listed name with a tab in it", "https://good\t.example"),
    ("this host on a port that is not ours", "http://127.0.0.1:1"),
    ("this host in another spelling", "http://127.1:{port}"),
    ("this host as a number", "http://2130706433:{port}"),
    ("this host by another name", "http://localhost:{port}"),
    ("this host as a user", "http://127.0.0.1:{port}@evil.example"),
    ("a file", "file://"),
    ("an extension", "chrome-extension://good.example"),
    ("a scheme like ours", "https+evil://good.example"),
    ("data", "data:text/html,good.example"),
]


@pytest.mark.parametrize(("what", "origin"), TRICKS, ids=[what for what, _ in TRICKS])
async def test_a_page_of_another_site_opens_nothing_by(target, what, origin):
    port = target.port()
    attacker = await target.attacker()
    await attacker.send(target.handshake(Host=f"127.0.0.1:{port}", Origin=origin.format(port=port)))
    assert await attacker.status() == 403


@pytest.mark.parametrize(
    "origin", ["https://good.example", "HTTPS://GOOD.EXAMPLE", "https://good.example:443", "http://127.0.0.1:{port}"]
)
async def test_a_page_of_a_listed_origin_or_of_this_server_opens_a_websocket(target, origin):
    port = target.port("web")
    attacker = await target.attacker()
    await attacker.send(target.handshake(Host="127.0.0.1", Origin=origin.format(port=port)))
    assert await attacker.status() == 101
