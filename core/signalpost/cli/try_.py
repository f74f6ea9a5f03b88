"""``signalpost try``: a message's way through decoding, schema, decision and actions, and what each client receives."""

import asyncio
from collections.abc import Iterator

import click

from signalpost.cli.imagined import Imagined, Question
from signalpost.cli.outcome import show_outcome, show_unexpected
from signalpost.cli.output import show_facts
from signalpost.cli.people import person_named
from signalpost.cli.trial import Trial
from signalpost.cli.try_request import try_request
from signalpost.cli.wording import signal_keeps
from signalpost.config.model import EndpointConfig, MessageFormat
from signalpost.delivery.client import Client
from signalpost.errors import OperatorError
from signalpost.paths import path_text, split_path
from signalpost.plan import Plan
from signalpost.plan.precedence import contenders, signal_claims
from signalpost.plan.proofs import people_of
from signalpost.plan.rulings import GUEST_PERSON, Person
from signalpost.plan.ways import Facts, as_json, decided, judged_facts, read_facts, signal_does
from signalpost.signals.message import RejectedMessageError, read_message
from signalpost.signals.rule import SignalRule
from signalpost.units import format_size
from signalpost.words import listing, unknown

SENDER = "you"
_NEIGHBOUR, _STRANGER = "neighbour", "stranger"
_ELSEWHERE = ("/", "/elsewhere")


def try_message(plan: Plan, question: Question) -> bool:
    """Print what happens to a message, or to a request.

    Returns:
        Whether clients receive what ``sends`` of their signals says.

    Raises:
        OperatorError: there is no such path or endpoint, or a client cannot be connected.
    """
    if not question.path.startswith("/"):
        raise OperatorError(f'a path starts with "/": signalpost try /{question.path}')
    with asyncio.Runner() as runner:
        if question.method is None:
            return runner.run(_try(plan, question))
        return runner.run(try_request(plan, question, question.method))


async def _try(plan: Plan, question: Question) -> bool:
    path = path_text(question.path.partition("?")[0])
    if path is None:
        raise OperatorError(f"the server refuses {question.path} with 404: it is no readable path")
    endpoint = _endpoint(plan, question.endpoint, path)
    trial = Trial(plan, endpoint, question.state or {}, call=question.call)
    resolved = trial.resolve(path)
    if resolved is None:
        raise OperatorError(f"the server refuses the path {path} with 404: no signal declares it (undeclared: refuse)")
    others = question.others or tuple(_default_others(trial, path))
    async with trial.running(others):
        person = GUEST_PERSON if question.person is None else person_named(plan, question.person)
        you = Imagined(SENDER, path, question.groups, person.identity)
        title = f"{endpoint.name}  {endpoint.url}{resolved.path}"
        if refusal := trial.refusal(you):
            facts = [("signal", f"{resolved.rule.config.path}  ({resolved.rule.owner})"), ("as", _named(person))]
            show_facts(title, [*facts, ("connect", refusal), *_hint(plan, question)])
            return True
        sender = await trial.connect(you)
        show_facts(title, list(_before(resolved.rule, sender, None if question.person is None else person)))
        click.echo()
        limit = plan.config.limits.message
        if len(question.text.encode(errors="surrogatepass")) > limit:
            too_large = f"larger than limits.message ({format_size(limit)}): the connection is closed with 1009"
            show_facts("what happens", [("read", too_large)])
            show_unexpected(trial)
            return not trial.unexpected
        show_facts("what happens", list(_way(trial, resolved.rule, sender, question.text)))
        clients = list(trial.clients)
        await trial.send(sender, question.text)
        show_outcome(trial, clients, plan.config.folder)
    return not trial.unexpected


def _endpoint(plan: Plan, name: str | None, path: str) -> EndpointConfig:
    sockets = [each for each in plan.config.endpoints if each.serves_sockets]
    if name is not None:
        found = next((each for each in sockets if each.name == name), None)
        if found is None:
            raise OperatorError(unknown("ws or wss endpoint", name, [each.name for each in sockets]))
        return found
    if not sockets:
        raise OperatorError("no endpoint has the protocol ws or wss, so nobody can send a message")
    segments = split_path(path) or []
    declaring = (each for each in sockets if contenders(signal_claims(plan, each.name), segments, ignore_case=True))
    return next(declaring, sockets[0])


def _default_others(trial: Trial, path: str) -> Iterator[Imagined]:
    yield Imagined(_NEIGHBOUR, path)
    here = trial.canonical_path(path)
    for elsewhere in _ELSEWHERE:
        if trial.canonical_path(elsewhere) != here and trial.resolve(elsewhere) is not None:
            yield Imagined(_STRANGER, elsewhere)
            return


# What happens, in words


def _named(person: Person) -> str:
    user = person.identity.user
    if user is None:
        return f"{person.name}, who has shown no identity"
    return person.name if user == person.name else f"{person.name}, user {user}"


def _hint(plan: Plan, question: Question) -> Facts:
    """Return who else may be asked as, for people who have not thought of that."""
    people = [name for name in people_of(plan.config.auth) if name != GUEST_PERSON.name]
    if question.person is None and people:
        yield "", f"--as asks as somebody else: {listing(people)}"


def _before(rule: SignalRule, sender: Client, person: Person | None) -> Facts:
    yield "signal", f"{rule.config.path}  ({rule.owner})"
    if person is not None:
        yield "as", _named(person)
    if sender.params:
        yield "params", ", ".join(f"{name} = {as_json(value)}" for name, value in sender.params.items())
    if sender.groups:
        yield "groups", ", ".join(sorted(sender.groups))
    yield "does", signal_does(rule)
    if keeps := signal_keeps(rule):
        yield "keeps", keeps


def _way(trial: Trial, rule: SignalRule, sender: Client, text: str) -> Facts:
    """Return what happens to a message up to the point where actions or handlers receive it."""
    if rule.config.format is MessageFormat.RAW:
        yield from read_facts(rule, None, None)
        return
    try:
        message = read_message(text.encode(errors="surrogatepass"), rule.gate, names_users=rule.names_users)
    except RejectedMessageError as rejected:
        yield from read_facts(rule, rejected.message, rejected.error)
        return
    yield from read_facts(rule, message, None)
    yield from judged_facts(trial.judged(sender, message, rule))
    decision = trial.decide(sender, message, rule)
    yield "decide", decided(rule, decision)
    if paths := trial.left_out(sender, message, decision):
        yield "", f"but for clients on {', '.join(paths)}: what comes from elsewhere does not arrive there"
