"""Why a connection did not come about, worded for a person who has never seen this project."""

import errno
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI, WebSocketException

from signalpost.client.address import Address
from signalpost.client.line import LineEndedError

_TRY_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_NO_WEBSOCKETS = {HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UPGRADE_REQUIRED}
_MEANINGS = {
    HTTPStatus.BAD_REQUEST: "the server does not like the handshake: is this an address of WebSockets?",
    HTTPStatus.UNAUTHORIZED: "the server wants to know who you are: no good token came",
    HTTPStatus.FORBIDDEN: "you are not allowed here",
    HTTPStatus.NOT_FOUND: "there is no signal at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path answers HTTP, and is no WebSocket",
    HTTPStatus.GONE: "there is no signal at this path any more",
    HTTPStatus.UPGRADE_REQUIRED: "the server wants another version of WebSockets",
    HTTPStatus.TOO_MANY_REQUESTS: "too many tries; try again later",
    HTTPStatus.BAD_GATEWAY: "a proxy in front of the server does not reach it",
    HTTPStatus.SERVICE_UNAVAILABLE: "the server is full or stopping; try again later",
    HTTPStatus.GATEWAY_TIMEOUT: "a proxy in front of the server does not reach it in time",
}
_MOST_DETAIL = 300
_GONE = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL}


def failure(error: Exception, address: Address) -> LineEndedError:
    """Return why a handshake failed.

    Args:
        error: what the `websockets` library raised.
        address: where a connection was to lead.
    """
    match error:
        case InvalidStatus():
            response = error.response
            return status_failure(response.status_code, response.headers, bytes(response.body or b""), address)
        case ssl.SSLCertVerificationError():
            why = error.verify_message or error.reason
            return LineEndedError(
                f"the certificate of {address.host} is not trusted: {why}; trust one of your own by SSL_CERT_FILE, "
                "or by ssl=… in Python; commands take any with --insecure",
                hopeless=True,
            )
        case ssl.SSLError():
            return LineEndedError(
                f"{address.host} does not answer as TLS does ({error.reason or error}); did you mean ws:// (http://)?",
                hopeless=True,
            )
        case socket.gaierror():
            return LineEndedError(f'there is no host "{address.host}" ({error.strerror})')
        case OSError():
            return _system_failure(error, address)
        case InvalidMessage():
            return _no_http(error, address)
        case InvalidURI() | InvalidHandshake():
            return LineEndedError(
                f"{address.host} is no WebSocket server as RFC 6455 has it: {error}", hopeless=True, foreign=True
            )
        case WebSocketException():
            return LineEndedError(f"the handshake with {address.host} failed: {error}")
    raise error


def status_failure(status: int, headers: Mapping[str, str], body: bytes, address: Address) -> LineEndedError:
    """Return why a handshake was answered with a status of HTTP.

    Args:
        status: not the one that a handshake wants.
        headers: of the answer.
        body: of the answer.
        address: where a connection was to lead.
    """
    where = f"{address.scheme}://{address.host}{address.path}"
    return LineEndedError(
        f"{where} answered HTTP {status}: {_meaning(status, body)}",
        status=status,
        hopeless=status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRY_LATER,
        foreign=not _detail(body) or status in _NO_WEBSOCKETS,
        retry=retry_after(headers.get("Retry-After")),
    )


_KNOWN = {int(status) for status in HTTPStatus}


def _meaning(status: int, body: bytes) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return _MEANINGS[HTTPStatus.NOT_FOUND]  # what the server says of it depends on who serves the path
    if said := _detail(body):
        return said
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return "this is a page of HTTP, and no WebSocket"
    if status < HTTPStatus.BAD_REQUEST:
        return "the server wants another address"
    known = HTTPStatus(status) if status in _KNOWN else None
    return _MEANINGS.get(known, known.phrase) if known is not None else "the server did not say why"


def _detail(body: bytes) -> str:
    """Return what a signalpost server says of an error, without the period; empty for another server's words."""
    try:
        document = orjson.loads(body)
        return str(document["error"]["detail"])[:_MOST_DETAIL].rstrip(".")
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return ""


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After; a date is not looked at."""
    return float(value) if value is not None and value.strip().isascii() and value.strip().isdigit() else None


def _system_failure(error: OSError, address: Address) -> LineEndedError:
    refused = isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error)
    if refused:
        return LineEndedError(f"nothing listens at {address.host} (connection refused): does the server run?")
    if error.errno in _GONE:
        return _no_http(error, address)
    if error.errno in _UNREACHABLE:
        return LineEndedError(f"{address.host} cannot be reached ({error.strerror})")
    return LineEndedError(f"{address.host} cannot be reached ({error.strerror or error})")


def _no_http(error: Exception, address: Address) -> LineEndedError:
    """A server of TLS and one that is just going answer in the same way to plain text: not at all."""
    hint = "" if address.secure else "; did you mean wss:// (https://)?"
    return LineEndedError(f"{address.host} does not answer as a WebSocket server does ({_innermost(error)}){hint}")


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
