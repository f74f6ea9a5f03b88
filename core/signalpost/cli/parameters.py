"""Structured options of commands."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from signalpost.cli.imagined import Imagined  # which loads much that most commands need not


class Address(click.ParamType[str]):
    """An address to listen on, as in an endpoint: an IPv4 or IPv6 address, a host name, ``*``."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        from signalpost.config.addresses import parse_address

        try:
            return parse_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Starter(click.ParamType[str]):
    """A starter, by name."""

    name = "STARTER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Find it."""
        from signalpost.cli.new import starters
        from signalpost.words import unknown

        known = list(starters())
        if value not in known:
            self.fail(unknown("starter", str(value), known), param, ctx)
        return str(value)


class ImaginedClient(click.ParamType["Imagined"]):
    """A client: ``ada=/rooms/blue``, with groups ``ada=/rooms/blue,admins``, of a user ``phone@ann=/rooms/blue``."""

    name = "ID[@USER]=PATH[,GROUP…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Imagined":
        """Read a client."""
        from signalpost.auth.identity import GUEST, Identity
        from signalpost.cli.imagined import Imagined

        client, _, rest = str(value).partition("=")
        path, *groups = rest.split(",")
        client, at, user = client.partition("@")
        if not client or not path.startswith("/") or (at and not user):
            self.fail(f'"{value}" is no client; write for example ada=/rooms/blue,admins', param, ctx)
        identity = Identity(user) if user else GUEST
        return Imagined(client, path, tuple(group for group in groups if group), identity)


class Header(click.ParamType[tuple[str, str]]):
    """A header of HTTP: ``Authorization: Bearer eyJ…``."""

    name = "NAME: VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        name, colon, rest = str(value).partition(":")
        if not colon or not name.strip() or not str(value).isprintable():
            self.fail(f'"{value}" is no header; write for example "X-Name: Ada"', param, ctx)
        return name.strip(), rest.strip()


class Moment(click.ParamType[float]):
    """A moment: ISO 8601, or seconds since 1970."""

    name = "MOMENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        from signalpost.cli.moderate import moment

        try:
            return value if isinstance(value, float) else moment(str(value))
        except ValueError:
            self.fail(f'"{value}" is no moment; write for example 2030-01-31T12:00 (UTC), or 1900000000', param, ctx)


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object: ``{"count": 1}``."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Read it."""
        try:
            found = json.loads(str(value))
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail('it must be an object, such as {"count": 1}', param, ctx)
        return found


class Claim(click.ParamType[tuple[str, Any]]):
    """A claim of a token: ``roles=admin``, ``rooms=["blue"]``. What is not JSON is a text."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f'"{value}" is no claim; write for example roles=admin', param, ctx)
        try:
            return name.strip(), json.loads(text, parse_constant=str)
        except ValueError:
            return name.strip(), text


class Duration(click.ParamType[float]):
    """A duration as in routes.yaml: ``15m``."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it in seconds."""
        from signalpost.units import parse_duration

        try:
            return value if isinstance(value, float) else parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
