"""Keys about who comes from where, and how often: proxies, limits of addresses and users, rates of routes."""

from ipaddress import ip_network

import pytest

from signalpost.config.model import (
    AddressLimits,
    ForwardingHeaders,
    ProxiesConfig,
    RatePer,
    RouteRate,
    UserLimits,
)
from signalpost.units import Quota


def endpoint(proxies, address="127.0.0.1, port: 0"):
    return f"endpoints: [{{name: web, address: {address}, protocol: http, proxies: {proxies}}}]\n"


def proxies_of(found):
    return found.endpoints[0].proxies


def test_proxies_are_addresses_and_networks(config):
    found = proxies_of(config(endpoint('[10.0.0.5, 10.1.0.0/16, "::1", "fd00::/8", "::ffff:192.0.2.0/120"]')))
    networks = ("10.0.0.5/32", "10.1.0.0/16", "::1/128", "fd00::/8", "192.0.2.0/24")
    assert found == ProxiesConfig(tuple(map(ip_network, networks)))


def test_the_other_end_of_a_unix_socket_is_a_proxy_if_it_is_listed(config):
    assert proxies_of(config(endpoint("[unix]", '"unix:web/a.sock"'))) == ProxiesConfig(unix=True)
    assert proxies_of(config(endpoint("[]", '"unix:web/a.sock"'))) is None


def test_the_headers_that_proxies_write_may_be_named(config):
    found = proxies_of(config(endpoint("{addresses: [10.0.0.5], headers: forwarded}")))
    assert found == ProxiesConfig((ip_network("10.0.0.5"),), headers=ForwardingHeaders.FORWARDED)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("10.0.0.5/8", '"10.0.0.5/8" is an address in a network: write "10.0.0.5" for that one alone, or "10.0.0.0/8"'),
        ("10.0.0.0/33", '"10.0.0.0/33": a prefix is 0 to 32'),
        ('"::/129"', '"::/129": a prefix is 0 to 128'),
        ("nginx", '"nginx" is no address (allowed: an IPv4 or IPv6 address, a network such as 10.0.0.0/8, or unix)'),
        ('"10.0.0.5:80"', '"10.0.0.5:80" holds a port, and a proxy connects from any: write "10.0.0.5"'),
        ("unix", "this endpoint is no Unix socket: list the addresses of its proxies"),
        ('"*"', '"*" would believe everybody about who they are; list the addresses of your proxies'),
        ("localhost", '"localhost" is a name; write its addresses: 127.0.0.1 and "::1"'),
        ('"[::1]"', '"[::1]": an IPv6 address stands here without brackets and port, as in "::1"'),
        ("http://10.0.0.5", '"http://10.0.0.5" is a URL; a proxy is known by its address'),
    ],
)
def test_what_is_no_proxy_is_told_with_what_to_write(problems, entry, says):
    (found,) = problems(endpoint(f"[{entry}]"))
    assert found.startswith("1:")
    assert f"endpoints[0].proxies[0]: {says}" in found


def test_a_unix_socket_has_no_addresses_of_proxies(problems):
    (found,) = problems(endpoint("[10.0.0.5]", '"unix:web/a.sock"'))
    assert "who connects to a Unix socket has no address: write unix instead" in found


@pytest.mark.parametrize("network", ["0.0.0.0/0", '"::/0"'])
def test_believing_everybody_is_a_note(config, network):
    (note,) = config(endpoint(f"[10.0.0.5, {network}]")).notes
    assert note.startswith(f'routes.yaml:1: proxies of the endpoint "web" has {network.strip(chr(34))}, so whoever can')


def test_limits_of_addresses_at_a_unix_socket_without_proxies_are_a_note(config):
    limits = "limits: {per_address: {connections: 5}}\n"
    (note,) = config(endpoint("[]", '"unix:web/a.sock"') + limits).notes
    assert "limits.per_address counts all of them as one: write proxies: [unix]" in note
    assert not config(endpoint("[unix]", '"unix:web/a.sock"') + limits).notes
    assert not config(endpoint("[]", '"unix:web/a.sock"')).notes


def test_limits_of_addresses_and_users_are_off_and_may_be_given(config):
    found = config("").limits
    assert (found.per_address, found.per_user) == (AddressLimits(), UserLimits())
    found = config(
        """
        limits:
          per_address: {connections: 100, handshakes: 20/s, requests: 90/m}
          per_user: {connections: 10, rate: 50/s}
        """
    ).limits
    assert found.per_address == AddressLimits(100, Quota(20, 1), Quota(90, 60))
    assert found.per_user == UserLimits(10, 50.0)
    found = config("limits: {per_address: {handshakes: 0, requests: 0/s}, per_user: {rate: 0}}").limits
    assert (found.per_address, found.per_user) == (AddressLimits(), UserLimits())


def test_a_route_has_a_rate_by_address_or_by_what_it_says(config):
    route = "routes: [{{path: /, file: web/index.html, rate: {}}}]"
    for text, rate in (
        ("5/m", RouteRate(Quota(5, 60))),
        ("3", RouteRate(Quota(3, 1))),
        ("{requests: 10/h}", RouteRate(Quota(10, 3_600))),
        ("{requests: 10/m, per: user}", RouteRate(Quota(10, 60), RatePer.USER)),
        ("{requests: 10/m, per: route}", RouteRate(Quota(10, 60), RatePer.ROUTE)),
        ("0", None),
    ):
        assert config(route.format(text)).routes[0].rate == rate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rate: often", 'routes[0].rate: "often" is not a rate (allowed: 1000/s, 60/m, 3600/h'),
        ("rate: 5 per minute", '"5 per minute" is not a rate; did you mean "5/m"?'),
        ("rate: {per: user}", 'routes[0].rate: the key "requests" is missing'),
        ("rate: {requests: 5/m, per: adress}", 'did you mean "address"?'),
    ],
)
def test_a_rate_that_cannot_be_read_is_told(problems, text, says):
    (found,) = problems(f"routes: [{{path: /, file: web/index.html, {text}}}]")
    assert says in found


def test_no_connections_at_all_is_no_limit_that_anybody_means(problems):
    (found,) = problems("limits: {per_address: {connections: 0}}")
    assert "limits.per_address.connections: must be at least 1, not 0" in found
