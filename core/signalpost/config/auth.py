"""The section ``auth``: how clients say who they are, and who is imagined for proofs."""

from collections.abc import Iterator
from pathlib import Path

from signalpost.config.authmodel import (
    DEFAULT_TOKEN_PLACES,
    USER_CLAIM,
    ApiKeyConfig,
    AuthConfig,
    KeyPermission,
    TokenPlace,
)
from signalpost.config.feedurl import NO_TOKEN
from signalpost.config.proofs import read_people, read_proofs
from signalpost.config.section import Section
from signalpost.config.tokens import check_secret, read_tokens
from signalpost.paths import PathPattern
from signalpost.words import printable, quoted

_LEAST_SECRET = 32
_LONGEST_NAME = 64
_MAKE_KEY = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def read_auth(root: Section, folder: Path) -> AuthConfig | None:
    """Read the section ``auth``; without it, clients have no identity."""
    section = root.section("auth")
    if section is None:
        return None
    tokens_section = section.section("tokens")
    tokens = None if tokens_section is None else read_tokens(tokens_section, folder)
    places = _read_places(section)
    if "tokens" not in section:
        _refuse_places(section)
    cookie = section.parsed("cookie", _parse_cookie)
    secret = section.text("secret")
    if secret is not None:
        check_secret(section, "secret", _LEAST_SECRET, "sessions")
    people = read_people(section, USER_CLAIM if tokens is None else tokens.user)
    return AuthConfig(
        section.keys,
        tokens,
        tuple(place for place in places if place is not TokenPlace.COOKIE or cookie is not None),
        cookie if TokenPlace.COOKIE in places else None,
        None if secret is None else secret.encode(),
        _read_api_keys(section),
        people,
        read_proofs(section, people),
    )


def auth_notes(root: Section, auth: AuthConfig | None) -> Iterator[str]:
    """Yield notes about what is valid but may not be intended."""
    section = root.section("auth")
    if auth is None or section is None:
        return
    if TokenPlace.QUERY in auth.places:
        yield (
            f"{section.place('from')}: a token in the address (from: query) stands in the logs of every server on its "
            "way, and in the history of browsers; keep it for clients that can do nothing else"
        )


def _read_places(section: Section) -> tuple[TokenPlace, ...]:
    """Read ``from``, and hold it against ``cookie``."""
    if "from" not in section:
        return DEFAULT_TOKEN_PLACES
    found: dict[str, int] = {}
    for index, (keys, word) in enumerate(section.texts("from")):
        if word in found:
            section.report.add(keys, f"{quoted(word)} is listed already, as number {found[word] + 1}: leave this out")
        found.setdefault(word, index)
    known = set(TokenPlace)
    places = tuple(place for place in TokenPlace if place.value in found)
    if not set(found) <= known or not places:
        return places  # which is reported
    if TokenPlace.COOKIE in places and "cookie" not in section:
        keys = (*section.keys, "from", found["cookie"])
        section.report.add(keys, "which cookie? add cookie: NAME to auth, for example cookie: __Host-token")
    if TokenPlace.COOKIE not in places and "cookie" in section:
        wanted = ", ".join([*found, "cookie"])
        section.problem("cookie", f"from does not name cookie, so none is read: write from: [{wanted}]", of_key=True)
    return places


def _refuse_places(section: Section) -> None:
    """Report what says where tokens stand if none are taken."""
    for name in ("from", "cookie"):
        if name in section:
            text = (
                f"{name} says where a token stands, and none is taken: add tokens: {{keys: …, algorithms: …}}, or "
                "leave this out"
            )
            section.problem(name, text, of_key=True)


def _parse_cookie(text: str) -> str:
    if NO_TOKEN.search(text):
        raise ValueError(f"{quoted(text)} is no name of a cookie: it has letters, digits and any of !#$%&'*+-.^_`|~")
    return text


def _read_api_keys(section: Section) -> tuple[ApiKeyConfig, ...]:
    keys = section.section("keys")
    if keys is None:
        return ()
    places: dict[str, str] = {}
    read = [_read_api_key(keys, str(name), places) for name in keys.data]
    return tuple(each for each in read if each is not None)


def _read_api_key(keys: Section, name: str, places: dict[str, str]) -> ApiKeyConfig | None:
    """Read an API key; `places` are those of the keys before it, and it is added."""
    section = keys.section(name)
    if section is None:
        return None
    if not name.strip() or name != printable(name) or len(name) > _LONGEST_NAME:
        text = f"a program's name is shown in logs: 1 to {_LONGEST_NAME} visible characters"
        keys.problem(name, text, of_key=True)
    key = section.text("key")
    if key is not None:
        _check_key(section, key, places)
    found: set[str] = set()
    for place, word in section.texts("may"):
        if word in found:
            section.report.add(place, f"{quoted(word)} is listed already: leave this out")
        found.add(word)
    may = frozenset(permission for permission in KeyPermission if permission.value in found)
    paths = tuple(_read_patterns(section))
    return None if key is None else ApiKeyConfig(name, key, may, paths)


def _read_patterns(section: Section) -> Iterator[PathPattern]:
    for place, text in section.texts("paths"):
        try:
            yield PathPattern.parse(text)
        except ValueError as error:
            section.report.add(place, str(error))


def _check_key(section: Section, key: str, places: dict[str, str]) -> None:
    if len(key) < _LEAST_SECRET:
        section.problem(
            "key", f"too short to be safe (allowed: from {_LEAST_SECRET} characters); make one: {_MAKE_KEY}"
        )
    elif not key.isascii() or not key.isprintable() or " " in key:
        section.problem(
            "key", f"a header carries it, so only visible ASCII characters without blanks; make one: {_MAKE_KEY}"
        )
    if key in places:
        section.problem(
            "key", f"the same key as at {places[key]}: each program needs one of its own; make one: {_MAKE_KEY}"
        )
    places.setdefault(key, section.place("key"))
