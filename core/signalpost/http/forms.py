"""Bodies and queries as values: JSON, and forms, which are mappings of their fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from sanic.request import Request
from sanic.request.form import File, parse_multipart_form

from signalpost.errors import ClientError, ErrorCode
from signalpost.jsonschemas.typed import FieldTypes
from signalpost.jsontext import TooManyValuesError, load

_FORM = "application/x-www-form-urlencoded"
_PARTS = "multipart/form-data"
_MOST_FIELDS = 1_000
_LONGEST_BOUNDARY = 70  # RFC 2046 section 5.1.1
_MOST_OF_HEAD = 8_192  # bytes of the head of a part

NO_TYPES = FieldTypes.of(True)


def body_of(request: Request, *, forms: bool, types: FieldTypes = NO_TYPES) -> Any:
    """Read a request's body as JSON.

    Args:
        request: with the body.
        forms: whether the body may be a form, too, which becomes a mapping of its fields. A file is a mapping of its
            ``filename``, ``type``, ``size`` and ``text``, which is None if it is not UTF-8.
        types: of the fields of a form.

    Returns:
        None without a body; a form that sends nothing, such as one with unchecked boxes only, is an empty mapping.

    Raises:
        ClientError: `BAD_MESSAGE` if it is neither.
    """
    body = request.body
    if forms and (fields := _fields_of(request)) is not None:
        return types.read(fields)
    if not body:
        return None
    try:
        return load(body)
    except orjson.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise ClientError(ErrorCode.BAD_MESSAGE, detail) from None
    except TooManyValuesError as error:
        raise ClientError(ErrorCode.BAD_MESSAGE, f"The body holds {error}.") from None


def text_of(document: Any, request: Request, *, forms: bool) -> bytes:
    """Return the JSON by which the cost of a body is estimated: a form has as many values in fewer bytes."""
    kind = _kind_of(request) if forms else ""
    return orjson.dumps(document) if kind in (_FORM, _PARTS) else bytes(request.body)


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _fields_of(request: Request) -> Mapping[str, Sequence[Any]] | None:
    """Return the fields of a form, each with all its values; None if the body is not a form."""
    kind, body = _kind_of(request), request.body
    if kind == _PARTS and body:
        return _parts(body, request.headers["content-type"].partition(";")[2])
    # curl sends any data as a form; in a real form, brackets are percent-encoded.
    if kind != _FORM or body.lstrip().startswith((b"{", b"[")):
        return None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise ClientError(ErrorCode.BAD_MESSAGE, "The body is not a form in UTF-8, or too long a one.") from None
    return gathered(pairs)


def gathered(pairs: Sequence[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Return all values of each name."""
    fields: dict[str, list[Any]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _parts(body: bytes, parameters: str) -> dict[str, list[Any]]:
    """Read a form in parts (RFC 7578), as browsers send FormData.

    Raises:
        ClientError: `BAD_MESSAGE` if it is invalid.
    """
    boundary = _boundary(parameters)
    mark = b"--" + boundary
    if not boundary or body.count(mark) - 1 > _MOST_FIELDS or not body.rstrip(b"\r\n").endswith(mark + b"--"):
        raise ClientError(ErrorCode.BAD_MESSAGE, "The body is not a whole form in parts, or one of too many parts.")
    # Sanic reads the head of a part line by line, to its end: the end must exist, and be near.
    for part in body.split(mark)[1:-1]:
        if not 0 <= part.find(b"\r\n\r\n") <= _MOST_OF_HEAD:
            raise ClientError(ErrorCode.BAD_MESSAGE, "A part of the form has no end of its head.")
    try:
        fields, files = parse_multipart_form(body, boundary)  # type: ignore[no-untyped-call]
        for text in (*_texts(fields), *(file.name for named in files.values() for file in named)):
            text.encode()  # a charset chosen by the client may yield lone surrogates
    except (ValueError, LookupError, TypeError):
        raise ClientError(ErrorCode.BAD_MESSAGE, "The body is not a form in parts, with texts in UTF-8.") from None
    found: dict[str, list[Any]] = {name: list(values) for name, values in fields.items()}
    for name, values in files.items():
        found.setdefault(name, []).extend(map(_shown, values))
    return found


def _texts(fields: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, values in fields.items():
        yield name
        yield from values


def _boundary(parameters: str) -> bytes:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary":
            text = value.strip().strip('"')
            return text.encode() if text.isascii() and len(text) <= _LONGEST_BOUNDARY else b""
    return b""


def _shown(file: File) -> dict[str, Any]:
    try:
        text = file.body.decode()
    except UnicodeDecodeError:
        text = None
    return {"filename": file.name, "type": file.type, "size": len(file.body), "text": text}
