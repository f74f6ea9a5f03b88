"""``signalpost try --method``: a request's way through a route and its actions, and what each client receives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import click
import orjson

from signalpost.actions.execution import Response, WebRequest
from signalpost.cli.imagined import Imagined, Question
from signalpost.cli.outcome import show_outcome, show_unexpected
from signalpost.cli.output import show_facts
from signalpost.cli.people import person_named
from signalpost.cli.trial import FAILED, Trial
from signalpost.cli.wording import route_does
from signalpost.config.model import EndpointConfig
from signalpost.errors import ClientError, OperatorError
from signalpost.fields import query_values, read_query
from signalpost.http.judging import params_texts, query_texts
from signalpost.paths import Params, path_segments
from signalpost.plan import Plan, RouteRule
from signalpost.plan.precedence import Contender, answering, contenders, route_claims
from signalpost.plan.rulings import GUEST_PERSON
from signalpost.plan.ways import as_json

_LISTENER = "listener"
_PEER = ("127.0.0.1", 50000)
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


async def try_request(plan: Plan, question: Question, method: str) -> bool:
    """Print what happens to a request.

    Args:
        plan: of the app.
        question: its text is the request's body; empty is none.
        method: of HTTP.

    Returns:
        Whether clients receive what ``sends`` of their signals says.

    Raises:
        OperatorError: no route serves it, or a client cannot be connected.
    """
    path, _, query = question.path.partition("?")
    endpoint, taker = _taker(plan, path, method)
    rule = taker.claim.rule
    sockets = [each for each in plan.config.endpoints if each.serves_sockets]
    trial = Trial(plan, sockets[0] if sockets else endpoint, question.state or {}, call=question.call)
    async with trial.running(question.others or tuple(_default_others(trial, sockets))):
        person = GUEST_PERSON if question.person is None else person_named(plan, question.person)
        show_facts(f"{method} {endpoint.url}{question.path}", list(_before(plan, taker)))
        click.echo()
        seen = {
            "method": method,
            "path": unquote(path),
            "query": read_query(query),
            "headers": {"host": endpoint.host, "content-type": "application/json"},
            "peer": list(_PEER),
            "scheme": "https" if endpoint.scheme.secure else "http",
            "host": endpoint.host,
        }
        if refusal := trial.request_judged(rule, seen, taker.params, person.identity):
            show_facts("what happens", [("may", f"{refusal} ({person.name})")])
            return True
        asked = _judged(rule, taker.params, query)
        if isinstance(asked, str):
            show_facts("what happens", [("schema", asked)])
            show_unexpected(trial)
            return not trial.unexpected
        data, facts = _read(rule, method, question.text)
        facts = [*asked.facts, *facts]
        if rule.do is None or data is _REFUSED:
            show_facts("what happens", facts)
            show_unexpected(trial)
            return not trial.unexpected
        clients, web = trial.clients, WebRequest({**seen, "query": asked.query}, data, _PEER[0])
        answer = await trial.ask(rule, web, asked.params, person.identity)
        show_facts("what happens", [*facts, *_answer(answer)])
        show_outcome(trial, clients, plan.config.folder)
    return not trial.unexpected


def _taker(plan: Plan, path: str, method: str) -> tuple[EndpointConfig, Contender[RouteRule]]:
    segments = path_segments(path)
    for endpoint in plan.config.endpoints:
        if not endpoint.serves_routes or segments is None:
            continue
        found = contenders(route_claims(plan, endpoint.name), segments, ignore_case=False)
        if found and (taking := answering(found, method)):
            return endpoint, taking[0]
    raise OperatorError(f"no route answers {method} {path}; `signalpost explain {path}` says what does")


def _default_others(trial: Trial, sockets: list[EndpointConfig]) -> Iterator[Imagined]:
    if sockets and trial.resolve("/") is not None:
        yield Imagined(_LISTENER, "/")


# What happens, in words

_REFUSED = object()
"""In place of a body's value."""

Facts = list[tuple[str, str]]


def _before(plan: Plan, taker: Contender[RouteRule]) -> Facts:
    rule = taker.claim.rule
    facts = [("route", f"{' '.join(taker.claim.methods)} {taker.claim.pattern}  ({rule.owner})")]
    if taker.params:
        facts.append(("params", ", ".join(f"{name} = {as_json(value)}" for name, value in taker.params.items())))
    return [*facts, ("does", route_does(plan, rule))]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parameters of a request, as the route sees them."""

    params: Params
    query: Mapping[str, Any]
    facts: Facts


def _judged(rule: RouteRule, params: Params, query: str) -> _Asked | str:
    """Return the values of the path and the query after their schemas; or a text if these reject them."""
    values: Mapping[str, Any] = read_query(query)
    facts: Facts = []
    try:
        if (texts := params_texts(rule)) is not None:
            params = texts.judged_each(params)
            facts.append(("params", f"params = {as_json(params)}"))
        if (texts := query_texts(rule)) is not None:
            values = texts.judged(query_values(query))
            facts.append(("query", f"request.query = {as_json(values)}"))
    except ClientError as error:
        return f"refused with 422: {error.detail}"
    return _Asked(params, values, facts)


def _read(rule: RouteRule, method: str, text: str) -> tuple[Any, Facts]:
    """Read and validate a request's JSON body; return its value, or that it is rejected, and words about it."""
    if rule.do is None and rule.handler is None:
        return None, [("answer", "what the file or the template gives")]
    try:
        data = orjson.loads(text) if text else None
    except orjson.JSONDecodeError as error:
        return _REFUSED, [("body", f"refused with 400: it is not JSON: {error.msg}")]
    facts = [("body", f"data = {as_json(data)}" if text else "none")]
    if rule.gate is None:
        facts.append(("schema", "none: every body passes"))
    elif method in _WITHOUT_BODY:
        facts.append(("schema", f"is not asked: {method} needs no body"))
    elif not text:
        return _REFUSED, [*facts, ("schema", "refused with 400: the body is empty")]
    elif rejection := rule.gate.rejection(data, text.encode(errors="surrogatepass")):
        at = f" at {rejection.pointer}" if rejection.pointer else ""
        return _REFUSED, [*facts, ("schema", f"refused with 422{at}: {rejection.detail}")]
    else:
        facts.append(("schema", "passes"))
    if rule.do is None:
        facts.append(("handler", "is not called: it is given a request of the web server's, and there is none here"))
    return data, facts


def _answer(answer: Any) -> Facts:
    if answer == FAILED:
        return [("answer", "500: an action has failed")]
    if not isinstance(answer, Response):
        return [("answer", "204")]
    body = answer.body.decode(errors="replace")
    headers = [("header", f"{name}: {value}") for name, value in answer.headers]
    return [("answer", f"{answer.status}{f' ({answer.content_type})  {body}' if body else ''}"), *headers]
