"""Permissions: who may do what, asked with everything that may matter, and answered with the line that decided.

Words cost nothing, and an expression some microseconds. Whatever fails is no, and logged.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.authmodel import MayWord, Verb
from signalpost.events import MessageData, Shared
from signalpost.templates.clock import WorkClock
from signalpost.templates.outcomes import Outcomes
from signalpost.templates.value import FailureKind, TemplateFailedError

LONGEST_WORK = 0.03
"""Seconds that an expression may work: everybody else waits meanwhile."""

OF_KEYS = frozenset({Verb.PUBLISH, Verb.TARGET, Verb.HISTORY, Verb.PRESENCE})
"""Verbs that API keys allow: a program may do what its key says, and nothing else of these."""

_ANYONE, _USERS = MayWord.ANYONE, MayWord.USERS


@dataclass(frozen=True, slots=True)
class Asker:
    """A client as expressions see it, also before it is connected.

    Attributes:
        id: that it has, or will have.
    """

    id: str
    path: str
    groups: frozenset[str] = frozenset()


@dataclass(slots=True)
class Question:
    """A question whether somebody may do something. Not frozen because one is made per message.

    Attributes:
        identity: of who asks.
        path: where, in the declared spelling.
        params: of the path.
        shared: by all events; None if only an identity is imagined.
        client: that asks, or wants to connect; None on a route.
        seen: returns the HTTP request; None if there is none.
        data: of the message, for publish and target.
    """

    identity: Identity = GUEST
    path: str = "/"
    params: Mapping[str, str | int] = field(default_factory=dict)
    shared: Shared | None = None
    client: Any = None
    seen: Callable[[], Mapping[str, Any]] | None = None
    data: MessageData | None = None

    @property
    def clock(self) -> WorkClock:
        """The clock of one expression."""
        return WorkClock(LONGEST_WORK)

    @property
    def now(self) -> datetime:
        """The moment of the question, in the system's zone, to the second."""
        return datetime.now().astimezone().replace(microsecond=0)

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The client's message, for plugins."""
        return None if self.data is None else self.data.document


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to the question who may.

    Attributes:
        where: its place: ``routes.yaml:34:16``; ``default`` for one that the file leaves out.
        word: or
        test: renders an expression for a question.
        names: that the expression uses.
        text: as people write it.
        unstable: what it asks that no file knows: ``state``, ``now``, a plugin's function.
        imagine: returns what an expression may give for a question if some names are not known.
    """

    where: str
    word: MayWord | None = None
    test: Callable[[Any], Any] | None = field(default=None, compare=False, repr=False)
    names: frozenset[str] = frozenset()
    text: str = ""
    unstable: frozenset[str] = frozenset()
    imagine: Callable[[Any, Collection[str]], Outcomes] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.word.value if self.word is not None else self.text

    def holds(self, question: Question) -> bool:
        """Return whether it admits who asks.

        Raises:
            PermissionFailedError: its expression failed.
        """
        if self.test is None:
            return self.word is _ANYONE or (self.word is _USERS and question.identity.user is not None)
        try:
            value = self.test(question)
        except TemplateFailedError as error:
            raise PermissionFailedError(error.text, absent=error.kind is FailureKind.UNDEFINED) from error
        if value is True or value is False:
            return value
        raise PermissionFailedError(f"it gave {_kind(value)}, and only true or false is an answer")


class PermissionFailedError(Exception):
    """An expression of a permission failed.

    Attributes:
        absent: whether it asked for something that is not there, such as a claim.
    """

    def __init__(self, text: str, *, absent: bool = False) -> None:
        self.absent = absent
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer to a question.

    Attributes:
        allowed: whether who asks may.
        choice: that decided; None if none did, so that the answer is no, or if a plugin did.
        plugin: the hook that decided: ``hook authorize of plugin rooms (plugins/rooms.py:7)``.
        key: the program whose API key decided.
        failures: of expressions, with their places: each is no.
    """

    allowed: bool
    choice: Choice | None = None
    plugin: str = ""
    key: str = ""
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may do one thing.

    Attributes:
        choices: any of them admits.
        where: the place of the whole: ``routes.yaml:34:16``; ``default`` if the file leaves it out.
        word: the word, if it is one and nothing else.
    """

    choices: tuple[Choice, ...]
    where: str
    word: MayWord | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        only = self.choices[0].word if len(self.choices) == 1 else None
        object.__setattr__(self, "word", only)  # as a frozen dataclass does it

    def __str__(self) -> str:
        return ", or ".join(map(str, self.choices))

    @property
    def names(self) -> frozenset[str]:
        """The names that its expressions use."""
        return frozenset().union(*(choice.names for choice in self.choices))

    def judge(self, question: Question) -> Judgement:
        """Answer a question."""
        failures: tuple[str, ...] = ()
        for choice in self.choices:
            try:
                if choice.holds(question):
                    return Judgement(True, choice, failures=failures)
            except PermissionFailedError as error:
                if not (error.absent and question.identity.is_guest):  # a guest has no claims, which is no mistake
                    failures = (*failures, f"{choice.where}: {error}")
        return Judgement(False, self.choices[0] if len(self.choices) == 1 else None, failures=failures)


Authorizer = Callable[[Identity, Verb, str, Mapping[str, Any] | None], "Verdict | None"]
"""Asks the plugins; None if none of them has an opinion."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plugin says.

    Attributes:
        code: its hook, for people.
    """

    allowed: bool
    code: str


@dataclass(frozen=True, slots=True)
class Permits:
    """Who may do what at one signal or route.

    Attributes:
        rules: a verb that is left out is allowed to all who come that far.
        owner: of the signal or route, for logs: ``routes.yaml:14``.
        authorize: asks the plugins first; None if none of them has the hook.
    """

    rules: Mapping[Verb, Permission]
    owner: str = ""
    authorize: Authorizer | None = field(default=None, compare=False)

    def decides(self, verb: Verb) -> bool:
        """Return whether anything must be asked before somebody does something."""
        return self.authorize is not None or verb in self.rules

    def at_once(self, verb: Verb, identity: Identity) -> bool | None:
        """Answer what a word decides, without a question; None if more must be asked."""
        if self.authorize is not None:
            return None
        if identity.program and verb in OF_KEYS:
            return verb in identity.grants
        permission = self.rules.get(verb)
        if permission is None:
            return True
        word = permission.word
        return None if word is None else word is _ANYONE or (word is _USERS and identity.user is not None)

    def judge(self, verb: Verb, question: Question) -> Judgement:
        """Answer a question."""
        if self.authorize is not None:
            verdict = self.authorize(question.identity, verb, question.path, question.document)
            if verdict is not None:
                return Judgement(verdict.allowed, plugin=verdict.code)
        if question.identity.program and verb in OF_KEYS:
            return Judgement(verb in question.identity.grants, key=question.identity.program)
        permission = self.rules.get(verb)
        return Judgement(True) if permission is None else permission.judge(question)

    def allow(self, verb: Verb, question: Question, tell: Callable[[str], None]) -> bool:
        """Answer a question.

        Args:
            verb: that is asked about.
            question: with all that may matter.
            tell: called with a line for the log about each expression that failed.
        """
        if not self.decides(verb) and not question.identity.program:
            return True
        return self.judge_aloud(verb, question, tell).allowed

    def judge_aloud(self, verb: Verb, question: Question, tell: Callable[[str], None]) -> Judgement:
        """Answer a question, with what decided it. The arguments are those of `allow`."""
        judgement = self.judge(verb, question)
        for failure in judgement.failures:
            tell(f"{failure}; so {question.identity} may not {_DOES[verb]} {question.path}")
        return judgement


_DOES = {
    Verb.CONNECT: "connect to",
    Verb.PUBLISH: "publish on",
    Verb.TARGET: "choose a target on, or reach from another path,",
    Verb.HISTORY: "ask for the history of",
    Verb.PRESENCE: "see who is on",
    Verb.REQUEST: "request",
}


def _kind(value: object) -> str:
    """Return what a value is, in a word of JSON's; never the value, which may be a secret."""
    match value:
        case None:
            return "null"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"
