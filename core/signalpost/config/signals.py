"""The signals of routes.yaml, each alone and together with the others."""

from collections.abc import Sequence
from pathlib import Path

from signalpost.config.actions import Place, StepReader, has_template
from signalpost.config.endpoints import Endpoints
from signalpost.config.feedurl import NO_TOKEN
from signalpost.config.history import read_history
from signalpost.config.model import (
    KNOWN_FOR,
    USUAL_TARGETS,
    Breadth,
    LatestBy,
    MessageFormat,
    Rebroadcast,
    RequestedTarget,
    SignalConfig,
    SlowConfig,
    SlowPolicy,
)
from signalpost.config.permissions import read_signal_may
from signalpost.config.presence import read_presence
from signalpost.config.routes import share_endpoint
from signalpost.config.section import Section
from signalpost.config.userschemas import read_schema
from signalpost.paths import PathPattern
from signalpost.units import parse_duration, parse_size

_WISHES = {requested.value: requested for requested in RequestedTarget}


def read_signals(root: Section, endpoints: Endpoints, folder: Path, reader: StepReader) -> tuple[SignalConfig, ...]:
    """Read the section ``signals``."""
    sections = list(root.sections("signals"))
    if sections and endpoints.complete and not endpoints.of_kind(signals=True):
        root.problem(
            "signals",
            "no endpoint is ws or wss, so nobody can connect; add for example "
            "{name: live, address: 127.0.0.1, port: 8091, protocol: ws} to endpoints",
            of_key=True,
        )
    signals = [(section, _read_signal(section, endpoints, folder, reader)) for section in sections]
    sound = [(section, signal) for section, signal in signals if signal is not None]
    _check_paths(sound)
    return tuple(signal for _, signal in sound)


def _read_signal(section: Section, endpoints: Endpoints, folder: Path, reader: StepReader) -> SignalConfig | None:
    path = section.parsed("path", PathPattern.parse)
    schema, sends = read_schema(section, folder), read_schema(section, folder, "sends")
    bound = endpoints.bound(section, signals=True)
    message_format = section.choice("format", MessageFormat, MessageFormat.JSON)
    if message_format is MessageFormat.RAW:
        for name in ("handler", "do", "schema", "targets", "sends"):
            if section.data.get(name) not in (None, []):
                section.problem(
                    name, f"format: raw relays frames unread, so it has no {name}: leave it out", of_key=True
                )
    if "parallel" in section and "handler" not in section and "do" not in section:
        section.problem("parallel", "only handlers run in parallel: name one, or leave this out", of_key=True)
    if "timeout" in section and "handler" not in section and "do" not in section:
        section.problem("timeout", "only handlers take time: name one, or leave this out", of_key=True)
    if "do" in section and "handler" in section:
        text = "exactly one of handler and do may be given, not both: let a step call the handler"
        section.problem("do", text, of_key=True)
    steps = reader.steps(section, "do", Place.SIGNAL)
    connected = reader.steps(section, "connected", Place.CONNECTED)
    disconnected = reader.steps(section, "disconnected", Place.DISCONNECTED)
    if path is None:
        return None
    return SignalConfig(
        section.keys,
        path,
        schema=schema,
        rebroadcast=section.choice("rebroadcast", Rebroadcast, Rebroadcast.EVERYONE),
        targets=_targets(section),
        format=message_format,
        endpoints=bound,
        slow=_read_slow(section),
        timeout=section.quantity("timeout", parse_duration),
        do=steps,
        connected=connected,
        disconnected=disconnected,
        protocols=read_protocols(section),
        history=read_history(section),
        presence=read_presence(section),
        once=section.quantity("once", parse_duration) or KNOWN_FOR,
        sends=sends,
        may=read_signal_may(section),
        broadest=section.choice("broadest", Breadth, Breadth.EVERYONE) if "broadest" in section else None,
        **section.plain(SignalConfig),
    )


def read_protocols(section: Section, key: str = "protocols") -> tuple[str, ...]:
    """Read names of subprotocols: each a token, and none twice."""
    read: list[str] = []
    for keys, name in section.texts(key):
        if name == "*":
            section.report.add(
                keys,
                "* is no subprotocol: name those that the server may choose, such as bearer; a client's other offers, "
                "such as a token, may be anything, and are never sent back",
            )
        elif (wrong := NO_TOKEN.search(name)) is not None:
            section.report.add(
                keys,
                f"{name!r} is no subprotocol name: it contains {wrong[0]!r} (allowed: letters, digits and "
                "! # $ % & ' * + - . ^ _ ` | ~, as in RFC 9110); each name is a separate item",
            )
        elif name in read:
            section.report.add(keys, f"{name} is in the list already")
        else:
            read.append(name)
    return tuple(read)


def _read_slow(section: Section) -> SlowConfig:
    slow = section.section("slow")
    if slow is None:
        return SlowConfig()
    policy = slow.choice("policy", SlowPolicy, SlowPolicy.DISCONNECT)
    buffer = slow.quantity("buffer", parse_size)
    key = slow.text("key")
    if policy is SlowPolicy.CATCH_UP and "history" not in section:
        slow.problem(
            "policy", "catch_up reads from the history what a client has missed: write history: 100 beside slow"
        )
    if key is None:
        return SlowConfig(policy, buffer)
    if policy is not SlowPolicy.LATEST:
        slow.problem(
            "key", "only the policy latest keeps the newest of each: write policy: latest beside it", of_key=True
        )
    parts = tuple(key.split("."))
    if has_template(key):
        slow.problem("key", "it names a key of the value, as in user.id, and is no template")
    elif not all(parts):
        slow.problem("key", "it has an empty part: write keys with single dots between them, as in user.id")
    if section.data.get("format") == MessageFormat.RAW.value:
        slow.problem("key", "format: raw relays frames unread, so there is no key in them: leave it out", of_key=True)
    return SlowConfig(LatestBy(parts), buffer)


def _targets(section: Section) -> frozenset[RequestedTarget]:
    if not isinstance(section.data.get("targets"), list):
        return USUAL_TARGETS
    return frozenset(_WISHES[word] for word in section.words("targets") if word in _WISHES)


def _check_paths(signals: Sequence[tuple[Section, SignalConfig]]) -> None:
    """Report signals on the path of an earlier one; each once."""
    by_key: dict[str, list[SignalConfig]] = {}
    for section, signal in signals:
        earlier = by_key.setdefault(signal.path.key, [])
        for other in earlier:
            if share_endpoint(signal.endpoints, other.endpoints):
                place = section.report.source.place((*other.keys, "path"))
                section.problem("path", f"the path {signal.path} is taken by the signal {other.path} at {place}")
                break
        earlier.append(signal)
