"""HTTP routes: from a rule of the plan to a function that Sanic calls."""

import logging
import types
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from time import time
from typing import Any, TypeVar
from urllib.parse import unquote

import orjson
from sanic.compat import Header
from sanic.exceptions import NotFound, PayloadTooLarge, SanicException
from sanic.http import Stage
from sanic.response import BaseHTTPResponse, HTTPResponse, ResponseStream

from signalpost.actions.execution import Response as Made
from signalpost.actions.execution import WebRequest as SeenRequest
from signalpost.actions.program import Program
from signalpost.auth.identity import Identity
from signalpost.config.model import EndpointConfig, SenderRule
from signalpost.delivery.publication import check_size
from signalpost.errors import ClientError, ErrorCode, StepFailedError
from signalpost.events import RouteEvent
from signalpost.foreign import Code, original
from signalpost.handlers import Handler
from signalpost.http import errorpages as pages
from signalpost.http.answer import check_answer
from signalpost.http.files import StaticFolder, is_exhaustion, send_file
from signalpost.http.forms import body_of
from signalpost.http.gatekeeper import Gatekeeper, seen_of
from signalpost.http.judging import Judge, is_judged
from signalpost.http.request import WebRequest
from signalpost.http.restraint import RouteBroadcast, not_connected
from signalpost.http.routerate import RouteCounter
from signalpost.http.sender import broadcast_of, sender_of
from signalpost.http.services import RouteServices
from signalpost.http.views import View, ViewError, ViewRequest
from signalpost.http.whereabouts import whereabouts
from signalpost.logsubject import SUBJECT, Subject
from signalpost.paths import PathPattern, path_segments
from signalpost.plan import RouteRule
from signalpost.signals.sessions import HEADER

LOG = logging.getLogger(__name__)

CLIENT_MODULE = Path(__file__).parents[1] / "browser" / "signalpost.js"
"""The client for browsers."""

_JSON = "application/json"
_MOST_KEPT, _LONGEST_KEPT = 64, 256  # paths whose parameters a route caches, and their characters

Params = Mapping[str, str | int]
Response = BaseHTTPResponse | ResponseStream | None
Answer = Callable[[WebRequest, Params], Coroutine[Any, Any, Response]]
"""Answers one request; None if it has sent its answer already."""

Endpoint = Callable[[WebRequest], Coroutine[Any, Any, Any]]


def endpoint_of(rule: RouteRule, services: RouteServices, counter: RouteCounter | None = None) -> Endpoint:
    """Create the function that answers the requests of a route.

    Before it answers, it limits the body, validates the request, and reads the parameters from the path. So a route has
    the parameters that its own pattern names, decoded and typed as for signals.

    Args:
        rule: of the route.
        services: of the port.
        counter: of its requests; the table of routes has asked it already, unless it counts by user.

    Raises:
        OperatorError: the rule's template cannot be used.
    """
    broadcast = RouteBroadcast(services.broadcast)
    restraint = services.restraint
    answer = _answer_of(rule, replace(services, broadcast=broadcast))
    foreign = rule.do is not None and rule.do.foreign
    judge, gatekeeper = Judge.of(rule), Gatekeeper.of(rule, services)
    read_params = _params_reader(rule.config.path) if rule.config.path.parameters else None
    needs_sender = rule.config.sender is SenderRule.REQUIRED
    per_user = counter if counter is not None and counter.per_user else None

    async def endpoint(request: WebRequest) -> Response:
        params: Params = {} if read_params is None else read_params(request.path)
        if gatekeeper is not None:
            request.identity = await gatekeeper.let_in(request, params)
        if per_user is not None:
            per_user.charge(request)
        if len(request.body) > services.message_limit:
            raise PayloadTooLarge
        if needs_sender and sender_of(request, services) is None:
            raise not_connected()
        if judge is not None:
            params = judge.let_pass(request, params)
        services.work.begin()
        try:
            if broadcast.used and restraint is not None:
                await restraint.wait()
            if foreign:
                return await in_context(context_of(request), answer(request, params))
            return await answer(request, params)
        finally:
            services.work.end()

    return endpoint


