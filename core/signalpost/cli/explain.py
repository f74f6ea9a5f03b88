"""``signalpost explain``: which route or signal serves a path, and why the others do not."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from signalpost.actions.program import Program
from signalpost.cli.output import show_facts
from signalpost.cli.people import person_named, route_may, signal_may
from signalpost.cli.wording import outline, route_does, signal_does, signal_keeps
from signalpost.config.model import Breadth, EndpointConfig, MessageFormat, RatePer, RequestedTarget, RouteRate
from signalpost.config.monitormodel import PageConfig
from signalpost.errors import OperatorError
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.paths import Params, path_segments, path_text
from signalpost.plan import Plan
from signalpost.plan.precedence import (
    Claim,
    Contender,
    R,
    answering,
    contenders,
    precedence,
    route_claims,
    signal_claims,
)
from signalpost.plan.rulings import Person
from signalpost.signals.rule import RELAY, SignalRule
from signalpost.words import did_you_mean

Facts = Iterator[tuple[str, str]]


def show_takers(plan: Plan, path: str, method: str | None, person: str | None = None) -> None:
    """Print, for each endpoint, what serves a path.

    Args:
        plan: of the app.
        path: as a client requests it; percent-encoded or not, with or without a query.
        method: of HTTP; None is all of them, and WebSockets.
        person: one of the people in ``auth``, of whom it is shown what they may do; None shows who may.

    Raises:
        OperatorError: `path` is invalid, or nobody has this name.
    """
    who = None if person is None else person_named(plan, person)
    asked = path.partition("?")[0]
    if not asked.startswith("/"):
        raise OperatorError(f'a path starts with "/": signalpost explain /{asked}')
    for endpoint in plan.config.endpoints:
        if endpoint.redirect is not None:
            show_facts(f"{endpoint.name}  {endpoint.url}{asked}", [("does", f"redirects to {endpoint.redirect} (308)")])
        elif method is None or not endpoint.scheme.websocket:
            facts = (
                _signal(plan, endpoint, asked, who)
                if endpoint.scheme.websocket
                else _answer(plan, endpoint, asked, method, who)
            )
            show_facts(f"{endpoint.name}  {endpoint.url}{asked}", list(facts))


# WebSocket paths


def _signal(plan: Plan, endpoint: EndpointConfig, asked: str, who: Person | None) -> Facts:
    claims = signal_claims(plan, endpoint.name)
    segments = path_segments(asked)
    found = contenders(claims, segments, ignore_case=True) if segments is not None else []
    if not found:
        yield from _undeclared(plan, claims, asked)
        return
    first, *others = found
    rule = first.claim.rule
    yield "signal", f"{rule.config.path}  ({rule.owner})"
    yield from _matching(first.params)
    yield from _schema(rule.gate, "every message passes")
    if rule.sends is not None:
        yield "sends", json.dumps(rule.sends.document, ensure_ascii=False)
    yield from _does(signal_does(rule), rule.do)
    if keeps := signal_keeps(rule):
        yield "keeps", keeps
    if rule.config.presence is not None:
        yield "presence", "clients of signalpost.v1 are told who is there"
    for label, program in (("connected", rule.connected), ("disconnected", rule.disconnected)):
        yield from _actions(label, program)
    if rule.reaction == RELAY and rule.config.format is MessageFormat.JSON:
        requested = ", ".join(requested.value for requested in RequestedTarget if requested in rule.config.targets)
        yield "targets", f"a client may choose {requested}" if requested else "a client may choose nothing"
    if (level := rule.config.broadest or plan.config.broadest) is not Breadth.EVERYONE:
        yield "broadest", f"broadcasts that reach its clients go to a {level.value} at most"
    if not rule.config.open_to_others:
        yield "elsewhere", "messages of clients on other paths do not arrive here"
    yield from signal_may(plan, endpoint.name, rule, path_text(asked) or asked, who)
    yield from _losers(first, others)


def _undeclared(plan: Plan, claims: Sequence[Claim[SignalRule]], asked: str) -> Facts:
    near = did_you_mean(unquote(asked), [str(claim.pattern) for claim in claims])
    yield "signal", f"none has this path{near}"
    if path_text(asked) is None:
        yield "does", "the handshake is refused with 404: this is no readable path"
    elif plan.config.undeclared_refused:
        yield "does", "the handshake is refused with 404 (undeclared: refuse)"
    else:
        yield "does", "re-broadcast to everyone, or as the client asks (undeclared: rebroadcast)"


# HTTP paths

_FALLBACK = {
    "GET": "an event stream (fallbacks: sse)",
    "POST": "a message, answered as on a WebSocket (fallbacks: sse)",
}


def _by_fallback(
    plan: Plan, endpoint: EndpointConfig, segments: Sequence[str] | None
) -> Sequence[Contender[SignalRule]]:
    """Return the signals that an http endpoint serves at a path, the one that takes it first."""
    if segments is None or not endpoint.fallbacks:
        return ()
    return contenders(signal_claims(plan, endpoint.name), segments, ignore_case=True)


def _answer(plan: Plan, endpoint: EndpointConfig, asked: str, method: str | None, who: Person | None) -> Facts:
    page = _own_page(plan, endpoint, path_segments(asked)) if method in (None, "GET", "HEAD") else None
    if page is None:
        yield from _route(plan, endpoint, asked, method, who)
    else:
        yield "page", f"{page.keys[-1]} of the server itself  ({plan.config.source.place(page.keys)})"


def _own_page(plan: Plan, endpoint: EndpointConfig, segments: Sequence[str] | None) -> PageConfig | None:
    """Return the page of the server itself at a path; None if there is none."""
    monitor = plan.config.monitor
    pages = {} if monitor is None else monitor.pages_at(endpoint.name)
    return next((page for path, page in pages.items() if path_segments(path) == segments), None)


def _rate(rate: RouteRate | None) -> Facts:
    if rate is not None:
        yield "rate", f"{rate.quota} for {'all' if rate.per is RatePer.ROUTE else f'each {rate.per.value}'}"


def _route(plan: Plan, endpoint: EndpointConfig, asked: str, method: str | None, who: Person | None) -> Facts:
    claims = route_claims(plan, endpoint.name)
    segments = path_segments(asked)
    found = contenders(claims, segments, ignore_case=False) if segments is not None else []
    signals = _by_fallback(plan, endpoint, segments)
    taken = {name for each in found[:1] for taker in answering(found, None) for name in taker.claim.methods}
    for name, does in _FALLBACK.items():
        if signals and name not in taken and method in (None, name):
            signal = signals[0].claim.rule
            yield "signal", f"{name} {signals[0].claim.pattern}  ({signal.owner}): {does}"
            yield from signal_may(plan, endpoint.name, signal, path_text(asked) or asked, who)
    if signals and not found and method in (None, *_FALLBACK):
        return
    if not found:
        near = did_you_mean(unquote(asked), [str(claim.pattern) for claim in claims])
        yield "route", f"none has this path (404){near}"
        return
    same, taking = answering(found, None), answering(found, method)
    if not taking:
        methods = sorted({name for each in same for name in each.claim.methods})
        yield "route", f"{same[0].claim.pattern} does not answer {method} (405), only {', '.join(methods)}"
        yield "from", ", ".join(each.claim.rule.owner for each in same)
    for each in taking:
        rule = each.claim.rule
        yield "route", f"{' '.join(each.claim.methods)} {each.claim.pattern}  ({rule.owner})"
        yield from _matching(each.params)
        yield from _rate(rule.config.rate)
        if rule.handler is not None or rule.gate is not None:
            yield from _schema(rule.gate, "every body passes")
        for label, gate in (("of params", rule.params), ("of query", rule.query)):
            if gate is not None:
                yield label, json.dumps(gate.document, ensure_ascii=False)
        yield from _does(route_does(plan, rule), rule.do)
        yield from route_may(rule, unquote(asked), each.params, who)
    yield from _losers(same[0], found[len(same) :])


# Shared by both


def _matching(params: Params) -> Facts:
    if params:
        yield "params", ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in params.items())


def _does(does: str, program: Any) -> Facts:
    """Return what runs; for actions, each of them."""
    if program is None:
        yield "does", does
    yield from _actions("does", program)


def _actions(label: str, program: Any) -> Facts:
    lines = outline(program.config) if isinstance(program, Program) else ()
    for number, line in enumerate(lines):
        yield "" if number else label, line


def _losers(first: Contender[R], others: Iterable[Contender[R]]) -> Facts:
    for other in others:
        claim = other.claim
        methods = f"{' '.join(claim.methods)} " if claim.methods else ""
        why = precedence(first.claim.pattern, claim.pattern)
        yield "rather than", f"{methods}{claim.pattern}  ({claim.rule.owner}): {why}"


def _schema(gate: SchemaGate | None, without: str) -> Facts:
    yield "schema", f"none: {without}" if gate is None else json.dumps(gate.document, ensure_ascii=False)
