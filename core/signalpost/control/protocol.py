"""What is said over the control socket: a connection carries one request and its answer, each one line of JSON.

::

    {"signalpost": 1, "do": "kick", "with": {"user": "ann"}}
    {"signalpost": 1, "done": {"closed": 3}}
    {"signalpost": 1, "error": {"code": "unknown-command", "detail": "…"}}

A further one is a further function (`signalpost.control.commands`). The version changes when what is there already
would mean something else.
"""

from collections.abc import Mapping
from typing import Any

import orjson

VERSION = 1

LONGEST_REQUEST = 65_536
"""Bytes of a request's line."""

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer's line."""

PATIENCE = 5.0
"""Seconds that either side waits for the other."""


class ControlError(Exception):
    """A request is not served.

    Attributes:
        code: for programs: ``bad-request``, ``unknown-command``, ``version``, ``forbidden``, ``busy``, ``refused`` or
            ``failed``.
        detail: one sentence for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


def request_line(command: str, given: Mapping[str, Any]) -> bytes:
    """Return the line of a request; options that are None are left out."""
    options = {name: value for name, value in given.items() if value is not None}
    return orjson.dumps({"signalpost": VERSION, "do": command, "with": options}) + b"\n"


def read_request(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Return the command of a request, and its options.

    Raises:
        ControlError: it is none.
    """
    document = _document(line)
    version, command, options = document.get("signalpost"), document.get("do"), document.get("with", {})
    if version != VERSION or isinstance(version, bool):
        raise ControlError("version", f"this server speaks version {VERSION} of the control protocol")
    if not isinstance(command, str) or not isinstance(options, dict):
        raise ControlError("bad-request", 'a request has a text "do", and an object "with"')
    return command, options


def answer_line(answer: Mapping[str, Any] | ControlError) -> bytes:
    """Return the line of an answer."""
    if isinstance(answer, ControlError):
        said: dict[str, Any] = {"error": {"code": answer.code, "detail": answer.detail}}
    else:
        said = {"done": answer}
    return orjson.dumps({"signalpost": VERSION, **said}) + b"\n"


def read_answer(line: bytes) -> Mapping[str, Any]:
    """Return what a server has answered.

    Raises:
        ControlError: the request was not served, or that is no answer.
    """
    document = _document(line)
    done, error = document.get("done"), document.get("error")
    if isinstance(done, dict):
        return done
    if isinstance(error, dict):
        raise ControlError(str(error.get("code")), str(error.get("detail")))
    raise ControlError("failed", "the server gave no answer")


def _document(line: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ControlError("bad-request", "that is no line of JSON") from None
    if not isinstance(document, dict):
        raise ControlError("bad-request", "that is no object")
    return document
