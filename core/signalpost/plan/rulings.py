"""Rulings: what can be proved of a question, and by which line. Yes, no, or not to be proved: three answers.

They are the answers of the compiled permissions that serve. What nobody can know before the server runs has no answer:
the state, the time, a request, a client, a plugin.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.authmodel import MayWord, PersonConfig, Verb
from signalpost.config.proofs import GUEST as GUEST_NAME
from signalpost.events import MessageData
from signalpost.signals.permissions import Choice, Judgement, Permission, PermissionFailedError, Permits, Question
from signalpost.state.frozen import fixed
from signalpost.templates.outcomes import Outcome
from signalpost.words import listing

DEFAULT = "default"
"""The place of a permission that the file leaves out."""

_OF_MESSAGE = frozenset({"message", "data", "group"})
_OF_PATH = frozenset({"params", "path"})


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of whom something is asked.

    Attributes:
        name: as in the file.
    """

    name: str
    identity: Identity

    @classmethod
    def of(cls, config: PersonConfig) -> "Person":
        """Return an imagined person."""
        return cls(config.name, Identity(config.user, fixed(config.claims)))

    @property
    def words(self) -> list[str]:
        """Texts that may be parts of paths which the person can choose to advantage."""
        found = list(dict.fromkeys(_texts(self.identity.claims)))
        return found if self.identity.user is None else [self.identity.user, *found]


GUEST_PERSON = Person(GUEST_NAME, GUEST)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(part)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer to a question.

    Attributes:
        answer: None if it cannot be proved.
        why: the line that decided: ``may.connect (routes.yaml:34:16) gives true``.
    """

    answer: bool | None
    why: str

    def __and__(self, other: "Ruling") -> "Ruling":
        """Return whether both hold: the first no decides, else what cannot be proved, else the last yes."""
        for answer in (False, None):
            for each in (self, other):
                if each.answer is answer:
                    return each
        return other


YES = Ruling(True, "anyone may")


def ruling(permits: Permits | None, verb: Verb, question: Question, *, bare: bool = False) -> Ruling:
    """Return what can be proved of a question.

    Args:
        permits: of the signal or route; None asks nobody.
        verb: that is asked about.
        question: of an imagined person.
        bare: whether the path of the question is a pattern, so that it has no parameters.
    """
    if permits is None or not permits.decides(verb):
        return YES
    if permits.authorize is not None:
        return Ruling(None, f"a plugin's hook authorize decides about {permits.owner}, and no file knows what it says")
    permission = permits.rules[verb]
    return _of_permission(permission, verb, question, bare=bare)


def requested(
    permits: Permits | None, person: Person, path: str, params: Mapping[str, str | int], *, bare: bool = False
) -> Ruling:
    """Return what can be proved of a person's request; see `ruling`."""
    return ruling(permits, Verb.REQUEST, Question(person.identity, path, params), bare=bare)


def said(verb: Verb, judgement: Judgement) -> str:
    """Return which line decided a question that was really asked: ``may.connect (routes.yaml:34:16) gives true``."""
    if judgement.plugin:
        return f"{judgement.plugin} says so"
    if judgement.key:
        return f"auth.keys.{judgement.key} {'allows' if judgement.allowed else 'does not allow'} it"
    choice = judgement.choice
    if judgement.failures:
        return f"{verb_key(verb)} fails, which is no: {'; '.join(judgement.failures)}"
    if choice is None:
        return f"{verb_key(verb)} admits by none of its choices"
    named = _named(verb, choice.where)
    if choice.word is not None:
        default = ", the default of a file with auth" if choice.where == DEFAULT else ""
        return f"{named} is {choice.word.value}{default}"
    return f"{named} gives {'true' if judgement.allowed else 'false'}"


def verb_key(verb: Verb) -> str:
    """Return the key of a verb: ``may.connect``."""
    return "may" if verb is Verb.REQUEST else f"may.{verb.value}"


def _of_permission(permission: Permission, verb: Verb, question: Question, *, bare: bool) -> Ruling:
    refused: Ruling | None = None
    unknown: Ruling | None = None
    for choice in permission.choices:
        found = _of_choice(choice, verb, question, bare=bare)
        if found.answer is True:
            return found
        if found.answer is None:
            unknown = unknown or found
        else:
            refused = refused or found
    if unknown is not None:
        return unknown
    if refused is not None and len(permission.choices) == 1:
        return refused
    return Ruling(False, f"{_named(verb, permission.where)} admits by none of its {len(permission.choices)} choices")


def _of_choice(choice: Choice, verb: Verb, question: Question, *, bare: bool) -> Ruling:
    named = _named(verb, choice.where)
    if choice.word is not None:
        if choice.where == DEFAULT:
            return Ruling(choice.holds(question), f"{named} is {choice.word.value}, the default of a file with auth")
        return Ruling(choice.holds(question), f"{named} is {choice.word.value}")
    unknown = set(choice.unstable)
    if bare:
        unknown |= choice.names & _OF_PATH
    if question.data is None:
        unknown |= choice.names & _OF_MESSAGE
    if not unknown or choice.imagine is None:
        try:
            holds = choice.holds(question)
        except PermissionFailedError as error:
            if error.absent and question.identity.is_guest:
                return Ruling(False, f"{named} asks for what a guest does not have")
            return Ruling(False, f"{named} fails, which is no: {error}")
        return Ruling(holds, f"{named} gives {'true' if holds else 'false'}")
    outcomes = choice.imagine(question, unknown)
    asked = listing(sorted(unknown))
    if Outcome.TRUE not in outcomes:
        return Ruling(False, f"{named} is never true here, whatever {asked} may be")
    if outcomes == {Outcome.TRUE}:
        return Ruling(True, f"{named} gives true, whatever {asked} may be")
    return Ruling(None, f"{named} asks for {asked}, {_why_unknown(unknown)}")


def _why_unknown(names: Collection[str]) -> str:
    if _OF_PATH.issuperset(names):
        return "which may be anything"
    if _OF_MESSAGE.issuperset(names):
        return "which the proof does not say: add message: …"
    return "which only a running server knows"


def _named(verb: Verb, where: str) -> str:
    return verb_key(verb) if where == DEFAULT else f"{verb_key(verb)} ({where})"


def word_of(permits: Permits | None, verb: Verb) -> str:
    """Return who may, in the words of the file: ``users``, ``{{ … }}``; ``anyone`` if nobody is asked."""
    permission = None if permits is None else permits.rules.get(verb)
    return MayWord.ANYONE.value if permission is None else str(permission)


def data_of(message: Mapping[str, Any] | None) -> MessageData | None:
    """Return the message of a proof as permissions see it."""
    if message is None:
        return None
    named = {"path": "path", "client_id": "clientId", "group": "group"}
    asked = {name: message.get(key) for name, key in named.items()}
    return MessageData(message["message"], **asked, direct=message.get("direct") is True, document=message)
