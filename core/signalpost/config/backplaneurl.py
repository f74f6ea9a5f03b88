"""The URL of a backplane: what it may be, what of it people may see, and what they must not."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from signalpost.words import nearest, quoted, suggestion

SCHEMES = ("redis", "rediss", "unix")
_ALLOWED = "allowed: redis://[user:password@]host[:port][/db], rediss://… for TLS, or unix:///path?db=0"
_LATER = ("redis+sentinel", "nats", "tls")
_CODES = "in a user or a password, write %40 for @, %2F for /, %3A for :, %3F for ?, %23 for # and %25 for %"
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_DATABASE = re.compile(r"[0-9]{1,5}")
_PASSWORD = re.compile(r"[?&]password=([^&#]+)")


def parse_url(text: str) -> str:
    """Return the URL of a backplane.

    Raises:
        ValueError: it is none; the text quotes nothing of it but its scheme.
    """
    if "{{" in text or "{%" in text:
        raise ValueError("it is read once, so it has no templates; a secret or a variable may stand for it")
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("an address has no blanks and no control characters: write %20 for a blank")
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"it does not say what it is: begin with redis:// ({_ALLOWED})")
    if scheme in _LATER:
        raise ValueError(f"{scheme}:// is not known yet ({_ALLOWED})")
    if scheme not in SCHEMES:
        meant = nearest(scheme, SCHEMES)
        hint = suggestion(meant and f"{meant}://")
        raise ValueError(f"{quoted(f'{scheme}://')} is no backplane{hint} ({_ALLOWED})")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port cannot be read: ports are 1 to 65535; {_CODES} ({_ALLOWED})") from None
    if parts.fragment or text.endswith("#"):
        raise ValueError(f"what follows # is not read; {_CODES}")
    if parts.username and parts.password is None:
        raise ValueError("a user without a password: write redis://:password@host for a password alone")
    fault = _socket_fault(text) if scheme == "unix" else _server_fault(text, port)
    if fault:
        raise ValueError(fault)
    return text


def _server_fault(text: str, port: int | None) -> str:
    """Return what is wrong with a URL of a host; empty if nothing is."""
    parts = urlsplit(text)
    if not parts.hostname:
        return f"it names no host; {_CODES} ({_ALLOWED})"
    if port == 0:
        return "port 0 is no server's (allowed: 1 to 65535)"
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    unknown = [name for name in names if parts.scheme != "rediss" or name not in _TLS]
    if unknown or (not names and "?" in text):
        if parts.scheme != "rediss":
            return f"nothing follows a ? here; {_CODES}"
        hint = suggestion(nearest(unknown[0], _TLS)) if unknown else ""
        return f"only {', '.join(_TLS)} may follow the ?{hint}; {_CODES}"
    database = parts.path.removeprefix("/")
    if database and not _DATABASE.fullmatch(database):
        return f"what follows the host is the number of a database, as in redis://127.0.0.1/0; {_CODES}"
    return ""


def _socket_fault(text: str) -> str:
    """Return what is wrong with a URL of a Unix socket; empty if nothing is."""
    parts = urlsplit(text)
    if parts.hostname or len(parts.path) < len("/a"):
        return "the path of the socket is absolute, after three slashes, as in unix:///run/redis/redis.sock?db=0"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if any(name == "password" for name, _ in pairs):
        return "a password stands before the path, as in unix://:password@/run/redis/redis.sock?db=0"
    if parts.query and (len(pairs) != 1 or pairs[0][0] != "db" or not _DATABASE.fullmatch(pairs[0][1])):
        return "only the number of a database may follow the ?, as in unix:///run/redis/redis.sock?db=0"
    return ""


def shown_url(url: str) -> str:
    """Return a URL without user and password: ``redis://10.0.0.5/0``.

    Where a whole address was masked (``!secret redis``), it stays so.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        return url
    return f"{scheme}://{rest.rpartition('@')[2]}"


def secrets_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield what nobody may read in a text that is meant as a URL of a backplane, well or badly written.

    Yields:
        The password as it stands there, and the same with what stands next to it.
    """
    rest = text.partition("://")[2] or text
    user, at, _ = rest.rpartition("@")
    password = user.partition(":")[2] if ":" in user else user
    if at and password:
        yield password, f"{password}@"
    for found in _PASSWORD.finditer(rest):
        yield found[1], found[0]
