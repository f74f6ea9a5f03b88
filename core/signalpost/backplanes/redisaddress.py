"""The address of a Redis, as ``backplane`` has it: read, shown without its password, and given to redis-py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from signalpost.backplanes.backplane import RefusedError
from signalpost.words import did_you_mean, quoted

FORMS = "redis://[user:password@]host[:port][/database], rediss://… with TLS, or unix:///path?db=0"
"""What an address looks like, for messages."""

_PORT = 6379
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_REMEDY = "in a user or password, / is written %2F, @ is %40, # is %23, ? is %3F and % is %25"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, and how this node shows who it is.

    Attributes:
        scheme: ``redis``, ``rediss`` or ``unix``.
        shown: the address for people; without user, password and options.
        database: its number.
        options: of redis-py's connection.
    """

    scheme: str
    shown: str
    database: int
    options: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.shown

    def masked(self, text: str) -> str:
        """Return what a server says, without the password: some repeat the command that they did not understand."""
        password = self.options.get("password")
        return text.replace(password, "***") if password else text


def read_address(url: str) -> Address:
    """Return the address that a URL is.

    Raises:
        RefusedError: it is none. The text has no part of the URL that could be a password.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise _problem(f"the host or the port cannot be read; {_REMEDY}") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise _problem(f"unknown scheme {quoted(parts.scheme)}")
    if parts.fragment or "@" in parts.path + parts.query:
        raise _problem(f"there is a /, a ? or a # in front of the host; {_REMEDY}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = {**_credentials(parts.username, parts.password), **_tls(parts.scheme, query)}
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise _problem("the path of a unix socket begins behind unix://, with a /")
        database = _number(query.pop("db", "0"))
        options["path"] = unquote(parts.path)
        shown = f"unix://{parts.path}?db={database}"
    else:
        if not host:
            raise _problem("there is no host")
        database = _number(query.pop("db", "") or parts.path.removeprefix("/") or "0")
        options |= {"host": unquote(host), "port": port or _PORT}
        shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORT}/{database}"
    if query:
        word = next(iter(query))
        known = ("db", *_TLS_OPTIONS) if parts.scheme == "rediss" else ("db",)
        raise _problem(f"unknown option {quoted(word)}{did_you_mean(word, known)}")
    return Address(parts.scheme, shown, database, options)


def _credentials(user: str | None, password: str | None) -> dict[str, Any]:
    if not password:
        if user:
            raise _problem("there is a user and no password; for the default user write redis://:password@host")
        return {}
    credentials = {"password": unquote(password)}
    if user:
        credentials["username"] = unquote(user)
    return credentials


def _tls(scheme: str, query: dict[str, str]) -> dict[str, Any]:
    """Take the options of TLS out of a query."""
    if scheme != "rediss":
        return {}
    options: dict[str, Any] = {name: query.pop(name) for name in _TLS_OPTIONS if name in query}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in {"0", "no", "false"}
    if options.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise _problem("ssl_cert_reqs is none, optional or required")
    return options


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _problem(f"the database is a number; {_REMEDY}")
    return int(text)


def _problem(text: str) -> RefusedError:
    return RefusedError(f"the address of the backplane: {text}; it is written {FORMS}")
