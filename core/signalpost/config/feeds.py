"""The feeds of routes.yaml: messages of other WebSocket servers."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signalpost.config.actions import Place, StepReader, templates_in
from signalpost.config.feedurl import parse_url
from signalpost.config.headers import read_headers
from signalpost.config.model import FeedConfig, FeedSource, Scheme
from signalpost.config.section import Section, find_file
from signalpost.config.signals import read_protocols
from signalpost.config.tls import certificate_digest
from signalpost.units import parse_duration, parse_size
from signalpost.words import quoted


def read_feeds(root: Section, folder: Path, reader: StepReader) -> tuple[FeedConfig, ...]:
    """Read the section ``feeds``."""
    read = (_read_feed(section, folder, reader) for section in root.sections("feeds"))
    return tuple(feed for feed in read if feed is not None)


def _read_feed(section: Section, folder: Path, reader: StepReader) -> FeedConfig | None:
    name = section.text("name")
    url = section.parsed("url", parse_url)
    headers = _read_headers(section)
    subprotocols = read_protocols(section, "subprotocols")
    send = _read_send(section)
    timeout = section.quantity("timeout", parse_duration)
    max_message = section.quantity("max_message", parse_size)
    ca = _read_ca(section, folder, url)
    steps = reader.steps_or_broadcast(section, Place.FEED)
    if name is None or url is None:
        return None
    digest = "" if ca is None else certificate_digest((ca,))
    source = FeedSource(url, headers, subprotocols, send, timeout, max_message, ca, digest)
    return FeedConfig(section.keys, name, source, section.text("handler"), steps)


def _read_headers(section: Section) -> tuple[tuple[str, str], ...]:
    headers = read_headers(section)
    for name in section.mapping("headers"):
        if name.lower() == "host":
            section.report.add((*section.keys, "headers", name), "the url names the host: leave this out", of_key=True)
    return tuple((name, text) for name, text in headers if text)


def _read_send(section: Section) -> tuple[Any, ...]:
    """Read ``send``: one value, or each of a list."""
    if "send" not in section:
        return ()
    value = section.data["send"]
    for inner in templates_in(value):
        text = "send is read once, so it has no templates; a handler can answer with event.send(…)"
        section.report.add((*section.keys, "send", *inner), text)
    return tuple(value) if isinstance(value, list) else (value,)


def _read_ca(section: Section, folder: Path, url: str | None) -> Path | None:
    ca = find_file(section, "ca", folder)
    if ca is None:
        return None
    if url is not None and urlsplit(url).scheme.lower() != Scheme.WSS:
        section.problem("ca", "ws is not encrypted, so it has no certificates: use wss:// or leave ca out", of_key=True)
    fault = "; ".join(_faults(ca))
    if fault:
        section.problem("ca", fault)
    return ca


def _faults(ca: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except (OSError, ValueError):
        yield f"{quoted(ca.name)} holds no certificates in PEM form (-----BEGIN CERTIFICATE-----)"
