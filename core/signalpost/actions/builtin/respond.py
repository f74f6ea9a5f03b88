"""The action ``respond``: from its rendered options to a response that is sound, whatever templates gave."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from signalpost.actions.execution import Response, Run
from signalpost.actions.given import OptionError, text_of, whole_of
from signalpost.templates.text import as_text

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_CONTENT_TYPE = "content-type"

# RFC 9110 section 5.5: visible characters, spaces and tabs; beyond ASCII nothing is safe everywhere.
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e]*")
# RFC 3986 section 2: what may stand in an address; the rest, blanks included, is percent-encoded.
_IN_ADDRESS = "!#$%&'()*+,/:;=?@[]~-._"
_BODIES = frozenset({"json", "text", "html"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def respond(run: Run, options: Mapping[str, Any]) -> None:
    """Make the answer to the request; a later one takes its place."""
    run.answer = response_of(options)


def response_of(options: Mapping[str, Any]) -> Response:
    """Make a response.

    Raises:
        OptionError: a header or an address has what would end it, or the value is not JSON.

    """
    body, content_type, status = _body(options)
    if len(options) == 1 and not options.keys().isdisjoint(_BODIES):  # as nearly all are
        return Response(status, body, content_type)
    headers = [
        (name, _field(name, value))
        for name, given in options.get("headers", {}).items()
        for value in (given if isinstance(given, list | tuple) else (given,))
    ]
    content_type = next((text for name, text in headers if text and name.lower() == _CONTENT_TYPE), content_type)
    headers = [(name, text) for name, text in headers if name.lower() != _CONTENT_TYPE]
    if "redirect" in options:
        headers.append(("Location", _address(options["redirect"])))
    if "status" in options:
        status = _status(options["status"], body, redirects="redirect" in options)
    return Response(status, body, content_type, tuple(headers))


def _status(given: Any, body: bytes, *, redirects: bool) -> int:
    status = whole_of("status", given)
    if not 200 <= status <= 599:  # noqa: PLR2004 - as the routes schema has it
        raise OptionError(f"status must be from 200 to 599, not {status}")
    if body and status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        raise OptionError(f"status: {status} has no body")
    if redirects and not 300 <= status <= 399:  # noqa: PLR2004 - RFC 9110 section 15.4
        raise OptionError(f"status: a redirect has one from 300 to 399, not {status}")
    return status


def _body(options: Mapping[str, Any]) -> tuple[bytes, str, int]:
    """Give body, content type, and the status unless another is given."""
    if "json" in options:
        return _json(options["json"]), _JSON, 200
    if "text" in options:
        return _text(options["text"]), _TEXT, 200
    if "html" in options:
        return _text(options["html"]), _HTML, 200
    return b"", _TEXT, 303 if "redirect" in options else 204


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise OptionError(f"json: not JSON: {error}") from None


def _text(value: Any) -> bytes:
    return as_text(value).encode(errors="replace")


def _field(name: str, value: Any) -> str:
    text = text_of(f"headers: {name}", value).strip()
    if not _FIELD_VALUE.fullmatch(text):
        raise OptionError(f"headers: {name} has characters that a header must not have")
    return text


def _address(value: Any) -> str:
    text = text_of("redirect", value).strip()
    if _CONTROL.search(text):
        raise OptionError("redirect: an address has no line breaks, tabs and control characters")
    return quote(text, safe=_IN_ADDRESS)
