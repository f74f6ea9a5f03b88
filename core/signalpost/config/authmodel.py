"""What routes.yaml says of who somebody is, and who may do what: the section ``auth`` and the key ``may``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from signalpost.jose.keys import VerificationKey
from signalpost.paths import PathPattern, split_path
from signalpost.places import Keys


class Verb(StrEnum):
    """What somebody may do at a path."""

    CONNECT = "connect"
    PUBLISH = "publish"
    TARGET = "target"
    HISTORY = "history"
    PRESENCE = "presence"
    REQUEST = "request"


SIGNAL_VERBS = (Verb.CONNECT, Verb.PUBLISH, Verb.TARGET, Verb.HISTORY, Verb.PRESENCE)
"""Those of a signal; a route has only requests."""


class MayWord(StrEnum):
    """Who may, in a word."""

    ANYONE = "anyone"
    USERS = "users"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class ChoiceConfig:
    """One answer to the question who may.

    Attributes:
        keys: of the value.
        word: or
        expression: a template that returns true or false.
    """

    keys: Keys = field(compare=False)
    word: MayWord | None = None
    expression: str = ""


@dataclass(frozen=True, slots=True)
class PermissionConfig:
    """Who may do something: whom any of the choices admits.

    Attributes:
        keys: of the whole; empty for a default.
    """

    keys: Keys = field(compare=False)
    choices: tuple[ChoiceConfig, ...]

    @property
    def word(self) -> MayWord | None:
        """The word, if it is one and nothing else."""
        return self.choices[0].word if len(self.choices) == 1 else None


Permissions = Mapping[Verb, PermissionConfig]
"""What a file says of who may; a verb that is left out has its default."""


class TokenPlace(StrEnum):
    """Where a client's token may stand."""

    HEADER = "header"
    PROTOCOL = "protocol"
    COOKIE = "cookie"
    QUERY = "query"


DEFAULT_TOKEN_PLACES = (TokenPlace.HEADER, TokenPlace.PROTOCOL, TokenPlace.COOKIE)
"""A query is part of the address, which is logged: it counts only where the file says so."""


USER_CLAIM = "sub"
"""The claim that names the user, unless the file says another (RFC 7519 section 4.1.2)."""


@dataclass(frozen=True, slots=True)
class TokensConfig:
    """Which tokens are good.

    Attributes:
        algorithms: the only ones that a token may be signed with (RFC 7518 section 3.1, RFC 8037 section 3.1).
        keys: that tokens are checked with; empty if they are fetched.
        file: that holds them, absolute; None if they are a secret, or are fetched.
        address: of a JSON Web Key Set (RFC 7517 section 5) that is fetched; None if nothing is.
        issuers: of which a token must name one (``iss``); empty accepts any.
        audiences: of which a token must name one (``aud``); empty accepts only tokens that name none.
        user: the claim that names the user.
        leeway: seconds by which clocks may differ.
        lasting: whether tokens without ``exp`` are good.
    """

    algorithms: tuple[str, ...]
    keys: tuple[VerificationKey, ...] = ()
    file: Path | None = None
    address: str | None = None
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    user: str = USER_CLAIM
    leeway: float = 10.0
    lasting: bool = False


class KeyPermission(StrEnum):
    """What another program may do with an API key."""

    PUBLISH = "publish"
    HISTORY = "history"
    PRESENCE = "presence"
    CLIENTS = "clients"
    MODERATE = "moderate"


@dataclass(frozen=True, slots=True)
class ApiKeyConfig:
    """A key of another program.

    Attributes:
        name: of the program, in logs.
        may: what it may do.
        paths: of signals that it is for; empty is all.
    """

    name: str
    key: str = field(repr=False)
    may: frozenset[KeyPermission] = frozenset()
    paths: tuple[PathPattern, ...] = ()

    def allows_path(self, path: str) -> bool:
        """Return whether the key is for a path."""
        segments = split_path(path)
        return not self.paths or (
            segments is not None and any(pattern.match(segments) is not None for pattern in self.paths)
        )


@dataclass(frozen=True, slots=True)
class PersonConfig:
    """Somebody who is imagined, for proofs and trials.

    Attributes:
        user: the name of the user.
        claims: what is said about the user.
    """

    keys: Keys = field(compare=False)
    name: str
    user: str
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ProofConfig:
    """What is to be proved.

    Attributes:
        keys: of the verb.
        who: a person's name, or ``guest``.
        can: whether it is to be proved that they can, or that they cannot.
        path: of a signal or route; with parameters in it, of all paths that it matches.
        method: of a request; None is all that the route answers.
        message: the whole message; None if it does not matter.
    """

    keys: Keys = field(compare=False)
    who: str
    can: bool
    verb: Verb
    path: PathPattern
    method: str | None = None
    message: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """How clients say who they are.

    Attributes:
        tokens: None accepts none.
        places: where a token may stand, in the order of `TokenPlace`; the first one that holds one counts.
        cookie: the name of the cookie that holds one; None is no cookie.
        secret: signs sessions; None is one of this start.
        api_keys: of other programs.
        people: who is imagined.
        proofs: what is to be proved of them.
    """

    keys: Keys = field(default=(), compare=False)
    tokens: TokensConfig | None = None
    places: tuple[TokenPlace, ...] = DEFAULT_TOKEN_PLACES
    cookie: str | None = None
    secret: bytes | None = field(default=None, repr=False)
    api_keys: tuple[ApiKeyConfig, ...] = ()
    people: tuple[PersonConfig, ...] = ()
    proofs: tuple[ProofConfig, ...] = ()
