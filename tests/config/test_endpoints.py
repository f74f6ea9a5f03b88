"""Endpoints: addresses, ports, protocols, certificates and origins."""

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.addresses import parse_address, parse_origin
from signalpost.config.load import parse_config
from signalpost.config.model import CompressionConfig
from signalpost.errors import ConfigError


def endpoints(*lines):
    return "endpoints:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


WEB = "name: web, address: 127.0.0.1, port: 80, protocol: http"


@pytest.mark.parametrize(
    "second",
    [
        "name: b, address: 127.0.0.1, port: 80, protocol: ws",
        "name: b, address: 127.0.0.1, port: 81, protocol: http",
        "name: b, address: 127.0.0.2, port: 80, protocol: http",
        "name: b, address: '::', port: 80, protocol: http",
        "name: b, address: localhost, port: 80, protocol: http",
    ],
)
def test_endpoints_that_can_listen_beside_each_other(config, second):
    assert len(config(endpoints(WEB, second)).endpoints) == 2


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("address: 127.0.0.1, port: 80, protocol: http", "only an http and a ws endpoint can share one, not http and"),
        ("address: 127.0.0.1, port: 80, protocol: wss, self_signed: true", "http and wss cannot share one; only one o"),
        ("address: '*', port: 80, protocol: ws", "* is every address already"),
        ("address: 0.0.0.0, port: 80, protocol: ws", "0.0.0.0 is every address already"),
    ],
)
def test_endpoints_that_clash_name_both_places(problems, second, says):
    (found,) = problems(endpoints(WEB, f"name: b, {second}"))
    assert found.startswith("3:")
    assert 'endpoints[1].port: port 80 is taken by the endpoint "web" at routes.yaml:2: ' in found
    assert says in found


def test_the_system_gives_every_endpoint_on_port_0_its_own(config):
    line = "address: 127.0.0.1, port: 0, protocol: http"
    assert len(config(endpoints(f"name: a, {line}", f"name: b, {line}")).endpoints) == 2


def test_encrypted_endpoints_share_a_port_with_one_certificate_only(config, problems):
    https = "name: a, address: '*', port: 443, protocol: https, self_signed: true"
    assert len(config(endpoints(https, https.replace("a,", "b,", 1).replace("https", "wss"))).endpoints) == 2
    found = problems(endpoints(https, "name: b, address: '*', port: 443, protocol: wss, certificate: web/index.html"))
    assert any("need the same certificate" in each for each in found)


