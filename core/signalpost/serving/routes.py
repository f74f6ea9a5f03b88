"""HTTP routes: from a rule of the plan to a function that Sanic calls."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from sanic.exceptions import NotFound, PayloadTooLarge, SanicException
from sanic.request import Request
from sanic.response import BaseHTTPResponse, HTTPResponse, ResponseStream

from signalpost.actions.program import Program
from signalpost.actions.run import Response as Made
from signalpost.actions.run import WebRequest
from signalpost.config.paths import path_segments
from signalpost.errors import ClientError, ErrorCode, StepFailedError
from signalpost.foreign import Code, original
from signalpost.plan import RouteRule
from signalpost.plugins.handler import Handler
from signalpost.serving import pages
from signalpost.serving.files import StaticFolder, is_exhaustion, send_file
from signalpost.serving.services import RouteServices
from signalpost.serving.views import View, ViewError, ViewRequest
from signalpost.signals.event import RouteEvent
from signalpost.signals.fields import join_fields, read_query
from signalpost.signals.jsontext import TooManyValuesError, load
from signalpost.signals.outgoing import check_size
from signalpost.signals.schema import SchemaGate

LOG = logging.getLogger(__name__)

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})

Params = Mapping[str, str | int]
Response = BaseHTTPResponse | ResponseStream | None
Answer = Callable[[Request, Params], Coroutine[Any, Any, Response]]
"""Answers one request; None if it has sent its answer already."""

Endpoint = Callable[[Request], Coroutine[Any, Any, Any]]


def endpoint_of(rule: RouteRule, services: RouteServices) -> Endpoint:
    """Make the function that answers the requests of a route.

    Before it answers, it bounds and judges the body, and reads the parameters from the path, so that a route has the
    parameters its own pattern names, decoded and typed as among signals.

    Raises:
        OperatorError: the rule's template cannot be used.

    """
    answer = _answer_of(rule, services)

    async def endpoint(request: Request) -> Response:
        segments = path_segments(request.path) or []
        params: Params | None = {} if rule.static else rule.path.match(segments, ignore_case=False)
        if params is None:
            raise NotFound
        if len(request.body) > services.message_limit:
            raise PayloadTooLarge
        if rule.gate and request.method not in _WITHOUT_BODY:
            judge(rule.gate, request, forms=rule.do is not None)
        services.work.begin()
        try:
            return await answer(request, params)
        finally:
            services.work.end()

    return endpoint


def judge(gate: SchemaGate, request: Request, *, forms: bool) -> None:
    """Let a request's body pass; see `body_of`.

    Raises:
        ClientError: `BAD_MESSAGE` if it cannot be read, `SCHEMA_MISMATCH` if the schema refuses it.

    """
    instance = body_of(request, forms=forms)
    if not request.body:
        raise ClientError(ErrorCode.BAD_MESSAGE, "The body is empty; JSON is expected.")
    mismatch = gate.mismatch(instance, request.body)
    if mismatch is not None:
        raise ClientError(ErrorCode.SCHEMA_MISMATCH, mismatch.detail, mismatch.pointer)


def body_of(request: Request, *, forms: bool) -> Any:
    """Read a request's body as JSON.

    Args:
        request: whose.
        forms: whether it may be a form, too, which is read as a mapping of its fields, the first of each name.

    Returns:
        None if there is no body.

    Raises:
        ClientError: `BAD_MESSAGE` if it is neither.

    """
    body = request.body
    if not body:
        return None
    # curl calls whatever it is given a form; in one that is, brackets are percent-encoded.
    named = forms and request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    if named and not body.lstrip().startswith((b"{", b"[")):
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise ClientError(ErrorCode.BAD_MESSAGE, "The body is not a form in UTF-8, or too long a one.") from None
        return dict(reversed(pairs))
    try:
        return load(body)
    except orjson.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise ClientError(ErrorCode.BAD_MESSAGE, detail) from None
    except TooManyValuesError as error:
        raise ClientError(ErrorCode.BAD_MESSAGE, f"The body holds {error}.") from None


def _answer_of(rule: RouteRule, services: RouteServices) -> Answer:
    """Choose how the rule answers, and prepare what can be prepared."""
    if rule.file:
        return partial(_answer_file, rule.file, rule.owner, services)
    if rule.static:
        folder = StaticFolder(rule.static, services.private)
        return partial(_answer_static, folder, len(rule.path.segments), services)
    if rule.view:
        return partial(_answer_view, View.load(rule.view, services.folder, services.additions), rule.view, services)
    if rule.handler:
        return partial(_answer_handler, rule.handler, rule, services)
    if rule.do:
        return partial(_answer_actions, rule.do, rule, services)
    raise ValueError(f"{rule.owner}: the route {rule.path} has nothing to answer with")


async def _answer_file(path: Path, owner: str, services: RouteServices, request: Request, _params: Params) -> Response:
    try:
        return await send_file(request, path, services.private)
    except OSError as error:
        _check_exhaustion(error, services)
        name = path.relative_to(services.folder) if path.is_relative_to(services.folder) else path
        LOG.warning("%s: the file of this route cannot be sent: %s: %s", owner, name, error.strerror or error)
        raise NotFound from None


async def _answer_static(
    folder: StaticFolder, depth: int, services: RouteServices, request: Request, _params: Params
) -> Response:
    try:
        return await folder.send(request, (path_segments(request.path) or [])[depth:])
    except OSError as error:
        _check_exhaustion(error, services)
        raise


def _check_exhaustion(error: BaseException | None, services: RouteServices) -> None:
    """Answer with 503 where the system has no descriptor: 404 would say that there is no such file.

    Raises:
        OverloadedError: it is so.

    """
    if error is not None and is_exhaustion(error):
        services.out_of_descriptors()
        raise pages.OverloadedError from None


async def _answer_view(view: View, path: Path, services: RouteServices, request: Request, params: Params) -> Response:
    try:
        services.private.check_again(path)
    except OSError as error:
        LOG.error("%s: %s cannot be shown: %s", pages.shown(request), view.name, error.strerror or error)  # noqa: TRY400
        return pages.failure(request, 500)
    try:
        text = view.render(
            {
                "params": params,
                "request": _seen_by_views(request),
                "path": unquote(request.path),
                "now": datetime.now().astimezone(),
                "state": services.shared.state.view,
                "settings": services.settings,
                "constants": services.constants,
            }
        )
    except ViewError as error:
        _check_exhaustion(error.__cause__, services)
        LOG.error("%s: %s", pages.shown(request), error)  # noqa: TRY400 - the template's line says more than ours
        return pages.failure(request, 500)
    return HTTPResponse(text, content_type=view.content_type)


def _seen_by_views(request: Request) -> ViewRequest:
    return ViewRequest(
        request.method,
        read_query(request.query_string),
        join_fields(request.headers.items()),
        (request.ip, request.port),
    )


async def _answer_actions(
    program: Program, rule: RouteRule, services: RouteServices, request: Request, params: Params
) -> Response:
    """Do the steps; the answer is that of the last ``respond``, or 204."""
    data = body_of(request, forms=True) if "data" in program.names else None
    view = _seen_by_views(request)
    seen = {
        "method": view.method,
        "path": unquote(request.path),
        "query": view.query,
        "headers": view.headers,
        "peer": list(view.peer),
    }
    try:
        run = await program.follow(_event(rule, services, request, params), request=WebRequest(seen, data))
    except StepFailedError as error:
        if isinstance(error.cause, SanicException | ClientError):
            raise error.cause from None
        LOG.error("%s (on %s)", error, pages.shown(request), exc_info=error.cause)  # noqa: TRY400 - a template has none
        return pages.failure(request, 500, code=ErrorCode.HANDLER_FAILED.value)
    if isinstance(run.answer, Made):
        made = run.answer
        return HTTPResponse(made.body, made.status, dict(made.headers or {}), made.content_type)
    return _guarded(response_of(run.answer, responded=request.responded), Code("stream", "", rule.owner))


async def _answer_handler(
    handler: Handler, rule: RouteRule, services: RouteServices, request: Request, params: Params
) -> Response:
    """Await the handler. What it raises is told to the log in full and to the client not at all."""
    try:
        result = await handler.code.run(handler.function, _event(rule, services, request, params))
        return _guarded(handler.code.call(partial(response_of, result, responded=request.responded)), handler.code)
    except (SanicException, ClientError):
        raise
    except Exception as error:
        LOG.error(  # noqa: TRY400 - of what the plugin really raised
            "plugin %s: handler %s (%s) failed on %s",
            handler.plugin,
            handler.name,
            handler.where,
            pages.shown(request),
            exc_info=original(error),
        )
        return pages.failure(request, 500, code=ErrorCode.HANDLER_FAILED.value)


def _guarded(response: Response, code: Code) -> Response:
    """Let nothing but an `Exception` out of a response that a plugin streams."""
    if isinstance(response, ResponseStream):
        response.streaming_fn = partial(code.run, response.streaming_fn)
    return response


def _event(rule: RouteRule, services: RouteServices, request: Request, params: Params) -> RouteEvent:
    return RouteEvent(
        request=request,
        path=unquote(request.path),
        params=params,
        route=rule.path.text,
        endpoint=services.endpoint,
        timestamp=datetime.now(UTC),
        shared=services.shared,
        broadcast=services.broadcast,
        _seat=None if rule.handler is None else rule.handler.seat,
    )


def response_of(result: Any, *, responded: bool = False) -> Response:
    """Turn what a handler returned into a response.

    A mapping or list is JSON, a str is text, bytes are an octet stream, None is 204 (or nothing, if the handler has
    answered by itself), a Sanic response goes as it is.

    Raises:
        TypeError: it is something else, or holds what JSON cannot say; worded for the handler's author.
        ValueError: it is too large (`signalpost.signals.outgoing.check_size`).

    """
    match result:
        case BaseHTTPResponse() | ResponseStream():
            return result
        case None:
            return None if responded else HTTPResponse(status=204)
        case str():
            return HTTPResponse(result, content_type="text/plain; charset=utf-8")
        case bytes() | bytearray() | memoryview():
            return HTTPResponse(bytes(result), content_type="application/octet-stream")
        case Mapping():
            return _json(dict(result))
        case list():
            return _json(result)
    hint = ", with a status as in sanic.response.json(value, status=201)" if isinstance(result, tuple) else ""
    raise TypeError(
        f"a route handler returns a mapping, a list, a str, bytes, None or a Sanic response{hint}; "
        f"this one returned {_named(result)}"
    )


def _named(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _json(value: Any, status: int = 200) -> HTTPResponse:
    check_size(value)
    return HTTPResponse(orjson.dumps(value), status, content_type=_JSON)
