"""The routes of the API: from a request with a key to an operation, and from its answer to a response."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from sanic.exceptions import BadRequest
from sanic.response import HTTPResponse

from signalpost.api.cloudevents import read_events
from signalpost.api.idempotency import HEADER, REPEATED, Answered, Idempotency
from signalpost.api.openapi import openapi, status_of
from signalpost.auth.apikeys import ApiKeys
from signalpost.config.apimodel import ApiConfig
from signalpost.config.authmodel import ApiKeyConfig
from signalpost.edge.limiter import Limiter, too_many
from signalpost.edge.rates import RateTable
from signalpost.http.request import WebRequest
from signalpost.http.services import OwnRoute
from signalpost.operations.operation import Caller, Operation, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.table import OPERATIONS

_JSON = "application/json"
_FIELDS: Mapping[str, str] = {"cache-control": "no-store", "vary": "authorization"}
_STATUS: Mapping[str, HTTPStatus] = {
    "bad-request": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not-found": HTTPStatus.NOT_FOUND,
    "refused": HTTPStatus.CONFLICT,
    "conflict": HTTPStatus.CONFLICT,
    "unknown-position": HTTPStatus.GONE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
_OTHERS = HTTPStatus.UNPROCESSABLE_ENTITY
"""Of codes that plugins' filters choose."""


class Api:
    """Answers the requests of one plan's API at one endpoint. Its counts and answers survive a reload.

    Args:
        config: of the API.
        keys: of programs.
        operator: does what is asked.
        limiter: keeps the rates.
        idempotency: remembers answers.
        endpoint: name of the endpoint, for the log.
    """

    def __init__(
        self,
        config: ApiConfig,
        keys: Sequence[ApiKeyConfig],
        operator: Operator,
        limiter: Limiter,
        idempotency: Idempotency,
        *,
        endpoint: str,
    ) -> None:
        self._config = config
        self._keys = ApiKeys(keys)
        self._operator = operator
        self._limiter = limiter
        self._idempotency = idempotency
        self._endpoint = endpoint
        self._rates: RateTable | None = None
        if config.rate is not None:
            self._rates = limiter.table_of(("api", config.rate), config.rate)

    def routes(self) -> Sequence[OwnRoute]:
        """Return the routes of all operations, and of the document that describes them."""
        prefix = self._config.path
        found = [
            OwnRoute(
                f"{prefix}/{each.name}",
                "GET" if each.reads else "POST",
                partial(self._answer, each),
                sends=each.name == "publish",
            )
            for each in OPERATIONS.values()
        ]
        return [*found, OwnRoute(f"{prefix}/openapi.json", "GET", self._describe)]

    async def _describe(self, _request: WebRequest) -> HTTPResponse:
        return HTTPResponse(orjson.dumps(openapi(self._config.path)), headers=dict(_FIELDS), content_type=_JSON)

    async def _answer(self, operation: Operation, request: WebRequest) -> HTTPResponse:
        try:
            key = self._key_of(request)
            self._charge(key)
            caller = Caller.of_key(key)
            do = partial(self._done, operation, caller, request)
            if operation.reads:
                return _response(await do())
            once = request.headers.get(HEADER, "").strip()
            kind = _kind_of(request).encode()
            whole = b"\0".join((operation.name.encode(), kind, request.body))
            return _response(await self._idempotency.answer(key.name, once, whole, do))
        except OperationError as error:
            return _response(_failed(error))

    async def _done(self, operation: Operation, caller: Caller, request: WebRequest) -> Answered:
        """Return the answer to a request; also a refusal is one, which a repeat is given again."""
        try:
            given = _query_of(operation, request) if operation.reads else _body_of(operation, request)
            answer = await operation.run(self._operator, caller, given)
        except OperationError as error:
            return _failed(error)
        return Answered(status_of(operation), orjson.dumps(answer))

    def _key_of(self, request: WebRequest) -> ApiKeyConfig:
        """Return the program whose key a request shows.

        Raises:
            OperationError: ``unauthorized``.
        """
        shown = request.headers.getall("authorization", ())
        if len(shown) > 1:
            raise OperationError("unauthorized", "the request has several Authorization headers; send one")
        scheme, _, text = (shown[0] if shown else "").strip(" \t").partition(" ")
        if scheme.lower() != "bearer":
            raise OperationError("unauthorized", "the API wants a key: send the header Authorization: Bearer KEY")
        key = self._keys.find(text.strip(" \t"))
        if key is None:
            raise OperationError("unauthorized", "this is no API key that this server knows")
        return key

    def _charge(self, key: ApiKeyConfig) -> None:
        """Charge a request to its key.

        Raises:
            HandshakeRejection: 429, it has made too many.
        """
        if self._rates is not None and (wait := self._rates.charge(key.name)):
            self._limiter.tell_route(self._config.path, self._endpoint, key.name, str(self._config.rate))
            raise too_many("This key asks faster than this server allows; wait a moment.", wait)


def failure_status(error: OperationError) -> HTTPStatus:
    """Return the status of the answer to an operation that was not done."""
    return _STATUS.get(error.code, _OTHERS)


def _failed(error: OperationError) -> Answered:
    return Answered(failure_status(error), orjson.dumps({"error": error.body}))


def _response(answered: Answered) -> HTTPResponse:
    headers = dict(_FIELDS)
    if answered.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"  # RFC 9110 section 15.5.2
    elif answered.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "5"
    if answered.again:
        headers[REPEATED] = "true"
    return HTTPResponse(answered.body, answered.status, headers, _JSON)


def _query_of(operation: Operation, request: WebRequest) -> Mapping[str, Any]:
    """Return the arguments in the query of a request.

    Raises:
        OperationError: one is given twice.
    """
    found: dict[str, Any] = {}
    for name, values in request.args.items():
        if len(values) > 1:
            raise OperationError("bad-request", f"{name} is given {len(values)} times: once is enough", f"/{name}")
        found[name] = _typed(values[0], operation.arguments["properties"].get(name, {}).get("type"))
    return found


def _typed(text: str, kind: str | None) -> Any:
    """Return a number if one is wanted and given; else the schema says what is wrong with the text."""
    return int(text) if kind == "integer" and text.isascii() and text.isdigit() and len(text) < _DIGITS else text


_DIGITS = 19


def _body_of(operation: Operation, request: WebRequest) -> Any:
    """Return the arguments in the body of a request.

    Raises:
        OperationError: it is no JSON.
    """
    try:
        document = request.json
    except BadRequest:
        raise OperationError("bad-request", "the body is not JSON") from None
    return read_events(_kind_of(request), document) if operation.name == "publish" else document


def _kind_of(request: WebRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
