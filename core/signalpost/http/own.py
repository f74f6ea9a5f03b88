"""Routes of the server itself, which no file declares: those of ``api`` and ``monitor``."""

from collections.abc import Callable, Coroutine
from typing import Any

from sanic.exceptions import PayloadTooLarge
from sanic.response import HTTPResponse

from signalpost.http.gatekeeper import Gatekeeper
from signalpost.http.request import WebRequest
from signalpost.http.services import OwnRoute, RouteServices


def own_endpoint(own: OwnRoute, services: RouteServices) -> Callable[[WebRequest], Coroutine[Any, Any, HTTPResponse]]:
    """Create the function that answers the requests of a route of the server itself."""
    gatekeeper = None
    if own.guard is not None:
        gatekeeper = Gatekeeper(own.guard.permits, own.guard.owner, services, services.identification)

    async def endpoint(request: WebRequest) -> HTTPResponse:
        if len(request.body) > services.message_limit:
            raise PayloadTooLarge
        services.work.begin()
        try:
            if gatekeeper is not None:
                request.identity = await gatekeeper.let_in(request, {})
            if own.sends and services.restraint is not None:
                await services.restraint.wait()
            return await own.answer(request)
        finally:
            services.work.end()

    return endpoint
