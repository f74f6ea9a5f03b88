"""The endpoints of routes.yaml, each for itself and beside each other."""

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from signalpost.config.addresses import parse_address, parse_host, parse_origin
from signalpost.config.headers import read_headers
from signalpost.config.model import (
    EVENT_STREAM_KEEPALIVE,
    UNIX,
    CompressionConfig,
    EndpointConfig,
    Fallback,
    KeepaliveConfig,
    Scheme,
    ServerConfig,
)
from signalpost.config.proxies import read_proxies
from signalpost.config.redirects import check_redirects, moved, read_redirect
from signalpost.config.section import Section, check_names
from signalpost.config.tls import check_certificates, read_tls
from signalpost.errors import OperatorError
from signalpost.existence import is_folder
from signalpost.units import parse_duration, parse_size
from signalpost.words import quoted, unknown

LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket (unix(7))."""

_MODE = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All endpoints that could be read, for the parts that name them.

    Attributes:
        complete: whether every endpoint could be read, so that a missing one does not exist.
    """

    configs: tuple[EndpointConfig, ...]
    complete: bool

    def of_kind(self, *, signals: bool) -> list[str]:
        """Return the names of the endpoints that serve signals, or of those that serve routes."""
        return [each.name for each in self.configs if _serves(each, signals=signals)]

    def bound(self, section: Section, *, signals: bool) -> tuple[str, ...]:
        """Return the endpoints that the key ``endpoint`` of a route or signal names.

        Unknown ones, or ones of the wrong protocol, are reported and left out.

        Args:
            section: of the route or signal.
            signals: whether it is of a signal.
        """
        by_name = {each.name: each for each in self.configs}
        fitting = self.of_kind(signals=signals)
        names: list[str] = []
        for keys, name in section.texts("endpoint"):
            found = by_name.get(name)
            if found is None:
                if self.complete:
                    section.report.add(keys, unknown("endpoint", name, list(by_name)))
            elif not _serves(found, signals=signals):
                section.report.add(keys, _wrong_kind(found, fitting))
            else:
                names.append(name)
        return tuple(names)


def _serves(endpoint: EndpointConfig, *, signals: bool) -> bool:
    return endpoint.signals if signals else endpoint.serves_routes


def read_endpoints(root: Section, folder: Path) -> Endpoints:
    """Read the section ``endpoints``."""
    sections = list(root.sections("endpoints"))
    read = [(section, _read_endpoint(section, folder)) for section in sections]
    sound = [(section, config) for section, config in read if config is not None]
    check_names(sections, "endpoint")
    _check_ports(sound)
    check_certificates(sound)
    check_redirects(sound, complete=len(sound) == len(sections))
    declared = root.data.get("endpoints")
    complete = len(sound) == (len(declared) if isinstance(declared, list) else -1)
    return Endpoints(tuple(config for _, config in sound), complete)


def _wrong_kind(endpoint: EndpointConfig, fitting: Sequence[str]) -> str:
    if endpoint.redirect is not None:
        return moved(endpoint, fitting)
    of_route = endpoint.scheme.websocket
    what, needs = ("a route", "http or https") if of_route else ("a signal", "ws or wss")
    known = f" (known: {', '.join(fitting)})" if fitting else ""
    besides = "" if of_route else ", or fallbacks: [sse] there"
    found = f"the endpoint {quoted(endpoint.name)} is {endpoint.scheme.value}"
    return f"{found}; {what} needs one that is {needs}{known}{besides}"


def _read_endpoint(section: Section, folder: Path) -> EndpointConfig | None:
    name = section.text("name")
    scheme = _scheme(section)
    unix = (section.text("address") or "").startswith(UNIX)
    address = _read_socket(section, scheme, folder) if unix else section.parsed("address", parse_address)
    mode = _read_mode(section, unix=unix)
    tls = None if scheme is None else read_tls(section, scheme, folder)
    origins = _read_origins(section)
    compression = _read_compression(section, scheme)
    hosts = _parsed_texts(section, "hosts", parse_host)
    headers = _read_headers(section, scheme)
    fallbacks = _read_fallbacks(section, scheme)
    keepalive = _read_keepalive(section, scheme, fallbacks)
    port = 0 if unix else section.whole("port", -1)
    if not unix and "port" not in section:
        section.problem(None, 'the key "port" is missing')
    if name is None or address is None or scheme is None or not 0 <= port <= 65535:  # noqa: PLR2004 - ports end there
        return None
    return EndpointConfig(
        section.keys,
        name,
        address,
        port,
        scheme,
        tls,
        origins,
        compression,
        hosts,
        headers,
        keepalive,
        mode,
        fallbacks,
        read_proxies(section, unix=unix),
        read_redirect(section),
    )


