"""Rooms of other servers, for the commands that are clients: how they are reached, and what is said of them."""

import json
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import click

from signalpost.client import ConnectError, State
from signalpost.client.address import Address, parse_address
from signalpost.client.room import Room
from signalpost.client.settings import Settings
from signalpost.errors import OperatorError
from signalpost.words import printable

_SOON = 1.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How a room is reached.

    Attributes:
        url: as the user has written it.
        headers: of the handshake.
        insecure: whether any certificate is good.
        plain: whether signalpost.v1 is not spoken.
    """

    url: str
    headers: Mapping[str, str]
    insecure: bool = False
    plain: bool = False


def room_of(reach: Reach, **settings: Any) -> tuple[Address, Room]:
    """Return where a room is, and the room, which is tried once.

    Args:
        reach: how it is reached.
        settings: further ones.

    Raises:
        OperatorError: the URL is none.
    """
    try:
        address = parse_address(reach.url)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    settings = {"at": address.at, **settings}
    made = Settings(
        address=address,
        headers=reach.headers,
        ssl=_any_certificate() if reach.insecure and address.secure else None,
        offers_v1=not reach.plain,
        accepts_plain=True,
        events=False,
        one_try=True,
        **settings,
    )
    return address, Room(made)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


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
