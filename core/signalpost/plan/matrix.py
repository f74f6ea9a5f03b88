"""The matrix of a plan: what each imagined person may do at each path, as far as that can be proved."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from signalpost.config.authmodel import SIGNAL_VERBS, Verb
from signalpost.errors import OperatorError
from signalpost.paths import PathPattern
from signalpost.plan.plan import Plan
from signalpost.plan.proofs import people_of
from signalpost.plan.proving import Prover
from signalpost.plan.rulings import Person, Ruling


@dataclass(frozen=True, slots=True)
class Row:
    """One verb at one path.

    Attributes:
        path: as declared.
        methods: of a route; empty at a signal.
        rulings: of each person, by name; several if the path is served in different ways.
    """

    verb: Verb
    path: str
    methods: tuple[str, ...]
    rulings: dict[str, tuple[Ruling, ...]]


def matrix(plan: Plan) -> list[Row]:
    """Return what everybody may do: signals first, then routes, in the order of the plan."""
    people = list(people_of(plan.config.auth).values())
    prover = Prover(plan.config, plan.routes, plan.signals)
    return [*_of_signals(plan, people, prover), *_of_routes(plan, people, prover)]


def _of_signals(plan: Plan, people: list[Person], prover: Prover) -> Iterator[Row]:
    for path in dict.fromkeys(rule.config.path for rule in plan.signals):
        rules = [rule.config for rule in plan.signals if rule.config.path == path]
        for verb in SIGNAL_VERBS:
            has = {
                Verb.HISTORY: any(config.history is not None for config in rules),
                Verb.PRESENCE: any(config.presence is not None for config in rules),
            }
            if has.get(verb, True):
                yield Row(verb, path.text, (), _asked(people, prover, verb, path))


def _of_routes(plan: Plan, people: list[Person], prover: Prover) -> Iterator[Row]:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for rule in plan.routes:
        key = (rule.config.path.text, rule.config.methods)
        if key not in seen:
            seen.add(key)
            path, methods = rule.config.path, rule.config.methods
            with suppress(OperatorError):  # other routes take all that this one declares
                yield Row(Verb.REQUEST, path.text, methods, _asked(people, prover, Verb.REQUEST, path, methods[0]))


def _asked(
    people: list[Person], prover: Prover, verb: Verb, path: PathPattern, method: str | None = None
) -> dict[str, tuple[Ruling, ...]]:
    return {
        person.name: tuple(finding.ruling for finding in prover.find(person, verb, path, method)) for person in people
    }