def _read_socket(section: Section, scheme: Scheme | None, folder: Path) -> str | None:
    """Read the path of a Unix socket, which is relative to the folder of routes.yaml."""
    text = (section.text("address") or "").removeprefix(UNIX)
    path = os.path.normpath(folder / text)
    if "port" in section:
        section.problem("port", "a Unix socket has no port: leave it out", of_key=True)
    if scheme is not None and scheme.secure:
        section.problem("protocol", f"a Unix socket is not encrypted; a proxy may be: write {scheme.value[:-1]}")
    if not text or text.startswith("//") or text.endswith("/") or text != text.strip() or not text.isprintable():
        section.problem(
            "address", f"{quoted(UNIX + text)} names no Unix socket; write its path, as in unix:run/app.sock"
        )
    elif len(os.fsencode(path)) > LONGEST_SOCKET:
        section.problem(
            "address", f"the path of a Unix socket has at most {LONGEST_SOCKET} bytes, this is longer: {path}"
        )
    elif is_folder(Path(path)):
        section.problem("address", f"{path} is a folder; write the path of a Unix socket in it")
    elif not is_folder(Path(path).parent):
        section.problem("address", f"no folder {os.path.dirname(path)} for the Unix socket: make it first")  # noqa: PTH120
    else:
        return UNIX + path
    return None


def _read_mode(section: Section, *, unix: bool) -> int | None:
    text = section.text("mode")
    if text is None:
        return None
    if not unix:
        section.problem("mode", "only a Unix socket (address: unix:…) has permissions: leave it out", of_key=True)
    elif not _MODE.fullmatch(text):
        section.problem("mode", f'{quoted(text)} is no mode: write three octal digits in quotes, as in mode: "660"')
    else:
        return int(text, 8)
    return None


def _scheme(section: Section) -> Scheme | None:
    text = section.text("protocol")
    return Scheme(text) if text in set(Scheme) else None


def _parsed_texts(section: Section, name: str, parse: Callable[[str], str]) -> tuple[str, ...]:
    found: list[str] = []
    for keys, text in section.texts(name):
        try:
            found.append(parse(text))
        except ValueError as error:
            section.report.add(keys, str(error))
    return tuple(found)


def _read_origins(section: Section) -> tuple[str, ...]:
    data = section.data.get("origins")
    opaque = ("null",) if isinstance(data, list) and None in data else ()  # as written without quotes
    return (*_parsed_texts(section, "origins", parse_origin), *opaque)


def _read_headers(section: Section, scheme: Scheme | None) -> tuple[tuple[str, str], ...]:
    if scheme is not None and scheme.websocket and section.data.get("headers"):
        section.problem("headers", "only http and https endpoints send headers: move it there", of_key=True)
    return read_headers(section)


def _read_compression(section: Section, scheme: Scheme | None) -> CompressionConfig | None:
    data = section.data.get("compression")
    if scheme is not None and not scheme.websocket and data not in (None, False):
        section.problem("compression", "only ws and wss endpoints compress: move it there", of_key=True)
    default = CompressionConfig()
    settings = section.section("compression")
    if settings is None:
        return default if data is True else None
    return CompressionConfig(
        level=settings.whole("level", default.level),
        threshold=settings.quantity("threshold", parse_size) or default.threshold,
    )


def _read_fallbacks(section: Section, scheme: Scheme | None) -> frozenset[Fallback]:
    texts = [text for _, text in section.texts("fallbacks")]
    if scheme is not None and scheme.websocket and texts:
        section.problem(
            "fallbacks",
            "signals are served here as WebSockets: write fallbacks at an http or https endpoint",
            of_key=True,
        )
    return frozenset(Fallback(text) for text in texts if text in set(Fallback))


def _read_keepalive(section: Section, scheme: Scheme | None, fallbacks: Collection[Fallback]) -> KeepaliveConfig:
    default = EVENT_STREAM_KEEPALIVE if fallbacks else KeepaliveConfig()
    settings = section.section("keepalive")
    if settings is None:
        return default
    if scheme is not None and not scheme.websocket and not fallbacks:
        section.problem("keepalive", "only ws and wss endpoints ping their clients: move it there", of_key=True)
    read: dict[str, float] = {}
    for name in ("every", "patience"):
        seconds = settings.quantity(name, parse_duration)
        if seconds is not None and seconds < 1:
            settings.problem(name, "clients are looked at once a second: allow at least 1s")
        elif seconds is not None:
            read[name] = seconds
    return replace(default, **read)


