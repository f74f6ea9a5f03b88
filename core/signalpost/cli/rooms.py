"""Rooms of other servers, for the commands that are clients: how they are reached, and what is said of them."""

import json
import re
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from signalpost.cli.appfile import AppFile
from signalpost.client import ConnectError, State
from signalpost.client.address import Address, parse_address
from signalpost.client.room import Room
from signalpost.client.settings import Settings
from signalpost.errors import OperatorError
from signalpost.words import printable

_SOON = 1.0
_FILE = "routes.yaml"
_STDIN = "-"
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass(frozen=True, slots=True)
class Reach:
    """How a room is reached.

    Attributes:
        url: as the user has written it.
        headers: of the handshake.
        token: that the client shows; None for none.
        insecure: whether any certificate is good.
        plain: whether signalpost.v1 is not spoken.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    plain: bool = False


def room_of(reach: Reach, **settings: Any) -> tuple[Address, Room]:
    """Return where a room is, and the room, which is tried once by each way.

    Args:
        reach: how it is reached.
        settings: further ones.

    Raises:
        OperatorError: the URL is none.
    """
    try:
        address = parse_address(reach.url)
    except ValueError as error:
        meant = AppFile.read(_FILE).socket_url(reach.url) if reach.url.startswith("/") else None
        hint = f'"{reach.url}" is a path of a server; did you mean {meant}, as {_FILE} here has it?'
        raise OperatorError(hint if meant else str(error)) from None
    settings = {"at": address.at, **settings}
    made = Settings(
        address=address,
        headers=reach.headers,
        token=reach.token,
        ssl=_any_certificate() if reach.insecure and address.secure else None,
        offers_v1=not reach.plain,
        accepts_plain=True,
        events=not reach.plain,
        one_try=True,
        **settings,
    )
    return address, Room(made)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def read_token(text: str | None) -> str | None:
    """Return a token as it was given, or the first line of stdin for ``-``; None stays so.

    Raises:
        click.UsageError: it cannot be shown by a subprotocol, as no JWT is (RFC 7519 section 1); it is not repeated.
    """
    if text is None:
        return None
    token = (sys.stdin.readline() if text == _STDIN else text).strip()
    if not _TOKEN.fullmatch(token):
        where = "the first line of stdin" if text == _STDIN else "--token"
        raise click.UsageError(
            f"{where} is no token: it has letters, digits, -, ., _ and ~ alone. Show another kind by a header: "
            "-H 'Authorization: …'"
        )
    return token


def run_client(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a client until it is done.

    Raises:
        OperatorError: there is no connection to the server.
    """
    import asyncio

    try:
        asyncio.run(work())
    except ConnectError as error:
        raise OperatorError(str(error)) from None


def say(text: str) -> None:
    """Tell the user something that is no value."""
    click.echo(printable(text), err=True)


def say_state(state: State) -> None:
    """Tell the user why there is no connection, and when the next try is."""
    if state.name == "waiting":
        when = "soon" if state.seconds < _SOON else f"in {state.seconds:.0f} s"
        say(f"{state.reason}; trying again {when}")


def line_of(value: Any) -> str:
    """Return a value as one line: a text as it is, anything else as JSON.

    What a terminal would obey, or would break the line, is escaped as in JSON; bytes become ``<3 bytes: 00 01 02>``.
    """
    if isinstance(value, bytes):
        return f"<{len(value)} byte{'' if len(value) == 1 else 's'}: {value.hex(' ')}>"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)
