"""``respond``: answers a request with a valid response, whatever templates return."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Response, Run
from signalpost.actions.given import OptionError, text_of, whole_of
from signalpost.actions.steps import Step, joined
from signalpost.config.actions import Place, check_expression
from signalpost.config.headers import TOKEN
from signalpost.config.section import Section
from signalpost.templates.text import as_text

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_CONTENT_TYPE = "content-type"

# RFC 9110 section 5.5: visible characters, spaces and tabs; characters beyond ASCII are not safe everywhere.
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e]*")
# RFC 3986 section 2: characters allowed in an address; others, including blanks, are percent-encoded.
_IN_ADDRESS = "!#$%&'()*+,/:;=?@[]~-._"
_BODIES = ("json", "text", "html")
_ANSWERS = (*_BODIES, "redirect")
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_OURS = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "date", "server"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _check(step: Section, _place: Place) -> None:
    options = step.section("respond")
    if options is None:
        return
    bodies = [name for name in _ANSWERS if name in options]
    for name in bodies[1:]:
        options.problem(name, f"one answer has one of {', '.join(_ANSWERS)}, and {bodies[0]} is given", of_key=True)
    check_expression(options, "status")
    status = options.whole("status", 0)
    if status in _BODILESS and bodies:
        options.problem("status", f"{status} has no body: leave {bodies[0]} out, or the status")
    elif "redirect" in options and status and status not in range(300, 400):
        options.problem("status", f"a redirect has a status from 300 to 399, not {status}; 303 if there is none here")
    for name in options.mapping("headers"):
        keys = (*options.keys, "headers", name)
        if not TOKEN.fullmatch(name):
            options.report.add(keys, "this is no name of a header", of_key=True)
        elif name.lower() in _OURS:
            options.report.add(keys, f"the server sets {name} itself: leave it out", of_key=True)


def _compile(draft: Draft) -> Step | None:
    """Compile a ``respond``: the output of templates in HTML is escaped."""
    given = draft.config.options
    if not isinstance(given, dict):
        return None
    parts = {name: draft.options(value, name, markup=name == "html") for name, value in given.items()}
    options = joined(parts)
    if options.render is None and isinstance(given.get("headers", {}), dict):
        try:
            response_of({name: value for name, value in options.fixed.items() if name != "status"})
        except ValueError as error:
            draft.problem(str(error))
    return draft.leaf(options)


def respond(run: Run, options: Mapping[str, Any]) -> None:
    """Set the response to the request; a later one replaces it."""
    run.answer = response_of(options)


def response_of(options: Mapping[str, Any]) -> Response:
    """Create a response.

    Raises:
        OptionError: a header or an address contains a line break, or the value is not JSON.
    """
    body, content_type, status = _body(options)
    if len(options) == 1 and not options.keys().isdisjoint(_BODIES):  # as in nearly all cases
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
    if body and status in _BODILESS:
        raise OptionError(f"status: {status} has no body")
    if redirects and not 300 <= status <= 399:  # noqa: PLR2004 - RFC 9110 section 15.4
        raise OptionError(f"status: a redirect has one from 300 to 399, not {status}")
    return status


def _body(options: Mapping[str, Any]) -> tuple[bytes, str, int]:
    """Return body, content type, and the status unless another one is given."""
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


ACTION = BuiltIn(
    schema=option(
        "Respond",
        (
            "On a route: answers the request, when all steps are done. At most one of json, text, html and "
            "redirect. Without any, the answer has no body. The last respond counts. A route without one "
            "answers 204."
        ),
        "object",
        additionalProperties=False,
        properties={
            "status": option(
                "Status",
                "The HTTP status. Without it, 200, or 303 for a redirect, or 204 if there is no body.",
                ["integer", "string"],
                minimum=200,
                maximum=599,
                examples=[202, "{{ 200 if state.open else 503 }}"],
            ),
            "json": option(
                "JSON",
                "Any value. Without it, text, html or redirect is the answer.",
                examples=[{"sent": True}],
            ),
            "text": option(
                "Text",
                "Plain text. Without it, json, html or redirect is the answer.",
                "string",
                examples=["Thank you, {{ data.name }}."],
            ),
            "html": option(
                "HTML",
                "HTML. Values from templates are escaped. Without it, json, text or redirect is the answer.",
                "string",
                examples=["<p>Thank you, {{ data.name }}.</p>"],
            ),
            "redirect": option(
                "Redirect",
                "The address to go to. Without it, json, text or html is the answer.",
                "string",
                minLength=1,
                examples=["/thanks"],
            ),
            "headers": option(
                "Headers",
                "Further headers, by name. A list repeats a header, such as Set-Cookie.",
                "object",
                default={},
                additionalProperties={"type": ["string", "array"], "items": {"type": "string"}},
                examples=[{"Cache-Control": "no-store"}, {"Set-Cookie": ["a=1", "b=2"]}],
            ),
        },
        examples=[{"status": 202, "json": {"sent": True}}],
    ),
    places=frozenset({Place.ROUTE}),
    needs="only a request has a response (allowed in do of a route)",
    check=_check,
    compile=_compile,
    effect=respond,
)
