"""Signals over plain HTTP, on their own paths: a GET reads an event stream, and a POST sends one message."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import orjson
from sanic.exceptions import PayloadTooLarge
from sanic.http import Http
from sanic.request import Request
from sanic.response import HTTPResponse

from signalpost.config.addresses import network_of
from signalpost.config.model import EndpointConfig
from signalpost.delivery.eventstream import EVENT_STREAM, EVENT_STREAM_V1
from signalpost.edge.limiter import too_many
from signalpost.http.access import note_client
from signalpost.http.answer import date_now, head_of
from signalpost.http.errorpages import failure, harden, weight_of
from signalpost.http.guard import Guard
from signalpost.http.protocol import HandingOver
from signalpost.http.request import WebRequest
from signalpost.http.restraint import Restraint
from signalpost.http.router import SIGNAL_PATH, UpgradeTable
from signalpost.paths import path_text
from signalpost.signals.admission import Accept
from signalpost.signals.sessions import HEADER
from signalpost.sockets.eventstream import EventStream
from signalpost.sockets.post import Post
from signalpost.sockets.rate import Allowance, Pace, pace_of
from signalpost.sockets.services import SocketServices, came_from, changed
from signalpost.websocket.frames import Opcode
from signalpost.websocket.handshake import HandshakeRejection

EVENT_STREAM_TYPE = "text/event-stream"
_BINARY_TYPE = "application/octet-stream"
_ROUTE_NAME = "signals"
_VERSIONS = ("", "1")

_HOW = (
    "This is a signal. It is read with the header Accept: text/event-stream, as new EventSource(…) does in a browser, "
    "and curl -N -H 'Accept: text/event-stream' at a terminal. A message is sent to it with POST."
)


class FallbackDoor:
    """Answers the requests of one port that are for signals.

    Args:
        endpoint: the port's http or https endpoint; None, or one without fallbacks, serves none.
        services: shared by all ports.
        guard: of the endpoint.

    Attributes:
        open: whether clients are still let in.
    """

    def __init__(self, endpoint: EndpointConfig | None, services: SocketServices, guard: Guard | None) -> None:
        self._services = services
        self._restraint = Restraint(services.node.hub)
        self.open = True
        self.serve(endpoint, guard)

    def serve(self, endpoint: EndpointConfig | None, guard: Guard | None) -> None:
        """Answer requests for another endpoint of the port from now on."""
        self._endpoint = endpoint if endpoint is not None and endpoint.fallbacks else None
        self._guard = guard

    def add_to(self, app: Any) -> None:
        """Add the route of all signals to a Sanic app whose router is an `UpgradeTable`."""

        async def answer(request: Request[Any, Any]) -> HTTPResponse | None:
            return await self.answer(request)

        # Sanic lets only such a handler return nothing; the head has been written by then.
        answer.is_websocket = True  # type: ignore[attr-defined]
        app.add_route(answer, SIGNAL_PATH, methods=["GET", "POST"], name=_ROUTE_NAME, error_format="json")
        router: UpgradeTable = app.router
        router.is_signal = self.has

    def has(self, path: str) -> bool:
        """Return whether a signal is served at a path; percent-encoded."""
        text = None if self._endpoint is None else path_text(path)
        if self._endpoint is None or text is None:
            return False
        return self._services.node.generation.table.resolve(self._endpoint.name, text) is not None

    async def answer(self, request: Request[Any, Any]) -> HTTPResponse | None:
        """Answer a request that the router has passed on; return None if its connection is an event stream now."""
        endpoint = self._endpoint
        if endpoint is None:  # a reload has just come between
            return failure(request, HTTPStatus.NOT_FOUND)
        try:
            if request.method == "POST":
                return await self._post(request, endpoint)
            if self._guard is not None:
                self._guard.admit_change(request)  # a client comes, which is more than to read something
            _check_kind(request)
            if request.method == "HEAD":
                return HTTPResponse(headers={**_FIELDS, **self._exposed}, content_type=EVENT_STREAM_TYPE)
            return await self._stream(request, endpoint)
        except HandshakeRejection as rejection:
            if (observer := self._services.node.observer) is not None:
                observer.rejected(endpoint.name, rejection.status)
            headers = {**rejection.headers, **self._exposed}
            return failure(request, rejection.status, detail=rejection.detail, headers=headers)

    @property
    def _exposed(self) -> Mapping[str, str]:
        """The header that lets pages of listed origins read ours (CORS)."""
        return _EXPOSED if self._guard is not None and self._guard.shares else _NOTHING

    async def _admitted(self, request: Request[Any, Any], endpoint: EndpointConfig, *, visits: bool) -> Accept:
        """Decide about the client of a request; `visits` is whether it comes for one message only.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        services, node = self._services, self._services.node
        if not visits:
            node.limiter.admit_handshake(request.ip, endpoint.name)
        came = came_from(endpoint, cast("asyncio.Transport", request.transport), cast("WebRequest", request).public)
        asked = services.ask(endpoint, request.path, request.head, came, is_open=self.open, visits=visits)
        admission = node.admitter.admit(asked, visits=visits)
        if isinstance(admission, Accept):
            return admission
        accept = await admission
        if not self.open or endpoint is not self._endpoint:
            raise changed()
        return accept

    async def _stream(self, request: Request[Any, Any], endpoint: EndpointConfig) -> HTTPResponse | None:
        """Turn the connection of a request into an event stream."""
        accept = await self._admitted(request, endpoint, visits=False)
        transport = cast("asyncio.Transport", request.transport)
        if transport.is_closing():
            return failure(request, HTTPStatus.BAD_REQUEST)
        services, node = self._services, self._services.node
        protocol = cast("HandingOver", transport.get_protocol())
        # The rest of the request's task must write nothing, and must not wait for a further request.
        cast("Http", request.stream).upgrade_websocket = True
        protocol.hand_over()
        if services.intake.access is not None:
            note_client(services.intake.access, accept, HTTPStatus.OK)
        transport.write(_head(request, accept, {**_FIELDS, **self._exposed}))
        encoding = EVENT_STREAM_V1 if request.args.get("v") else EVENT_STREAM
        stream = EventStream(transport, node, services.keepalive)
        stream.begin(node.attach(transport, accept, encoding, stream, request.headers.get(HEADER, "")))
        return None

    async def _post(self, request: Request[Any, Any], endpoint: EndpointConfig) -> HTTPResponse:
        """Handle the message in a request's body.

        Raises:
            HandshakeRejection: it is not let in.
            PayloadTooLarge: it is larger than a message may be.
        """
        if len(request.body) > self._services.node.generation.limits.message:
            raise PayloadTooLarge
        accept = await self._admitted(request, endpoint, visits=True)
        rule = accept.resolved.rule
        if rule.connected is not None or rule.disconnected is not None:
            raise HandshakeRejection(405, "No message is sent to this signal by POST.", {"allow": "GET, HEAD, OPTIONS"})
        session = request.headers.get(HEADER, "")
        allowance = self._charge(request, accept, session)
        opcode = Opcode.TEXT if _is_text(request) else Opcode.BINARY
        await self._restraint.wait()
        answered = await Post(self._services.node, allowance).send(accept, session, int(opcode), request.body)
        headers = {**_OF_POST, **self._exposed, "x-signalpost-client-id": accept.client_id}
        if answered.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"  # RFC 9110 section 15.5.2
        elif answered.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["retry-after"] = "5"
        return HTTPResponse(orjson.dumps(answered.body), answered.status, headers, "application/json")

    def _charge(self, request: Request[Any, Any], accept: Accept, session: str) -> Allowance | None:
        """Charge a message to its sender; return what the sender may still cause, or None without a limit.

        A browser sends over several connections: with its session it has one allowance for all of them. Without one,
        all posters of a user share one, or all of an address.

        Raises:
            HandshakeRejection: it has sent too much.
        """
        services, limits = self._services, self._services.node.generation.limits
        user = accept.request.identity.user
        of_user = services.allowance_of_user(user)
        if of_user is not None:
            self._check(of_user, "user-rate", "Messages of this user come faster than this server takes them; wait.")
        pace = pace_of(limits)
        allowance = None if pace is None else self._allowance(request, user, session, pace)
        if allowance is not None:
            self._check(allowance, "posts", "Messages come faster than this server takes them; wait a moment.")
            allowance.frames -= 1
            allowance.bytes -= len(request.body)
        if of_user is not None:
            of_user.frames -= 1
        return allowance

    def _allowance(self, request: Request[Any, Any], user: str | None, session: str, pace: Pace) -> Allowance:
        """Return the allowance of a poster."""
        services = self._services
        holder = services.node.memory.sessions.find(session)
        if holder is None:
            key = ("address", network_of(request.ip)) if user is None else ("user", user)
            return services.posters.of(key, pace)
        allowance: Allowance | None = holder.allowance
        if allowance is None:
            allowance = holder.allowance = Allowance(pace, asyncio.get_running_loop().time)
        allowance.set_pace(pace)
        return allowance

    def _check(self, allowance: Allowance, limit: str, detail: str) -> None:
        """Check that an allowance covers a message.

        Raises:
            HandshakeRejection: 429, it does not.
        """
        if not allowance.covers_one():
            self._services.node.limiter.note(limit, "" if self._endpoint is None else self._endpoint.name)
            raise too_many(detail, allowance.wait)


