"""The connected client that a plain request comes from, if it names one: by its session, in a header."""

from functools import partial
from typing import Any, cast

from sanic.request import Request

from signalpost.auth.identity import GUEST
from signalpost.events import Broadcast
from signalpost.http.restraint import RouteBroadcast
from signalpost.http.services import RouteServices
from signalpost.signals.broadcast import Sender
from signalpost.signals.sessions import HEADER


def sender_of(request: Request[Any, Any], services: RouteServices) -> Sender | None:
    """Return the connected client of the session that a request names, with its broadcast; None if there is none."""
    session = request.headers.get(HEADER)
    return None if not session else services.sender(session, getattr(request, "identity", GUEST))


def broadcast_of(sender: Sender, services: RouteServices) -> Broadcast:
    """Return the broadcast of a request that comes from a connected client; without a target it goes to everyone."""
    return cast("Broadcast", partial(cast("RouteBroadcast", services.broadcast), sender=sender))
