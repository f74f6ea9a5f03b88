"""Requests that try to make an endpoint's redirect lead somewhere else, or say more than an address."""

import asyncio
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.testing import serve

APP = """
endpoints:
  - {name: plain, address: ADDRESS, port: 0, protocol: http, redirect: web, hosts: HOSTS}
  - {name: old, address: ADDRESS, port: 0, protocol: ws, redirect: live}
  - {name: web, address: ADDRESS, port: 0, protocol: https, self_signed: true}
  - {name: live, address: ADDRESS, port: 0, protocol: wss, self_signed: true}
"""


def app(address="127.0.0.1", hosts="[app.example]"):
    return APP.replace("ADDRESS", address).replace("HOSTS", hosts)


@pytest.fixture(scope="module", params=[("127.0.0.1", "[app.example]"), ('"*"', "[]")], ids=["hosts", "any host"])
async def running(request):
    async with serve(app(*request.param)) as served:
        yield served


def port_of(served, name):
    return next(each.port for each in served.server.endpoints if each.name == name)


async def ask(port, line, host=b"app.example", rest=b"", end=b"\r\n"):
    """Return the status and the fields of the answer to a request, in lower case; None if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(line + b"\r\nhost: " + host + b"\r\nconnection: close\r\n" + rest + end)
        answer = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return None
    finally:
        writer.close()
    if not answer:
        return None
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return int(head[0].split()[1]), [tuple(each.split(": ", 1)) for each in head[1:]]


def check(served, answer, host):
    """Check that an answer leads to the port of the other endpoint, at the host that was asked for, or nowhere."""
    if answer is None:
        return
    status, fields = answer
    found = [value for name, value in fields if name == "location"]
    assert len(found) == (status == 308), answer
    for where in found:
        assert where.isascii()
        assert where.isprintable()
        assert not set(where) & set(' "<>\\^`{|}')
        parts = urlsplit(where)
        assert (parts.scheme, parts.port) == ("https", port_of(served, "web"))
        assert parts.hostname == host.partition(":")[0].lower()
        assert "@" not in parts.netloc
    assert not [name for name, _ in fields if name in {"x", "set-cookie"}]


@pytest.mark.parametrize(
    "target",
    [
        b"//evil.example/x",
        b"///evil.example",
        b"/\\evil.example",
        b"/%0d%0aset-cookie:%20a=b",
        b"/%5c%5cevil.example",
        b"/@evil.example/",
        b"/x?next=//evil.example#y",
        b"/;@evil.example",
        b"/" + b"a" * 7_000,
        b"/%",
        b"/%zz?%",
        b"*",
        b"?x",
        b"x",
        b"evil.example:443",
        b"javascript:alert(1)",
        b"http:evil.example/x",
        b"http:///x",
        b"http://user@app.example/x",
        b"http://app.example@evil.example/x",
        b"/\xc3\xa4?\xff",
        b'/"<script>',
    ],
)
async def test_an_address_never_leads_to_another_host(running, target):
    for method in (b"GET", b"OPTIONS", b"POST"):
        answer = await ask(port_of(running, "plain"), method + b" " + target + b" HTTP/1.1")
        check(running, answer, "app.example")


@pytest.mark.parametrize(
    "line",
    [b"GET http://evil.example/x HTTP/1.1", b"GET https://evil.example HTTP/1.1", b"CONNECT evil.example:443 HTTP/1.1"],
)
async def test_two_hosts_are_refused(running, line):
    answer = await ask(port_of(running, "plain"), line)
    assert answer is None or answer[0] in {400, 421}


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b":80",
        b"evil.example/app.example",
        b"app.example@evil.example",
        b"app.example evil.example",
        b"app.example, evil.example",
        b"app.example\r\nhost: evil.example",
        b"app.example\rx: y",
        b"app.example\nx: y",
        b"app.example\x00",
        b'evil.example"onload=x',
        b"evil.example<script>",
        b"evil.example%0d%0ax",
        b"evil.example\\@app.example",
        b"evil.example#",
        b"evil.example?",
        b"[evil.example]",
        b"[::1]evil.example",
        b"\xc3\xa4.example",
        b"-",
        b".",
        b"a" * 6_000,
    ],
)
async def test_a_host_that_is_none_is_never_written_into_the_answer(running, host):
    answer = await ask(port_of(running, "plain"), b"GET /x HTTP/1.1", host)
    if host == b"a" * 6_000 and answer is not None and answer[0] == 308:
        return  # long, and a name for all that this can know
    assert answer is None or answer[0] in {400, 421, 431}, answer


async def test_the_rules_of_hosts_hold_before_the_redirect():
    async with serve(app()) as served:
        for name in ("plain", "old"):
            rest = b"upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
            answer = await ask(port_of(served, name), b"GET /x HTTP/1.1", b"evil.example", rest)
            assert answer is not None
            assert answer[0] in {400, 421}
            assert not [value for field, value in answer[1] if field == "location"]


async def test_a_body_behind_a_redirected_request_is_no_second_request(running):
    inner = b"GET /second HTTP/1.1\r\nhost: app.example\r\n\r\n"
    for framing in (
        b"content-length: %d\r\n\r\n" % len(inner) + inner,
        b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n",
    ):
        answer = await ask(port_of(running, "plain"), b"POST /first HTTP/1.1", rest=framing, end=b"")
        assert answer is not None
        assert dict(answer[1])["location"].endswith("/first")


ODD = st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b""))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=ODD, query=ODD)
async def test_whatever_the_address_the_answer_leads_to_the_other_endpoint_or_nowhere(running, path, query):
    answer = await ask(port_of(running, "plain"), b"GET /" + path + b"?" + query + b" HTTP/1.1")
    check(running, answer, "app.example")
