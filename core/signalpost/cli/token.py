"""``signalpost token``: signs a token for development, or tells why one is or is not good."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from jwt import PyJWS

from signalpost.auth.claims import TokenError, ago
from signalpost.auth.fetch import Fetch, FetchError, shown_address
from signalpost.auth.jwks import TIMEOUT
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import MOST_CHARACTERS, Tokens
from signalpost.cli.output import show_facts
from signalpost.config.authmodel import TokensConfig
from signalpost.errors import OperatorError, UnauthorizedError
from signalpost.jose.algorithms import KeyKind
from signalpost.jose.compact import read_object, take_apart
from signalpost.jose.keys import SigningKey, VerificationKey, fitting
from signalpost.jose.keyset import KeySet, read_keys
from signalpost.plan import Plan
from signalpost.units import format_duration
from signalpost.words import listing, printable

STDIN = "-"
_TIMES = ("exp", "nbf", "iat", "auth_time")


def sign_token(plan: Plan, claims: Mapping[str, Any], seconds: float, key: Path | None) -> str:
    """Return a token that this app's servers take, if the key is one of theirs.

    Args:
        plan: says which tokens are good.
        claims: that are known; the issuer, the audience and times are added, unless they are here.
        seconds: how long the token is good.
        key: a file with a private key; None is that of the app.

    Raises:
        OperatorError: there is no key to sign with.
    """
    config = _config(plan)
    signer, algorithm = _signer(config, key)
    now = int(time.time())
    whole = {**_of_app(config), "iat": now, "exp": now + seconds, "jti": uuid4().hex, **claims}
    whole["exp"] = int(whole["exp"]) if float(whole["exp"]).is_integer() else whole["exp"]
    headers = {} if signer.public.kid is None else {"kid": signer.public.kid}
    text = PyJWS().encode(json.dumps(whole, separators=(",", ":")).encode(), signer.material, algorithm, headers)
    if config.address is None:
        _warn_if_refused(config, text)
    return text


def user_claim(plan: Plan) -> str:
    """Return the claim that names the user."""
    return _config(plan).user


def _config(plan: Plan) -> TokensConfig:
    auth = plan.config.auth
    if auth is None or auth.tokens is None:
        text = "has no auth.tokens, so no token is good for it; add for example"
        raise OperatorError(
            f"{plan.config.file} {text} auth: {{tokens: {{keys: {{secret: !secret jwt}}, algorithms: [HS256]}}}}"
        )
    return auth.tokens


def _of_app(config: TokensConfig) -> dict[str, Any]:
    """Return the claims that the app wants every token to have."""
    found = {"iss": config.issuers[:1], "aud": config.audiences[:1]}
    return {name: values[0] for name, values in found.items() if values}


def _signer(config: TokensConfig, file: Path | None) -> tuple[SigningKey, str]:
    """Return the key to sign with, and its algorithm: the first of the file's that it fits."""
    if file is not None:
        signers = _read(file).private
        missing = f"{file} holds no private key, which signing needs"
    elif config.file is not None:
        signers = _read(config.file).private
        missing = f"{config.file.name} (auth.tokens.keys) holds public keys alone: name the private one by --key FILE"
    elif config.address is not None:
        signers = ()
        missing = (
            f"{shown_address(config.address)} (auth.tokens.keys) gives no private keys away: ask it for a token; for "
            "development, name a key of your own by --key FILE, and its public half by auth.tokens.keys"
        )
    else:
        signers = tuple(SigningKey(key, key.material) for key in config.keys if key.kind is KeyKind.SECRET)
        missing = "auth.tokens.keys has no secret"
    if not signers:
        raise OperatorError(missing)
    for algorithm in config.algorithms:
        for signer in signers:
            if algorithm in signer.public.algorithms:
                return signer, algorithm
    kinds = listing(dict.fromkeys(str(signer.public.kind) for signer in signers))
    raise OperatorError(f"no key ({kinds}) can be used with {listing(config.algorithms)} (auth.tokens.algorithms)")


def _read(file: Path) -> KeySet:
    try:
        return read_keys(file.read_bytes())
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {(error.strerror or 'unknown error').lower()}") from None
    except ValueError as error:
        raise OperatorError(f"{file} {error}") from None


def _warn_if_refused(config: TokensConfig, text: str) -> None:
    try:
        Tokens(config, Keyring(config.keys)).verify(text)
    except UnauthorizedError as error:
        click.echo(f"signalpost: this app does not take it: {error}", err=True)


# Reading one


def show_token(plan: Plan, text: str) -> bool:
    """Print what a token says, and whether it is good for the app; return that.

    Args:
        plan: says which tokens are good.
        text: the token; ``-`` reads it from stdin.

    Raises:
        OperatorError: the keys cannot be fetched.
    """
    config = _config(plan)
    if text == STDIN:
        text = sys.stdin.read(2 * MOST_CHARACTERS)
    text = text.strip()
    text = text[7:].lstrip() if text[:7].lower() == "bearer " else text
    tokens = Tokens(config, Keyring(_keys(config)))
    _show_parts(text)
    try:
        identity = tokens.verify(text)
        key = tokens.check_signature(text).key
    except UnauthorizedError as error:
        _show_verdict("not good", _reasons(plan, tokens, text, error))
        return False
    facts = [("user", str(identity.user)), ("key", f"{key.named}, from {_source(config)}")]
    if identity.expires is not None:
        left = identity.expires - time.time()
        facts.append(
            ("left", ago(left) if left > 0 else f"none: it is within the leeway ({format_duration(config.leeway)})")
        )
    _show_verdict("good", facts)
    return True


def _keys(config: TokensConfig) -> Sequence[VerificationKey]:
    if config.address is None:
        return config.keys
    place = shown_address(config.address)
    try:
        keys = Fetch(config.address, config.algorithms, TIMEOUT).run()
    except FetchError as error:
        raise OperatorError(f"the keys cannot be fetched from {place}: {error}") from None
    click.echo(f"fetched from {place}: {', '.join(key.named for key in keys)}", err=True)
    return fitting(keys, config.algorithms)


def _show_parts(text: str) -> None:
    """Print header and claims as far as they can be read; nothing has been checked yet."""
    try:
        header, payload = take_apart(text[:MOST_CHARACTERS])
    except ValueError:
        return
    show_facts("header", [(name, _plain(value)) for name, value in header.items()])
    click.echo()
    try:
        claims = read_object(payload, "payload")
    except ValueError:
        return
    show_facts("claims", [(name, _claim(name, value)) for name, value in claims.items()])
    click.echo()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _claim(name: str, value: Any) -> str:
    """Return a claim; a time as people read it as well."""
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return _plain(value)
    try:
        moment = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{value} (no time)"
    away = value - time.time()
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {f'in {ago(away)}' if away > 0 else f'{ago(-away)} ago'}  ({value})"


def _reasons(plan: Plan, tokens: Tokens, text: str, error: UnauthorizedError) -> list[tuple[str, str]]:
    facts = [("why", str(error))]
    rule = error.rule if isinstance(error, TokenError) else ""
    if rule:
        facts.append(("rule", f"auth.tokens.{rule}  ({plan.config.source.place(('auth', 'tokens', rule))})"))
    with suppress(UnauthorizedError):
        facts.append(("key", f"the signature is that of {tokens.check_signature(text).key.named}"))
    return facts


def _show_verdict(title: str, facts: Sequence[tuple[str, str]]) -> None:
    show_facts(title, facts)


def _source(config: TokensConfig) -> str:
    if config.address is not None:
        return shown_address(config.address)
    return printable(config.file.name) if config.file is not None else "routes.yaml"
