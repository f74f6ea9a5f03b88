"""Connections to other WebSocket servers by the `websockets` library, and what went wrong with one, for people."""

import asyncio
import errno
import logging
import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.typing import Subprotocol

from signalpost import __version__
from signalpost.config.feedurl import is_loopback
from signalpost.feeds.pace import seconds_asked
from signalpost.plan import Feed
from signalpost.units import format_size
from signalpost.words import cut, printable

HANDSHAKE = 10.0
"""Seconds that a server may take to answer a handshake."""

FAREWELL = 5.0
"""Seconds that a server may take to answer a close frame."""

_MOST_TOLD = 120  # characters of another server's own words in the log
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_ASKS_FOR_PATIENCE = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
_TOO_BIG, _GOING_AWAY, _RESTART = 1009, 1001, 1012

# The library would write the handshake with its headers to the log, at the level debug; secrets are among them.
_SILENT = logging.Logger("signalpost.feeds.library", logging.CRITICAL + 1)  # noqa: LOG001 - nobody is to configure it


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection.

    Attributes:
        text: for people.
        asked: seconds that the server wants to be left alone.
        plain: whether the text says all; else the exception is of use, too.
    """

    text: str
    asked: float = 0.0
    plain: bool = True


class RefusedError(Exception):
    """A server has answered a handshake with an HTTP status.

    Attributes:
        status: the answer's.
        retry_after: the header of this name; empty without one.
    """

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


class _Connection(ClientConnection):
    """A connection that is not redirected: the headers, which may be secret, go to the host of the URL alone."""

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Do the handshake.

        Raises:
            RefusedError: the server has answered with a status.
        """
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            headers = error.response.headers.get_all("Retry-After")
            raise RefusedError(error.response.status_code, headers[0] if headers else "") from None


async def dial(feed: Feed, url: str, tls: ssl.SSLContext | None) -> ClientConnection:
    """Return a connection to a feed's server.

    Args:
        feed: whose server.
        url: of it, with a position if there is one.
        tls: for wss.

    Raises:
        Exception: there is none; see `failure_of`.
    """
    source = feed.source
    return await connect(
        url,
        subprotocols=[Subprotocol(name) for name in source.subprotocols] or None,
        additional_headers=list(source.headers),
        user_agent_header=f"signalpost/{__version__}",
        open_timeout=HANDSHAKE,
        close_timeout=FAREWELL,
        max_size=feed.largest,
        logger=_SILENT,
        create_connection=_Connection,
        # The proxies of the environment, which are for hosts beyond this one.
        proxy=None if is_loopback(urlsplit(source.url).hostname or "") else True,
        ssl=tls,
    )


async def tls_of(feed: Feed) -> ssl.SSLContext | None:
    """Return what a feed trusts; None for ws. Certificates are read in a thread: the system's take a while.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    if not feed.source.url.lower().startswith("wss:"):
        return None
    return await asyncio.to_thread(ssl.create_default_context, cafile=feed.source.ca)


def failure_of(error: BaseException, feed: Feed, wall: Callable[[], datetime]) -> Failure:
    """Return why a connection could not be made, or has ended."""
    if isinstance(error, RefusedError):
        return _refusal(error, feed, wall)
    if isinstance(error, OSError):
        return Failure(_trouble(error, feed))
    if isinstance(error, ConnectionClosed):
        return Failure(_ending(error, feed))
    if isinstance(error, ProxyError | InvalidProxy):
        return Failure("the proxy of the environment (HTTPS_PROXY) did not connect it")
    if isinstance(error, InvalidHandshake):
        return Failure(f"its answer is none of a WebSocket server ({_words(error)})")
    if isinstance(error, WebSocketException):
        return Failure(_words(error))
    return Failure(type(error).__name__, plain=False)


def _refusal(error: RefusedError, feed: Feed, wall: Callable[[], datetime]) -> Failure:
    status = error.status
    asked = seconds_asked(error.retry_after, wall()) if status in _ASKS_FOR_PATIENCE else 0.0
    text = f"refused with {status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        text += ": check headers" if feed.source.headers else ": it may need headers"
    elif status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        text += ": check the path of url"
    elif HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        text += ": it has moved, and redirects are not followed, since headers may be secret; write its new url"
    return Failure(text, asked)


def _ending(error: ConnectionClosed, feed: Feed) -> str:
    sent, received = error.sent, error.rcvd
    if sent is not None and not error.rcvd_then_sent:
        if sent.code == _TOO_BIG:
            return f"a message was larger than {format_size(feed.largest)} (max_message)"
        return f"closed here with {sent.code}{_said(sent.reason)}"
    if received is None:
        return "the line broke"
    if received.code in {_GOING_AWAY, _RESTART}:
        return f"its server stops or restarts ({received.code}{_said(received.reason)})"
    return f"closed by its server with {received.code}{_said(received.reason)}"


def _said(reason: str) -> str:
    return f": {_words(reason)}" if reason else ""


def _trouble(error: OSError, feed: Feed) -> str:
    """Return what is wrong below the protocol, without addresses."""
    if isinstance(error, TimeoutError):
        return f"its server has not answered within {HANDSHAKE:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "" if feed.source.ca is not None else "; ca: names the certificates of a private authority"
        return f"its certificate is not trusted ({_without_host(error.verify_message, feed)}){hint}"
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS failed ({_words(getattr(error, 'reason', None) or 'no reason is given')}); is its port one for wss?"
        )
    if isinstance(error, socket.gaierror):
        return "the name of its host is not known"
    if isinstance(error, FileNotFoundError):
        return "the file of ca is gone"
    if isinstance(error, ConnectionError) and error.errno is None:
        return "its server hung up" + ("; is its port one for wss?" if feed.source.url[:4].lower() == "wss:" else "")
    # Of several addresses, asyncio puts the errors into one text.
    numbers = [error.errno] if error.errno is not None else [int(each) for each in _ERRNO.findall(str(error))]
    known = [number for number in numbers if number in errno.errorcode]
    return f"cannot be reached: {os.strerror(known[-1])}" if known else "cannot be reached"


def _without_host(text: str, feed: Feed) -> str:
    """Return the words of a TLS library, without the name of a host that people are not shown."""
    host = urlsplit(feed.source.url).hostname or ""
    return _words(text if host in feed.shown.lower() else text.replace(host, "its host"))


def _words(value: object) -> str:
    """Return another server's words for the log."""
    return cut(printable(str(value)), _MOST_TOLD)
