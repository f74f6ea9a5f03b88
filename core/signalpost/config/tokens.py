"""The section ``auth.tokens``: which tokens are good, and the keys that they are checked with."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from signalpost.config.authmodel import TokensConfig
from signalpost.config.feedurl import is_loopback
from signalpost.config.section import Section, find_file
from signalpost.jose.algorithms import KINDS, SECRET_BYTES, KeyKind, algorithms_of, is_shared
from signalpost.jose.keys import VerificationKey, fitting, secret_key
from signalpost.units import format_duration, parse_wait
from signalpost.words import quoted

_LONGEST_LEEWAY = 600.0
_SHOWN = 3
_FORM = "https://id.example.com/.well-known/jwks.json"
_DISCOVERY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")

MAKE_SECRET = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'  # noqa: S105 - makes one
"""A command that prints a secret to sign with."""


def read_tokens(section: Section, folder: Path) -> TokensConfig | None:
    """Read the section ``auth.tokens``; None, and a problem, if no token could be checked."""
    algorithms = _read_algorithms(section)
    leeway = section.quantity("leeway", _parse_leeway)
    text = section.text("keys")
    keys: tuple[VerificationKey, ...] = ()
    address, file = None, None
    if text is not None and "://" in text:
        address = section.parsed("keys", parse_address)
        _refuse_shared(section, algorithms)
    elif text is not None:
        _refuse_shared(section, algorithms)
        file = find_file(section, "keys", folder)
        keys = () if file is None else _read_file(section, file, algorithms)
    else:
        keys = _read_secret(section, algorithms)
    if not algorithms or (address is None and not keys):
        return None  # which is reported
    return TokensConfig(
        algorithms=algorithms,
        keys=keys,
        file=file,
        address=address,
        issuers=section.words("issuer"),
        audiences=section.words("audience"),
        user=section.text("user") or "sub",
        leeway=10.0 if leeway is None else leeway,
        lasting=section.flag("lasting"),
    )


def _parse_leeway(value: str | float) -> float:
    leeway = parse_wait(value)
    if leeway > _LONGEST_LEEWAY:
        raise ValueError(f"clocks differ by less (allowed: up to {format_duration(_LONGEST_LEEWAY)})")
    return leeway


def _read_algorithms(section: Section) -> tuple[str, ...]:
    found: dict[str, int] = {}
    for index, (keys, name) in enumerate(section.texts("algorithms")):
        if name in found:
            section.report.add(keys, f"{quoted(name)} is listed already, as number {found[name] + 1}: leave this out")
        elif name in KINDS:
            found[name] = index
    return tuple(found)


def _refuse_shared(section: Section, algorithms: Sequence[str]) -> None:
    """Report algorithms that sign with a secret where keys are public: a token could be signed with what all know."""
    for keys, name in section.texts("algorithms"):
        if name in algorithms and is_shared(name):
            text = f"{name} is signed with a shared secret, and keys is a set of public ones; leave it out"
            section.report.add(keys, text)


# A secret


def _read_secret(section: Section, algorithms: Sequence[str]) -> tuple[VerificationKey, ...]:
    inner = section.section("keys")
    secret = None if inner is None else inner.text("secret")
    if inner is None or secret is None:
        return ()
    for keys, name in section.texts("algorithms"):
        if name in algorithms and not is_shared(name):
            wanted = ", ".join(algorithms_of_secrets())
            text = f"{name} is checked with a public key, and keys is a shared secret (allowed with it: {wanted})"
            section.report.add(keys, text)
    shared = [name for name in algorithms if is_shared(name)]
    if shared:
        longest = max(shared, key=SECRET_BYTES.__getitem__)
        check_secret(inner, "secret", SECRET_BYTES[longest], longest)
    return fitting((secret_key(secret.encode()),), algorithms)


def algorithms_of_secrets() -> tuple[str, ...]:
    """Return the algorithms that sign with a shared secret, in the order of `KINDS`."""
    known = algorithms_of(KeyKind.SECRET)
    return tuple(name for name in KINDS if name in known)


def check_secret(section: Section, name: str, least: int, what: str) -> None:
    """Report a secret that is too short for what it signs, or that is no secret.

    Args:
        section: that has it.
        name: its key.
        least: bytes; for a token as many as its hash has (RFC 7518 section 3.2).
        what: it signs.
    """
    from jwt.algorithms import HMACAlgorithm
    from jwt.exceptions import InvalidKeyError

    secret = (section.text(name) or "").encode()
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        section.problem(name, "a key in PEM or JWK form is no secret: put it into a file, and name that")
        return
    if len(secret) < least:
        text = f"too short to sign {what} with, so it could be guessed (allowed: from {least} bytes)"
        section.problem(name, f"{text}; make one: {MAKE_SECRET}")


# A file


def _read_file(section: Section, file: Path, algorithms: Sequence[str]) -> tuple[VerificationKey, ...]:
    from signalpost.jose.keyset import read_keys

    name = quoted(file.name)
    try:
        found = read_keys(file.read_bytes())
    except (OSError, ValueError) as error:
        text = (error.strerror or "it cannot be read").lower() if isinstance(error, OSError) else str(error)
        section.problem("keys", f"{name} {text}")
        return ()
    keys = fitting(found.keys, algorithms)
    if not keys and (public := [each for each in algorithms if not is_shared(each)]):
        section.problem(
            "keys", f"{name} has no key for {' or '.join(public)}: {_what_it_has(found.keys, found.unusable)}"
        )
    for place, algorithm in section.texts("algorithms"):
        usable = algorithm in KINDS and not is_shared(algorithm)
        if keys and usable and not any(algorithm in key.algorithms for key in keys):
            has = _what_it_has(found.keys, ())
            section.report.add(place, f"no key of {name} can be used with {algorithm}: {has}; leave it out")
    return keys


def _what_it_has(keys: Sequence[VerificationKey], unusable: Sequence[str]) -> str:
    """Return what a file holds, for a problem: ``it has an Ed25519 key (EdDSA)``."""
    has = [f"{key.kind} for {', '.join(name for name in KINDS if name in key.algorithms)}" for key in keys]
    parts = [*dict.fromkeys(has), *unusable]
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return f"it has {'; '.join(parts[:_SHOWN])}{more}" if parts else "it is empty"


# An address


def parse_address(text: str) -> str:
    """Return the address of a JWK Set.

    Raises:
        ValueError: it is none, or the keys could be exchanged on their way.
    """
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("an address has no blanks and no control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port cannot be read (allowed: {_FORM})") from None
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http"):
        raise ValueError(f"the address of a JWK Set begins with https://, not with {parts.scheme}://, as in {_FORM}")
    if not parts.hostname or port == 0:
        raise ValueError(f"it names no host, or no port that a server has (allowed: {_FORM})")
    if parts.username is not None or parts.password is not None:
        raise ValueError("public keys need no user and no password: leave them out")
    if parts.fragment or text.endswith("#"):
        raise ValueError("what follows # is never sent to a server: leave it out")
    if scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            "http is not encrypted, so anyone on the way could put in a key of their own: use https:// (http only for "
            "this machine: localhost, 127.0.0.1, ::1)"
        )
    if parts.path.endswith(_DISCOVERY):
        raise ValueError(f"this describes the login server; write the address that it gives as jwks_uri, as in {_FORM}")
    return text