def test_names_are_unique_even_beside_other_mistakes(problems):
    found = problems(endpoints(WEB, "name: web, address: 127.0.0.1, port: 90000, protocol: http"))
    assert 'endpoints[1].name: the name "web" is taken by the endpoint at routes.yaml:2' in found[0]
    assert "must be at most 65535" in found[1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("protocol: https", "https needs a certificate: add certificate: FILE.pem (or FILE.pfx), or self_signed: true"),
        ("protocol: http, self_signed: true", "http is not encrypted, so it has no self_signed: use protocol: https"),
        ("protocol: ws, certificate: x.pem", "ws is not encrypted, so it has no certificate: use protocol: wss"),
        ("protocol: wss, certificate: x.pem", 'no file "x.pem" in the folder of routes.yaml'),
        ("protocol: wss, certificate: web", '"web" is a folder; a file is meant here'),
        ("protocol: wss, self_signed: true, certificate: x.pem", "leave out either certificate or self_signed"),
        ("protocol: wss, self_signed: yes", "must be true or false"),
        ("protocol: wss, certificate: web/index.html", "index.html"),
        ("protocol: http, origins: ['https://a/b']", 'is more than an origin: write "https://a"'),
        ("protocol: ws, origins: ['https://a', 'b.example']", 'origins[1]: "b.example" is no origin; did you mean "ht'),
        ("protocol: htp", '"htp" is not allowed here; did you mean "http"?'),
    ],
)
def test_a_certificate_or_origin_in_the_wrong_place(problems, line, says):
    (found,) = problems(endpoints(f"name: a, address: 127.0.0.1, port: 80, {line}"))
    assert says in found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", None),
        (", compression: false", None),
        (", compression: true", CompressionConfig(6, 1024)),
        (", compression: {}", CompressionConfig(6, 1024)),
        (", compression: {level: 1}", CompressionConfig(1, 1024)),
        (", compression: {level: 9, threshold: 64B}", CompressionConfig(9, 64)),
        (", compression: {threshold: 4096}", CompressionConfig(6, 4096)),
    ],
)
def test_compression_is_off_unless_it_is_asked_for(config, written, expected):
    (found,) = config(endpoints(f"name: a, address: 127.0.0.1, port: 80, protocol: ws{written}")).endpoints
    assert found.compression == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("protocol: http, compression: true", "only ws and wss endpoints compress: move it there"),
        ("protocol: ws, compression: gzip", "compression: must be a mapping or true or false"),
        ("protocol: ws, compression: {level: 0}", "compression.level: must be at least 1, not 0"),
        ("protocol: ws, compression: {level: 10}", "compression.level: must be at most 9, not 10"),
        ("protocol: ws, compression: {treshold: 1KiB}", 'did you mean "threshold"?'),
        ("protocol: ws, compression: {threshold: 1kilo}", "compression.threshold: "),
    ],
)
def test_compression_that_cannot_be_meant(problems, line, says):
    (found,) = problems(endpoints(f"name: a, address: 127.0.0.1, port: 80, {line}"))
    assert says in found


def test_a_pfx_holds_its_own_key(problems, app):
    (app / "site.pfx").write_bytes(b"")
    line = "name: a, address: 127.0.0.1, port: 80, protocol: wss, certificate: site.pfx, key: web/index.html"
    assert "a .pfx file holds its own key" in problems(endpoints(line))[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("127.0.0.1:8090", 'write address: "127.0.0.1" and port: 8090'),
        ("http://localhost", "is a URL"),
        ("[::1]", "without brackets"),
        ("300.1.1.1", "no address"),
        ("a b", "no address"),
        ("-a.example", "no address"),
        ("x" * 300, "no address"),
    ],
)
def test_an_address_that_is_none(text, says):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_address(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("*", "*"),
        ("::1", "::1"),
        ("0:0::1", "::1"),
        ("LocalHost", "localhost"),
        ("my-host.example.", "my-host.example."),
    ],
)
def test_an_address_has_one_form(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://App.example.com", "https://app.example.com"),
        ("https://a:443", "https://a"),
        ("http://a:443", "http://a:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
        ("FILE://", "file://"),
    ],
)
def test_an_origin_has_the_form_that_browsers_send(text, origin):
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*", "no wildcard"),
        ("https://*.example.com", "no wildcard"),
        ("https://a/", 'write "https://a"'),
        ("https://u@a", 'write "https://a"'),
        ("https://a:99999", "is no origin"),
        ("https://[", "is no origin"),
        ("nulls", "is no origin"),
        ("file:///home/me/page.html", 'write "file://" or "null"'),
        ("https://münchen.example", "xn--"),
    ],
)
def test_an_origin_that_is_none(text, says):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_origin(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hosts: ['https://app.example.com/x']", 'is a URL; a host is only its name: write "app.example.com"'),
        ("hosts: ['app.example.com:8090']", 'holds a port; a host is only its name: write "app.example.com"'),
        ("hosts: ['*.example.com:80']", 'write "*.example.com"'),
        ("hosts: ['*']", '"*" would accept every name'),
        ("hosts: ['*.*.example.com']", "is no host name"),
        ("hosts: ['app.*.com']", "is no host name"),
        ("hosts: [a, 127.0.0.1]", 'hosts[1]: "127.0.0.1": IP addresses are always answered; leave it out'),
        ("hosts: ['[::1]']", "IP addresses are always answered"),
        ("hosts: [b\u00fccher.example]", "in ASCII (xn--"),
        ("hosts: ['a b']", "is no host name"),
        ("hosts: [a..b]", "is no host name"),
        ("hosts: [a..]", "is no host name"),
        ("hosts: [-a.b]", "is no host name"),
        ("hosts: [" + "a" * 64 + ".b]", "is no host name"),
        ("hosts: [" + "a." * 127 + "b]", "is no host name"),
        ("hosts: a.example", "must be a list"),
        ("headers: {Content-Length: '5'}", "the server sets content-length itself"),
        ("headers: {Transfer-Encoding: chunked}", "the server sets transfer-encoding itself"),
        ("headers: {connection: close}", "the server sets connection itself"),
        ("headers: {date: now}", "the server sets date itself"),
        ("headers: {Sec-WebSocket-Accept: x}", "the server sets sec-websocket-accept itself"),
        ("headers: {'x y': z}", '"x y" is no name of a header'),
        ("headers: {'x:': z}", '"x:" is no name of a header'),
        ("headers: {x-\u017f: z}", "is no name of a header"),
        ('headers: {x: "a\\r\\nset-cookie: b"}', "one line of ASCII"),
        ('headers: {x: "a\\0"}', "one line of ASCII"),
        ("headers: {x: ' a'}", "no spaces at its ends"),
        ("headers: {x: 5}", "must be text"),
        ("headers: {X-A: a, x-a: b}", "x-a stands here twice"),
        ("headers: {x: '{{ now }}'}", "have no templates"),
    ],
)
def test_a_host_or_header_that_cannot_be_is_a_problem_that_says_what_is_meant(problems, line, says):
    (found,) = problems(endpoints(f"name: a, address: 127.0.0.1, port: 80, protocol: http, {line}"))
    assert says in found


