"""Responses to failed requests: a page for browsers, JSON for all others.

The JSON is the error object of the wire, ``{"error": {"code": …, "pointer": …, "detail": …}}``. Its code is one of
`ErrorCode` if a client's message or a handler is at fault, else the status in words (``not-found``). It has a pointer
if a message was rejected. No response ever contains a traceback, a path of the server, the text of an exception or the
name of what serves it; those go to the log.
"""

import logging
import sys
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from http import HTTPStatus
from pathlib import Path

import orjson
from sanic.compat import Header
from sanic.exceptions import MethodNotAllowed, SanicException, ServiceUnavailable
from sanic.handlers import ErrorHandler
from sanic.helpers import STATUS_CODES
from sanic.request import Request
from sanic.response import BaseHTTPResponse, HTTPResponse

from signalpost.auth.identity import GUEST
from signalpost.errors import ClientError, ErrorCode
from signalpost.foreign import overran
from signalpost.http.guard import Guard
from signalpost.logsubject import Subject, about_path
from signalpost.websocket.handshake import HandshakeRejection

LOG = logging.getLogger(__name__)

# RFC 9110 section 15.5: a request that cannot be parsed is 400, one that is parsed but cannot be used is 422.
STATUS_OF_CODE: Mapping[ErrorCode, int] = {
    ErrorCode.BAD_MESSAGE: 400,
    ErrorCode.SCHEMA_MISMATCH: 422,
    ErrorCode.TARGET_NOT_ALLOWED: 403,
    ErrorCode.HANDLER_FAILED: 500,
    ErrorCode.UNSUPPORTED_FRAME: 415,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.UNKNOWN_REQUEST: 400,
    ErrorCode.UNKNOWN_POSITION: 410,
    ErrorCode.NOT_CONNECTED: 409,
}

_DETAILS: Mapping[int, str] = {
    400: "The request could not be understood.",
    401: "This page asks who you are.",
    403: "This is not for you to see.",
    404: "There is nothing at this address.",
    405: "This address does not answer to that method.",
    408: "The request took too long to arrive.",
    413: "The request is too large.",
    414: "The address is too long.",
    416: "The file has no such part.",
    421: "This server is not known by the name that it was asked by.",
    422: "The request was understood, but not accepted.",
    426: "This address speaks WebSocket only.",
    429: "Too many requests; try again in a while.",
    431: "The request has too many headers.",
    500: "Something went wrong on the server. It has been written down.",
    503: "The server cannot answer right now; try again in a while.",
}

_LAST_STATUS = 599
_MOST_TYPES, _MOST_PARAMETERS = 64, 8  # number of media ranges of Accept that are read

_PAGE = Path(__file__).with_name("errorpage.html").read_text(encoding="utf-8")

# The page loads nothing and runs nothing, whatever is injected into it.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"

# Sanic has no text for it, and would send UNKNOWN.
STATUS_CODES.setdefault(HTTPStatus.MISDIRECTED_REQUEST, b"Misdirected Request")

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
# No page of another origin may lay one of ours under its own. Forms of a page say their Origin under this policy, as
# they do in browsers by themselves; under no-referrer it would be null, and what they change refused.
_OF_PAGES: Mapping[str, str] = {
    "content-security-policy": "frame-ancestors 'self'",
    "referrer-policy": "strict-origin-when-cross-origin",
}


_NOTHING: Mapping[str, str] = {}


class OverloadedError(ServiceUnavailable):
    """There is no room for a request. The code that counts the room logs it."""

    def __init__(self) -> None:
        super().__init__(headers={"retry-after": "5"})


class LateAnswerError(ServiceUnavailable):
    """No part of a response was ready when its time was over (``limits.response``)."""

    def __init__(self) -> None:
        super().__init__("the answer took longer than limits.response allows, and was given up")


class BrokenAnswerError(Exception):
    """What was to continue a started response has failed; the failure has been logged."""


class ErrorPages(ErrorHandler):
    """Turns every exception of a request into a response. Sanic looks it up when an app is created."""

    def response(self, request: Request, exception: BaseException) -> HTTPResponse:
        """Return the response to an exception, whatever raised it.

        A `SanicException` keeps its status and headers, but not its text. A `ClientError` is answered with its code,
        pointer and detail, a `HandshakeRejection` with what it says. A cancelled request is answered as if the server
        had no time for it. Everything else is 500.
        """
        if isinstance(exception, ClientError):
            return refusal(request, exception)
        if isinstance(exception, HandshakeRejection):
            return failure(request, exception.status, detail=exception.detail, headers=exception.headers)
        if isinstance(exception, MethodNotAllowed) and request.method == "OPTIONS":
            guard: Guard | None = getattr(request.app.router, "guard", None)
            shared = {} if guard is None else guard.preflight(request, exception.headers.get("Allow", ""))
            return HTTPResponse(status=204, headers={**exception.headers, **shared})
        status, headers = 500, None
        if isinstance(exception, SanicException):
            status, headers = exception.status_code, exception.headers
        elif isinstance(exception, CancelledError):
            status = 503
        if isinstance(exception, LateAnswerError):
            LOG.error("%s was answered with %d: %s", shown(request), status, exception, extra=told_of(request))
            if (cancelled := sys.exc_info()[1]) is not None:
                overran(cancelled, "took longer than limits.response")
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exception, CancelledError | OverloadedError):
            LOG.error("%s was answered with %d", shown(request), status, exc_info=exception, extra=told_of(request))
        return failure(request, status, headers=headers)

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """Return the response to an exception that was raised while another was answered."""
        return self.response(request, exception)


