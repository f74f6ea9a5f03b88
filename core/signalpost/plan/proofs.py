"""Proofs: what the file says that people can and cannot do, judged before anybody connects."""

from collections.abc import Sequence

from signalpost.config.authmodel import AuthConfig, ProofConfig
from signalpost.config.model import ServerConfig
from signalpost.errors import OperatorError
from signalpost.plan.plan import RouteRule
from signalpost.plan.proving import Finding, Prover
from signalpost.plan.report import PlanReport
from signalpost.plan.rulings import GUEST_PERSON, Person
from signalpost.signals.rule import SignalRule

_MOST_NAMED = 3


def people_of(auth: AuthConfig | None) -> dict[str, Person]:
    """Return the imagined people by name, and the guest."""
    people = () if auth is None else auth.people
    return {GUEST_PERSON.name: GUEST_PERSON, **{config.name: Person.of(config) for config in people}}


def check_proofs(
    config: ServerConfig, routes: Sequence[RouteRule], signals: Sequence[SignalRule], report: PlanReport
) -> None:
    """Report each proof that does not hold, and each that cannot be made."""
    auth = config.auth
    if auth is None or not auth.proofs:
        return
    people, prover = people_of(auth), Prover(config, routes, signals)
    for proof in auth.proofs:
        try:
            message = None if proof.message is None else dict(proof.message)
            findings = prover.find(people[proof.who], proof.verb, proof.path, proof.method, message)
        except OperatorError as error:
            report.problem(proof.keys, str(error))
            continue
        _judge(config, proof, findings, report)


def _judge(config: ServerConfig, proof: ProofConfig, findings: Sequence[Finding], report: PlanReport) -> None:
    for finding in findings:
        ruling = finding.ruling
        where = f"{proof.path} {finding.at}" if finding.at else f"{proof.path}"
        if ruling.answer is None:
            said = f"{proof.who} {'can' if proof.can else 'cannot'} {proof.verb.value} on {where}"
            report.problem(proof.keys, f"it cannot be proved that {said}: {ruling.why}")
            return
        if ruling.answer is not proof.can:
            said = f"{proof.who} {'can' if ruling.answer else 'cannot'} {proof.verb.value} on {where}"
            report.problem(proof.keys, f"{said}: {ruling.why}")
            return
    code = list(dict.fromkeys(each for finding in findings for each in finding.code))
    if code and not proof.can:
        more = len(code) - _MOST_NAMED
        named = ", ".join(code[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        report.note(
            f"{config.source.place(proof.keys)}: proved as far as the file goes: {proof.who} may call {named}, and a "
            "plugin's code may send anything anywhere"
        )