def _check_ports(endpoints: Sequence[tuple[Section, EndpointConfig]]) -> None:
    """Report endpoints that conflict with an earlier one; each once."""
    by_port: dict[int | str, list[EndpointConfig]] = {}
    for section, config in endpoints:
        if config.port == 0 and not config.socket:  # the system assigns a different one to each
            continue
        earlier = by_port.setdefault(config.socket or config.port, [])
        for other in earlier:
            text = clash(config, other)
            if text is not None:
                key, what = ("address", config.address) if config.socket else ("port", f"port {config.port}")
                place = section.report.source.place((*other.keys, key))
                section.problem(key, f"{what} is taken by the endpoint {quoted(other.name)} at {place}: {text}")
                break
        earlier.append(config)


def clash(one: EndpointConfig, other: EndpointConfig) -> str | None:
    """Return why two endpoints on one port cannot both listen; None if they can."""
    mine, theirs = _listening(one.address), _listening(other.address)
    if mine != theirs:
        if _covers(mine, theirs) or _covers(theirs, mine):
            every = one.address if _covers(mine, theirs) else other.address
            return f"{every} is every address already"
        return None
    if one.scheme.websocket is other.scheme.websocket:
        return f"only an http and a ws endpoint can share one, not {other.scheme.value} and {one.scheme.value}"
    if one.scheme.secure is not other.scheme.secure:
        return f"{other.scheme.value} and {one.scheme.value} cannot share one; only one of them is encrypted"
    if one.tls is not None and other.tls is not None and one.tls != other.tls:
        return "endpoints that share one need the same certificate, key, password and self_signed"
    return None


def _listening(address: str) -> IPv4Address | IPv6Address | str:
    """Return what an address listens on, in canonical form."""
    try:
        return ip_address("0.0.0.0" if address == "*" else address)  # noqa: S104 - compared, not bound
    except ValueError:
        return address


def _covers(one: IPv4Address | IPv6Address | str, other: IPv4Address | IPv6Address | str) -> bool:
    """Return whether `one` includes every address of the family of `other`."""
    return not isinstance(one, str) and one.is_unspecified and type(one) is type(other)


_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Listening:
    """Another address, another port, or both.

    Attributes:
        host: of all endpoints except those at Unix sockets, which do not move; None moves none.
        port: of the first of them. The others keep their distance from it in the file, so that those which share
            a port still do; 0 lets the system choose each. None moves none.
    """

    host: str | None = None
    port: int | None = None

    def applied(self, config: ServerConfig) -> ServerConfig:
        """Move the endpoints of a configuration.

        Raises:
            OperatorError: the port does not exist, no endpoint has one, or two endpoints would conflict
                there.
        """
        if not config.endpoints or (self.host is None and self.port is None):
            return config
        first = next((each for each in config.endpoints if not each.socket), None)
        if first is None:
            raise OperatorError(
                f"{self._asked}: every endpoint of {config.file} is a Unix socket, which has no host and no port: "
                "give one an address and a port there"
            )
        moved = tuple(
            each if each.socket else replace(each, address=self.host or each.address, port=self._port_of(each, first))
            for each in config.endpoints
        )
        self._check(moved)
        return replace(config, endpoints=moved)

    @property
    def _asked(self) -> str:
        return f"--host {self.host}" if self.port is None else f"--port {self.port}"

    def _port_of(self, endpoint: EndpointConfig, first: EndpointConfig) -> int:
        if self.port is None or endpoint.port == 0:  # a port that the system chooses has no distance from others
            return endpoint.port if self.port is None or endpoint is not first else self.port
        if self.port == 0:
            return 0
        port = self.port + (endpoint.port - first.port if first.port else 0)
        if not 1 <= port <= _LAST_PORT:
            raise OperatorError(
                f"--port {self.port}: the endpoint {quoted(endpoint.name)} would have port {port}, as far from "
                f"{quoted(first.name)} as in the file; ports are 1 to {_LAST_PORT}"
            )
        return port

    def _check(self, endpoints: Sequence[EndpointConfig]) -> None:
        for index, endpoint in enumerate(endpoints):
            for earlier in endpoints[:index]:
                if endpoint.port and endpoint.port == earlier.port and (why := clash(endpoint, earlier)):
                    raise OperatorError(
                        f"{self._asked}: the endpoints {quoted(earlier.name)} and {quoted(endpoint.name)} would both "
                        f"have port {endpoint.port}: {why}"
                    )
