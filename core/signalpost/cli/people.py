"""Who may, for people: the words of the file, or what one of the imagined people may do, with the line that decides."""

from collections.abc import Iterator

from signalpost.config.authmodel import SIGNAL_VERBS, Verb
from signalpost.errors import OperatorError
from signalpost.paths import Params
from signalpost.plan import Plan, RouteRule
from signalpost.plan.proofs import people_of
from signalpost.plan.proving import Prover
from signalpost.plan.rulings import DEFAULT, Person, Ruling, requested
from signalpost.signals.permissions import Permits
from signalpost.signals.rule import SignalRule
from signalpost.words import unknown

Facts = Iterator[tuple[str, str]]

_ANSWERS = {True: "yes", False: "no", None: "cannot be proved"}


def person_named(plan: Plan, name: str) -> Person:
    """Return one of the imagined people.

    Raises:
        OperatorError: nobody has this name.
    """
    people = people_of(plan.config.auth)
    if name not in people:
        hint = "" if len(people) > 1 else "; imagine people in auth, as in people: {ann: {roles: [editor]}}"
        raise OperatorError(f"{unknown('person', name, list(people))}{hint}")
    return people[name]


def signal_may(plan: Plan, endpoint: str, rule: SignalRule, path: str, person: Person | None) -> Facts:
    """Yield who may do what at a path, or what a person may do there."""
    if person is None:
        yield from _words(rule.permits, SIGNAL_VERBS)
        return
    prover = Prover(plan.config, plan.routes, plan.signals)
    spot = prover.spot_at(endpoint, path)
    for verb in () if spot is None else SIGNAL_VERBS:
        if (verb is Verb.HISTORY and rule.config.history is None) or (
            verb is Verb.PRESENCE and rule.config.presence is None
        ):
            continue
        if spot is not None:
            yield f"may {verb.value}", answer_of(prover.judge(person, verb, spot).ruling)


def route_may(rule: RouteRule, path: str, params: Params, person: Person | None) -> Facts:
    """Yield who may request a route, or whether a person may."""
    if person is None:
        yield from _words(rule.permits, (Verb.REQUEST,))
    else:
        yield "may request", answer_of(requested(rule.permits, person, path, params))


def answer_of(ruling: Ruling) -> str:
    """Return a ruling in words: ``yes: may.connect (routes.yaml:4:3) is users``."""
    return f"{_ANSWERS[ruling.answer]}: {ruling.why}"


def _words(permits: Permits | None, verbs: tuple[Verb, ...]) -> Facts:
    if permits is None:
        return
    if permits.authorize is not None:
        yield "may", "plugins decide first (authorize)"
    for verb in verbs:
        if (permission := permits.rules.get(verb)) is not None:
            where = "the default of a file with auth" if permission.where == DEFAULT else permission.where
            yield f"may {verb.value}", f"{permission}  ({where})"
