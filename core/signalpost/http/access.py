"""What the access log says of an answer to a request that Sanic has read, and of an opened connection of a client."""

from typing import Any

from sanic.request import Request

from signalpost.accesslog import Access, AccessLog
from signalpost.auth.identity import GUEST
from signalpost.edge.forwarded import peer_of
from signalpost.http.router import is_handshake_meant
from signalpost.logsubject import Subject
from signalpost.signals.admission import Accept

_EVENT_STREAM = "text/event-stream"
_NO_METHOD = "NONE"  # of the stand-in for a request that could not be read
HANDSHAKE, REQUEST = "handshake", "request"


def note_answer(access: AccessLog, request: Request[Any, Any], status: int, seconds: float | None) -> None:
    """Log the answer to a request, or to what could not be read as one."""
    if request.method == _NO_METHOD:
        transport: Any = request.transport  # none, if the client has gone
        address = "" if transport is None else peer_of(transport)[0]
        access(Access(REQUEST, "", status, None, address), Subject())
        return
    headers = request.headers
    comes = is_handshake_meant(headers) or _EVENT_STREAM in headers.get("accept", "")
    guard = getattr(request.app.router, "guard", None)
    answer = Access(
        kind=HANDSHAKE if comes else REQUEST,
        method=request.method,
        status=status,
        seconds=seconds,
        address=request.ip,
        endpoint="" if guard is None else guard.name,
        origin=headers.get("origin", ""),
        agent=headers.get("user-agent", ""),
    )
    access(answer, Subject(None, getattr(request, "identity", GUEST).user, request.path))


def note_client(access: AccessLog, accept: Accept, status: int, seconds: float | None = None) -> None:
    """Log the handshake of a client that was let in."""
    asked, shown = accept.request, accept.request.handshake
    answer = Access(
        kind=HANDSHAKE,
        method="GET",
        status=status,
        seconds=seconds,
        address=shown.peer[0],
        endpoint=asked.endpoint.name,
        origin=", ".join(shown.getall("origin")),
        agent=", ".join(shown.getall("user-agent")),
    )
    access(answer, Subject(accept.client_id, asked.identity.user, shown.target.partition("?")[0]))
