"""The people that are imagined in the section ``auth``, and what is to be proved of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.config.authmodel import PersonConfig, ProofConfig, Verb
from signalpost.config.model import METHODS
from signalpost.config.section import Section
from signalpost.config.usernames import user_fault
from signalpost.paths import PathPattern
from signalpost.words import unknown

GUEST = "guest"
"""The name of who has shown no identity."""


def read_people(section: Section, user_claim: str) -> tuple[PersonConfig, ...]:
    """Read the imagined people.

    Args:
        section: ``auth``.
        user_claim: the claim that names the user.
    """
    people = section.section("people")
    return () if people is None else tuple(_read_person(people, str(name), user_claim) for name in people.data)


def _read_person(people: Section, name: str, user_claim: str) -> PersonConfig:
    claims = people.mapping(name)
    if name == GUEST:
        people.problem(name, "guest is the name of who has shown no identity: choose another", of_key=True)
    user = claims.get(user_claim, name)
    if fault := user_fault(user):
        people.report.add((*people.keys, name, user_claim), f"the claim {user_claim}, which names the user, {fault}")
        user = name
    return PersonConfig((*people.keys, name), name, str(user), claims)


def read_proofs(section: Section, people: tuple[PersonConfig, ...]) -> tuple[ProofConfig, ...]:
    """Read what is to be proved of the people."""
    names = [GUEST, *(person.name for person in people)]
    return tuple(proof for each in section.sections("proofs") for proof in _read_proof(each, names))


def _read_proof(proof: Section, names: list[str]) -> Iterator[ProofConfig]:
    """Yield a proof for each verb."""
    who, path = proof.text("who"), proof.parsed("path", PathPattern.parse)
    if who is not None and who not in names:
        proof.problem("who", unknown("person", who, names))
        who = None
    if ("can" in proof) == ("cannot" in proof):
        text = "a proof says either can or cannot, as in {who: ann, can: publish, path: /rooms/blue}"
        proof.problem(None, text)
        return
    name = "can" if "can" in proof else "cannot"
    method = proof.text("method")
    for keys, word in proof.texts(name):
        if word not in set(Verb):
            continue  # which is reported
        verb = Verb(word)
        if method is not None and verb is not Verb.REQUEST:
            proof.problem("method", f"only a request has a method, not {word}: leave it out", of_key=True)
        if "message" in proof and verb not in (Verb.PUBLISH, Verb.TARGET):
            proof.problem("message", f"to {word}, nobody sends a message: leave it out", of_key=True)
        if who is not None and path is not None and (method is None or method in METHODS):
            yield ProofConfig(keys, who, name == "can", verb, path, method, _message(proof.data))


def _message(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the whole message of a proof: a mapping with ``message`` in it is one, anything else is its value."""
    if "message" not in data:
        return None
    said = data["message"]
    return said if isinstance(said, dict) and "message" in said else {"message": said}