_OF_POST: Mapping[str, str] = {"cache-control": "no-store", "vary": "accept"}
_FIELDS: Mapping[str, str] = {**_OF_POST, "x-accel-buffering": "no"}  # nginx would hold events back
_EXPOSED: Mapping[str, str] = {"access-control-expose-headers": "retry-after, x-signalpost-client-id"}
_NOTHING: Mapping[str, str] = {}


def _head(request: Request[Any, Any], accept: Accept, headers: Mapping[str, str]) -> bytes:
    """Return the head of an event stream; the connection's end is that of the stream (RFC 9112 section 6.3)."""
    response = HTTPResponse(headers=dict(headers), content_type=EVENT_STREAM_TYPE)
    harden(request, response)
    fields = (
        ("content-type", EVENT_STREAM_TYPE),
        ("date", date_now()),
        ("connection", "close"),
        ("x-signalpost-client-id", accept.client_id),
    )
    return head_of(HTTPStatus.OK, (*response.headers.items(), *fields), "")


def _check_kind(request: Request[Any, Any]) -> None:
    """Check that a request asks for an event stream by name, which ``*/*`` does not, and for a known kind of events.

    Raises:
        HandshakeRejection: it does not.
    """
    if not weight_of(request, EVENT_STREAM_TYPE):
        raise HandshakeRejection(406, _HOW)
    if request.args.get("v", "") not in _VERSIONS:
        raise HandshakeRejection(400, "An event stream has ?v=1 for objects of signalpost.v1, or no v for bare values.")


def _is_text(request: Request[Any, Any]) -> bool:
    """Return whether the body is the text of a message, as it is unless its type says that it is binary.

    Raises:
        HandshakeRejection: it is neither.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _BINARY_TYPE:
        return False
    try:
        request.body.decode()
    except UnicodeDecodeError:
        raise HandshakeRejection(400, "The body is the text of a message, in UTF-8.") from None
    return True
