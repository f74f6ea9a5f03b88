"""One fetch of a JWK Set (RFC 7517 section 5), which blocks: it runs in a thread.

The certificate of the server is checked, no redirect is followed, and what comes is bounded. The proxies of the
environment (HTTPS_PROXY, NO_PROXY) are used, except for this machine itself.
"""

import http.client
import socket
import ssl
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from signalpost.config.feedurl import is_loopback
from signalpost.jose.keys import VerificationKey, fitting
from signalpost.jose.keyset import read_keys
from signalpost.units import MEBIBYTE
from signalpost.words import cut, printable, quoted

LARGEST = MEBIBYTE
"""Bytes of a JWK Set."""

_PART = 65_536
_LONGEST_REASON = 120
_SHOWN = 3


class FetchError(Exception):
    """No usable keys came; the text says why."""


class Fetch:
    """A fetch, which another thread may end.

    Args:
        address: of a JWK Set; https, or http of this machine.
        algorithms: only keys for these are used.
        timeout: seconds that it may take.
    """

    def __init__(self, address: str, algorithms: Sequence[str], timeout: float) -> None:
        self._address = address
        self._algorithms = tuple(algorithms)
        self._timeout = timeout
        self._connections: list[http.client.HTTPConnection] = []
        self._given_up = False

    def run(self) -> tuple[VerificationKey, ...]:
        """Return the keys.

        Raises:
            FetchError: there are none for the algorithms, or they did not come.
        """
        try:
            found = read_keys(self._load())
        except ValueError as error:
            raise FetchError(f"what it sends {error}") from None
        keys = fitting(found.keys, self._algorithms)
        if not keys:
            why = f" ({'; '.join(found.unusable[:_SHOWN])})" if found.unusable else ""
            raise FetchError(f"it has no key for {', '.join(self._algorithms)}{why}")
        return keys

    def give_up(self) -> None:
        """End it soon, if it still runs. May be called from any thread."""
        self._given_up = True
        for connection in self._connections:
            if (sock := connection.sock) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _load(self) -> bytes:
        deadline = time.monotonic() + self._timeout
        headers = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "signalpost"}
        request = urllib.request.Request(self._address, headers=headers)  # noqa: S310 - the scheme is checked at load
        try:
            with self._opener().open(request, timeout=self._timeout) as response:
                if response.status != HTTPStatus.OK:
                    raise FetchError(f"it answers {response.status}")
                return self._read(response, deadline)
        except HTTPError as error:
            error.close()
            raise FetchError(f"it answers {error.code}") from None
        except URLError as error:
            raise FetchError(_reason(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(_reason(error)) from None

    def _read(self, response: Any, deadline: float) -> bytes:
        parts, size = [], 0
        while part := response.read1(_PART):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise FetchError("it sends more than 1 MiB")
            if time.monotonic() > deadline:
                raise FetchError(f"no whole answer within {self._timeout:g} s")
        if response.length:
            raise FetchError("the connection broke before all had come")
        return b"".join(parts)

    def _opener(self) -> urllib.request.OpenerDirector:
        alone = is_loopback(urlsplit(self._address).hostname or "")
        proxies = urllib.request.ProxyHandler({}) if alone else urllib.request.ProxyHandler()
        way = _Secure(self) if self._address.lower().startswith("https:") else _Plain(self)
        return urllib.request.build_opener(proxies, _NoRedirects(), way)

    def connection(self, kind: type[http.client.HTTPConnection], host: str, **options: Any) -> Any:
        """Make a connection that `give_up` ends."""
        made = kind(host, **options)
        self._connections.append(made)
        if self._given_up:
            raise FetchError("it was given up")
        return made


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses every redirect: the address in the file says whose keys are trusted."""

    def redirect_request(self, *arguments: Any) -> NoReturn:
        """Called when there is one."""
        _, response, *_, url = arguments
        response.close()
        place = quoted(shown_address(str(url)), _LONGEST_REASON)
        raise FetchError(f"it redirects to {place}, which is not followed: write that address, if you trust it")


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self._fetch = fetch

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(
            lambda host, **options: self._fetch.connection(http.client.HTTPConnection, host, **options), req
        )


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, fetch: Fetch) -> None:
        self._verifying = ssl.create_default_context()
        super().__init__(context=self._verifying)
        self._fetch = fetch

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(
            lambda host, **options: self._fetch.connection(http.client.HTTPSConnection, host, **options),
            req,
            context=self._verifying,
        )


def _reason(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {printable(error.verify_message)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return cut(printable(str(error)), _LONGEST_REASON) or type(error).__name__


def shown_address(address: str) -> str:
    """Return an address without its query, which may be secret."""
    return printable(address.partition("?")[0])