def _params_reader(pattern: PathPattern) -> Callable[[str], Params]:
    """Create the function that reads the parameters of a path, as a fresh mapping; recent paths are cached."""

    def read(path: str) -> Params:
        found = pattern.match(path_segments(path) or [], ignore_case=False)
        if found is None:
            raise NotFound
        return found

    known = lru_cache(maxsize=_MOST_KEPT)(read)
    return lambda path: dict(known(path)) if len(path) <= _LONGEST_KEPT else read(path)


def whereabouts_endpoint(page: EndpointConfig, endpoints: Callable[[], Sequence[EndpointConfig]]) -> Endpoint:
    """Create the function that tells pages of an endpoint where signals are."""

    async def endpoint(request: WebRequest) -> Response:
        proxied = request.public is not None
        where = whereabouts(request.host, page, endpoints(), proxied=proxied)
        return HTTPResponse(orjson.dumps(where), 200, {"cache-control": "no-store"}, _JSON)

    return endpoint


def _answer_of(rule: RouteRule, services: RouteServices) -> Answer:
    """Choose how the rule answers, and prepare as much as possible."""
    config = rule.config
    if file := CLIENT_MODULE if config.client else config.file:
        return partial(_answer_file, file, rule.owner, services)
    if config.static:
        folder = StaticFolder(config.static, services.private, services.packed)
        return partial(_answer_static, folder, len(config.path.segments), services)
    if config.view:
        return partial(_answer_view, View.load(config.view, services.folder, services.additions), config.view, services)
    if rule.handler:
        return partial(_answer_handler, rule.handler, rule.handler.code, partial(_event, rule, services))
    if rule.do:
        return partial(_answer_actions, rule.do, rule, services)
    raise ValueError(f"{rule.owner}: the route {config.path} has nothing to answer with")


async def _answer_file(
    path: Path, owner: str, services: RouteServices, request: WebRequest, _params: Params
) -> Response:
    try:
        return await send_file(request, path, services.private, services.packed)
    except OSError as error:
        _check_exhaustion(error, services)
        name = path.relative_to(services.folder) if path.is_relative_to(services.folder) else path
        LOG.warning("%s: the file of this route cannot be sent: %s: %s", owner, name, error.strerror or error)
        raise NotFound from None


async def _answer_static(
    folder: StaticFolder, depth: int, services: RouteServices, request: WebRequest, _params: Params
) -> Response:
    try:
        return await folder.send(request, (path_segments(request.path) or [])[depth:])
    except OSError as error:
        _check_exhaustion(error, services)
        raise


def _check_exhaustion(error: BaseException | None, services: RouteServices) -> None:
    """Raise for a 503 if no descriptor is free: a 404 would mean that the file does not exist.

    Raises:
        OverloadedError: no descriptor is free.
    """
    if error is not None and is_exhaustion(error):
        services.out_of_descriptors()
        raise pages.OverloadedError from None


async def _answer_view(
    view: View, path: Path, services: RouteServices, request: WebRequest, params: Params
) -> Response:
    try:
        services.private.check_again(path)
    except OSError as error:
        LOG.error(  # noqa: TRY400 - the reason says all
            "%s: %s cannot be shown: %s",
            pages.shown(request),
            view.name,
            error.strerror or error,
            extra=pages.told_of(request),
        )
        return pages.failure(request, 500)
    try:
        text = context_of(request).run(  # templates may call functions of plugins
            view.render,
            {
                "params": params,
                "request": ViewRequest(request),
                "path": unquote(request.path),
                "now": datetime.now().astimezone(),
                "state": services.shared.state.view,
                "settings": services.settings,
                "constants": services.constants,
                **(_NOBODY if services.identification is None else _named_identity(request.identity)),
            },
        )
    except ViewError as error:
        _check_exhaustion(error.__cause__, services)
        LOG.error(  # noqa: TRY400 - the template's line says more than ours
            "%s: %s", pages.shown(request), error, extra=pages.told_of(request)
        )
        return pages.failure(request, 500)
    return HTTPResponse(text, content_type=view.content_type)


