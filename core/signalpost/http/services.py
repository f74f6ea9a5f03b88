"""What HTTP routes need from the server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sanic.response import HTTPResponse

from signalpost.auth.identity import Identity
from signalpost.auth.revocations import Refusal
from signalpost.config.model import EndpointConfig
from signalpost.config.viewtemplates import NO_ADDITIONS, Additions
from signalpost.edge.limiter import Limiter
from signalpost.events import Broadcast, Shared
from signalpost.http.packed import Packed
from signalpost.http.private import NOTHING_PRIVATE, Private
from signalpost.http.request import WebRequest
from signalpost.http.restraint import Restraint
from signalpost.plugins.identification import Identification
from signalpost.signals.broadcast import Sender
from signalpost.signals.work import Work
from signalpost.units import MEBIBYTE


class OwnRoute(NamedTuple):
    """A route of the server itself.

    Attributes:
        path: without parameters.
        method: of HTTP.
        answer: returns the response to a request.
        sends: whether its requests wait for clients that cannot read as fast as is sent.
    """

    path: str
    method: str
    answer: Callable[[WebRequest], Awaitable[HTTPResponse]]
    sends: bool = False


class Shown(NamedTuple):
    """What a page of the server itself shows."""

    body: bytes
    content_type: str
    status: int = 200


Page = Callable[[str], Awaitable[Shown]]
"""Returns what a page shows; its argument is the header Accept of the request, empty without one."""


@dataclass(frozen=True, slots=True)
class RouteServices:
    """What the routes of one listening port share.

    Attributes:
        shared: the lock and the state of all handlers of the server.
        broadcast: sends a value to clients; without a target, to everyone.
        endpoint: the http or https endpoint of the port, for `RouteEvent.endpoint`.
        folder: the app's folder, absolute: names of templates, and of files in the log, are relative to it.
        settings: of plugins, by plugin name, for views.
        constants: of routes.yaml, for views.
        additions: what plugins add to views.
        message_limit: largest request body, in bytes.
        patience: seconds a client may pause in the middle of sending a request.
        answer_time: seconds in which a response must begin.
        work: of the plan with these routes.
        out_of_descriptors: logs that a file could not be opened because no descriptor was free.
        private: tells which files are never sent.
        restraint: makes requests that send to clients wait; None if none does.
        endpoints: returns all that listen, with their actual ports; None if none serves signals.
        packed: caches compressed files.
        identification: finds out who clients are; None if nothing can tell.
        refusal: returns why a user is banned, or a token revoked; None if that is not so.
        permission_failed: called with a line for the log about each expression in ``may`` that failed.
        limiter: counts requests of routes with a rate; None counts none.
        sender: returns the connected client of a session, for the identity of a request; None if there is none.
        own: routes of the server itself at this endpoint.
        pages: of the server itself at this endpoint, by path.
    """

    shared: Shared
    broadcast: Broadcast
    endpoint: EndpointConfig
    folder: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    additions: Additions = NO_ADDITIONS
    message_limit: int = MEBIBYTE
    patience: float = 10.0
    answer_time: float = 300.0
    work: Work = field(default_factory=Work)
    out_of_descriptors: Callable[[], None] = lambda: None
    private: Private = NOTHING_PRIVATE
    restraint: Restraint | None = None
    endpoints: Callable[[], Sequence[EndpointConfig]] | None = None
    packed: Packed = field(default_factory=Packed)
    identification: Identification | None = None
    refusal: Callable[[Identity], Refusal | None] = lambda _identity: None
    permission_failed: Callable[[str], None] = lambda _line: None
    limiter: Limiter | None = None
    sender: Callable[[str, Identity], Sender | None] = lambda _session, _identity: None
    own: Sequence[OwnRoute] = ()
    pages: Mapping[str, Page] = field(default_factory=dict)