def test_headers_are_of_answers_so_websockets_have_none(problems):
    (found,) = problems(endpoints("name: a, address: 127.0.0.1, port: 80, protocol: ws, headers: {x: y}"))
    assert "only http and https endpoints send headers" in found


def test_hosts_and_headers_are_kept_in_the_form_that_is_compared(config):
    line = (
        "name: a, address: '*', port: 80, protocol: http, hosts: [App.Example.com., '*.EXAMPLE.org'], headers: {X-A: b}"
    )
    (endpoint,) = config(endpoints(line)).endpoints
    assert endpoint.hosts == ("app.example.com", "*.example.org")
    assert endpoint.headers == (("x-a", "b"),)


KEEPALIVE = "endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: {protocol}, keepalive: {keepalive}}}]"


@pytest.mark.parametrize(
    ("keepalive", "read"),
    [
        ("{}", (25, 10)),
        ("{every: 5s}", (5, 10)),
        ("{patience: 2.5s}", (25, 2.5)),
        ("{every: 1m, patience: 30}", (60, 30)),
    ],
)
def test_an_endpoint_says_when_silent_clients_are_pinged_and_given_up(tmp_path, keepalive, read):
    text = KEEPALIVE.format(protocol="ws", keepalive=keepalive)
    (endpoint,) = parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN).endpoints
    assert (endpoint.keepalive.every, endpoint.keepalive.patience) == read


@pytest.mark.parametrize(
    ("protocol", "keepalive", "says"),
    [
        ("http", "{every: 5s}", "only ws and wss endpoints ping their clients"),
        ("ws", "{every: 0.5s}", "clients are looked at once a second: allow at least 1s"),
        ("ws", "{patience: 10ms}", "clients are looked at once a second: allow at least 1s"),
        ("ws", "{every: 0}", "keepalive.every"),
        ("ws", "{interval: 5s}", "interval"),
        ("ws", "off", "keepalive"),
    ],
)
def test_a_pace_that_cannot_be_kept_is_a_mistake(tmp_path, protocol, keepalive, says):
    text = KEEPALIVE.format(protocol=protocol, keepalive=keepalive)
    with pytest.raises(ConfigError, match=says):
        parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
