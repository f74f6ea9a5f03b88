"""The key ``proxies`` of an endpoint: who is believed about the clients of a request."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from signalpost.config.model import (
    AddressLimits,
    EndpointConfig,
    ForwardingHeaders,
    IpNetwork,
    LimitsConfig,
    ProxiesConfig,
)
from signalpost.config.section import Section
from signalpost.words import quoted
from signalpost.yaml.report import Report

_UNIX = "unix"
_ALLOWED = "(allowed: an IPv4 or IPv6 address, a network such as 10.0.0.0/8, or unix)"


def read_proxies(section: Section, *, unix: bool) -> ProxiesConfig | None:
    """Read the trusted proxies of an endpoint: a list, or a mapping of one and the headers that they write.

    Args:
        section: of the endpoint.
        unix: whether the endpoint is a Unix socket.
    """
    parts = section.section("proxies")
    where, name = (section, "proxies") if parts is None else (parts, "addresses")
    networks: list[IpNetwork] = []
    by_socket = False
    for keys, text in where.texts(name):
        if text == _UNIX and not unix:
            where.report.add(
                keys, "this endpoint is no Unix socket: list the addresses of its proxies, as in 127.0.0.1"
            )
        elif text == _UNIX:
            by_socket = True
        elif unix:
            where.report.add(keys, f"who connects to a Unix socket has no address: write {_UNIX} instead")
        else:
            try:
                networks.append(parse_network(text))
            except ValueError as error:
                where.report.add(keys, str(error))
    if not networks and not by_socket:
        return None
    text = "" if parts is None else parts.text("headers") or ""
    headers = ForwardingHeaders(text) if text in set(ForwardingHeaders) else None
    return ProxiesConfig(tuple(networks), by_socket, headers)


def parse_network(text: str) -> IpNetwork:
    """Return the network of an address, or of a text with the length of its prefix: ``10.0.0.0/8``.

    Raises:
        ValueError: with one line that says what is allowed.
    """
    if "://" in text:
        raise ValueError(f"{quoted(text)} is a URL; a proxy is known by its address, as in 10.0.0.5")
    if text == "*":
        raise ValueError('"*" would believe everybody about who they are; list the addresses of your proxies')
    if text == "localhost":
        raise ValueError('"localhost" is a name; write its addresses: 127.0.0.1 and "::1"')
    if text.startswith("["):
        raise ValueError(f'{quoted(text)}: an IPv6 address stands here without brackets and port, as in "::1"')
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        raise ValueError(f"{quoted(text)} holds a port, and a proxy connects from any: write {quoted(host)}")
    try:
        return _canonical(ip_network(text))
    except ValueError:
        pass
    address, slash, _ = text.partition("/")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(_no_network(text, address, has_prefix=bool(slash))) from None
    raise ValueError(
        f"{quoted(text)} is an address in a network: write {quoted(address)} for that one alone, or "
        f"{quoted(str(network))} for all in it"
    )


def _no_network(text: str, address: str, *, has_prefix: bool) -> str:
    try:
        longest = ip_address(address).max_prefixlen
    except ValueError:
        return f"{quoted(text)} is no address {_ALLOWED}; names change, so they are not looked up"
    return f"{quoted(text)}: a prefix is 0 to {longest}" if has_prefix else f"{quoted(text)} is no address {_ALLOWED}"


def _canonical(network: IpNetwork) -> IpNetwork:
    """Return a network of IPv4 addresses written as IPv6 ones (``::ffff:10.0.0.0/104``) as one of IPv4."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:  # noqa: PLR2004 - RFC 4291 section 2.5.5.2
        return network
    return ip_network((mapped, network.prefixlen - 96))


def proxy_notes(report: Report, endpoints: Sequence[EndpointConfig], limits: LimitsConfig) -> Iterator[str]:
    """Yield notes about endpoints that believe everybody, or that take all clients of a proxy for one."""
    for endpoint in endpoints:
        name, proxies = quoted(endpoint.name), endpoint.proxies
        place = report.source.place((*endpoint.keys, "proxies"))
        for network in () if proxies is None else proxies.networks:
            if not network.prefixlen:
                yield (
                    f"{place}: proxies of the endpoint {name} has {network}, so whoever can connect may "
                    "say to be anybody, for limits and logs: list the addresses of the proxies alone"
                )
        if proxies is None and limits.per_address != AddressLimits() and endpoint.socket:
            yield (
                f"{report.source.place(endpoint.keys)}: clients of the endpoint {name} have no address, "
                "so limits.per_address counts all of them as one: write proxies: [unix], if a proxy says who they are"
            )