@dataclass(frozen=True, slots=True)
class RouteHeaders:
    """The headers of one route's responses.

    Attributes:
        values: by name in lower case; an empty one is not sent.
        own: whether the route's code may have set headers itself, which then take precedence.
    """

    values: tuple[tuple[str, str], ...]
    own: bool


def harden(request: Request, response: BaseHTTPResponse) -> None:
    """Add to a response the headers that every response has, and those of its endpoint and route."""
    headers = response.headers
    guard: Guard | None = getattr(request.app.router, "guard", None)
    of_route: RouteHeaders | None = None if request.route is None else getattr(request.route.ctx, "headers", None)
    said = _NOTHING
    if (guard is not None and guard.headers) or (of_route is not None and of_route.values):
        said = _say(headers, *_said(of_route, response.status, guard))
    if guard is not None and guard.shares:
        for name, value in guard.shared(request).items():
            _share(headers, name, value)
    headers.setdefault("x-content-type-options", "nosniff")
    _keep_private(request, headers)
    if _is_page_kind(headers.get("content-type") or response.content_type or ""):
        for name, value in _OF_PAGES.items():
            headers.setdefault(name, value)
    if said:
        for name, value in said.items():
            if not value and not headers.get(name):
                headers.popall(name, None)


def _keep_private(request: Request, headers: Header) -> None:
    """Let no shared cache keep what only some may request, or what is made for a user (RFC 9111 section 5.2.2.7)."""
    if not getattr(request, "is_private", False):
        if getattr(request, "identity", GUEST) is not GUEST:
            headers.setdefault("cache-control", "private")
        return
    said = headers.get("cache-control", "")
    if "private" not in said and "no-store" not in said:
        headers["cache-control"] = f"private, {said}" if said else "private"


def _say(headers: Header, said: Mapping[str, str], kept: bool) -> Mapping[str, str]:
    for name, value in said.items():
        if not kept or name not in headers:
            headers[name] = value
    return said


def _said(of_route: RouteHeaders | None, status: int, guard: Guard | None) -> tuple[Mapping[str, str], bool]:
    """Return the headers from routes.yaml, and whether those that the response already has take precedence."""
    said = _NOTHING if guard is None or not guard.headers else dict(guard.headers)
    if of_route is None or status >= HTTPStatus.BAD_REQUEST:
        return said, True
    return {**said, **dict(of_route.values)} if of_route.values else said, of_route.own


@lru_cache(maxsize=64)
def _is_page_kind(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower() in _PAGES


def _share(headers: Header, name: str, value: str) -> None:
    """Add a header of CORS; Vary names all that a response depends on."""
    before = headers.get(name, "")
    if name != "vary" or not before:
        headers.setdefault(name, value)
    elif value not in (each.strip().lower() for each in before.split(",")):
        headers[name] = f"{before}, {value}"


def refusal(request: Request, error: ClientError) -> HTTPResponse:
    """Return the response to a request whose message was rejected."""
    status = STATUS_OF_CODE[ErrorCode(error.code)]
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return failure(request, status, code=str(error.code), detail=error.detail, pointer=error.pointer, headers=headers)


def failure(
    request: Request,
    status: int,
    *,
    code: str = "",
    detail: str = "",
    pointer: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Create the response to a request that failed.

    Args:
        request: that failed; shows whether a person reads the response.
        status: an HTTP status from 200 to 599, anything else is 500; below 400 the response has no body.
        code: for programs; by default the status in words.
        detail: one sentence for people; by default what the status means.
        pointer: a JSON Pointer into the request's body, if that is what is wrong.
        headers: additional headers.
    """
    if HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST:
        return HTTPResponse(status=status, headers=dict(headers or {}))
    if not HTTPStatus.BAD_REQUEST <= status <= _LAST_STATUS:
        status = 500
    phrase = _phrase(status)
    detail = detail or _DETAILS.get(status, f"{phrase}.")
    sent = {"cache-control": "no-store", "vary": "accept", **(headers or {})}
    if wants_page(request):
        page = _PAGE.format(status=status, phrase=escape(phrase), detail=escape(detail))
        sent["content-security-policy"] = _PAGE_POLICY
        return HTTPResponse(page, status, sent, "text/html; charset=utf-8")
    error = {"code": code or phrase.lower().replace(" ", "-"), "pointer": pointer, "detail": detail}
    body = orjson.dumps({"error": {key: value for key, value in error.items() if value is not None}})
    return HTTPResponse(body, status, sent, "application/json")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def wants_page(request: Request) -> bool:
    """Return whether the client prefers HTML to JSON: browsers do, ``fetch`` and programs do not.

    Sanic's own parser of Accept raises on invalid values; an error response must not depend on them.
    """
    html = max(weight_of(request, "text/html"), weight_of(request, "application/xhtml+xml"))
    return html > 0 and html >= weight_of(request, "application/json")


def weight_of(request: Request, kind: str) -> float:
    """Return the weight of a media type that Accept names, 0 to 1; 0 if it does not name it (RFC 9110 section 12.5.1).

    A range such as ``*/*`` names none.
    """
    weights = [0.0]
    for part in request.headers.get("accept", "").split(",", _MOST_TYPES)[:_MOST_TYPES]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";", _MOST_PARAMETERS))
        if media == kind:
            weights.append(_weight(parameters))
    return max(weights)


def _weight(parameters: list[str]) -> float:
    """Read ``q=0.8`` (RFC 9110 section 12.4.2); an invalid weight is 0."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def told_of(request: Request) -> dict[str, Subject]:
    """Return the argument ``extra`` of a record about a request."""
    return about_path(request.path, getattr(request, "identity", GUEST).user)


def shown(request: Request) -> str:
    """Return a request's name for the log: method and path, with control characters escaped."""
    return f"{request.method} {request.path}".encode("unicode_escape").decode("ascii")