async def _answer_actions(
    program: Program, rule: RouteRule, services: RouteServices, request: WebRequest, params: Params
) -> Response:
    """Run the steps; the response is that of the last ``respond``, or 204."""
    data = None
    if "data" in program.names:
        data = request.document if is_judged(rule, request) else body_of(request, forms=True)
    seen: Mapping[str, Any] = {}
    if "request" in program.names:  # which few lists use, and which takes longer than most of them
        seen = seen_of(request)
    event, web = _event(rule, services, request, params), SeenRequest(seen, data, request.ip)
    try:
        run = await program.run_async(event, request=web) if program.waits else program.run(event, request=web)
    except StepFailedError as error:
        if isinstance(error.cause, SanicException | ClientError):
            raise error.cause from None
        LOG.error(  # noqa: TRY400 - a template has none
            "%s (on %s)", error, pages.shown(request), exc_info=error.cause, extra=pages.told_of(request)
        )
        return _failure(request)
    if isinstance(run.answer, Made):
        made = run.answer
        headers = Header(made.headers) if made.headers else None
        return HTTPResponse(made.body, made.status, headers, made.content_type)
    return _guarded(response_of(run.answer, responded=request.responded), Code("stream", "", rule.owner))


async def _answer_handler(
    handler: Handler,
    code: Code,
    event_of: Callable[[WebRequest, Params], RouteEvent],
    request: WebRequest,
    params: Params,
) -> Response:
    """Await the handler. What it raises is logged in full and hidden from the client."""
    try:
        result = await code.run(handler.function, event_of(request, params), context=context_of(request))
        return _guarded(code.call(partial(response_of, result, responded=request.responded)), code)
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
            extra=pages.told_of(request),
        )
        return _failure(request)


def _failure(request: WebRequest) -> Response:
    """Return the response to a request whose handler has failed, replacing what the handler itself has chosen.

    Raises:
        BrokenAnswerError: a part of the handler's response has been sent.
    """
    stream = request.stream
    if stream is not None and stream.stage is not Stage.HANDLER:
        raise pages.BrokenAnswerError
    request.reset_response()
    return pages.failure(request, 500, code=ErrorCode.HANDLER_FAILED.value)


def _guarded(response: Response, code: Code) -> Response:
    """Raise nothing but an `Exception` from a response that a plugin streams."""
    if isinstance(response, ResponseStream):
        response.streaming_fn = partial(code.run, response.streaming_fn)
    return response


def _event(rule: RouteRule, services: RouteServices, request: WebRequest, params: Params) -> RouteEvent:
    path = request.path
    sender = sender_of(request, services) if HEADER in request.headers else None
    return RouteEvent(
        request,
        path if "%" not in path else unquote(path),
        params,
        rule.config.path.text,
        services.endpoint,
        time(),
        services.shared,
        services.broadcast if sender is None else broadcast_of(sender, services),
        None if rule.handler is None else rule.handler.seat,
        request.identity,
        None if sender is None else sender.client,
    )


_NOBODY: Mapping[str, Any] = {}


def _named_identity(identity: Identity) -> Mapping[str, Any]:
    """Return what views see of who requests them, where clients have an identity."""
    return {"user": identity.user, "claims": identity.claims}


def response_of(result: Any, *, responded: bool = False) -> Response:
    """Turn what a handler returned into a response.

    A mapping or list is JSON, a str is text, bytes are an octet stream, None is 204 (or nothing, if the handler has
    answered itself), a Sanic response is unchanged.

    Raises:
        TypeError: it is something else, or contains what JSON cannot express; worded for the handler's author.
        ValueError: it is too large (`signalpost.delivery.publication.check_size`).
    """
    if type(result) is dict:
        return _json(result)
    match result:
        case BaseHTTPResponse() | ResponseStream():
            check_answer(result)
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


def _json(value: Any) -> HTTPResponse:
    check_size(value)
    return HTTPResponse(orjson.dumps(value), content_type=_JSON)


T = TypeVar("T")


def context_of(request: WebRequest) -> Context:
    """Return the context in which code of plugins runs for a request."""
    context = copy_context()
    context.run(SUBJECT.set, Subject(None, request.identity.user, request.path))
    return context


@types.coroutine
def in_context(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run a coroutine in a context, and in the task that awaits this: a task of its own costs a loop turn.

    Args:
        context: used by nothing else.
        coroutine: may raise anything; exceptions thrown in here, such as a cancellation, are passed to it.
    """
    resume, given = coroutine.send, None
    while True:
        try:
            waits_for = context.run(resume, given)
        except StopIteration as end:
            value: T = end.value
            return value
        try:
            resume, given = coroutine.send, (yield waits_for)
        except BaseException as error:  # noqa: BLE001 - the coroutine's to deal with
            resume, given = coroutine.throw, error
