"""Routes of the server itself, which no file declares: what a path below ``api`` answers."""

from collections.abc import Callable, Coroutine
from typing import Any

from sanic.exceptions import PayloadTooLarge
from sanic.response import HTTPResponse

from signalpost.http.request import WebRequest
from signalpost.http.services import OwnRoute, RouteServices


def own_endpoint(own: OwnRoute, services: RouteServices) -> Callable[[WebRequest], Coroutine[Any, Any, HTTPResponse]]:
    """Create the function that answers the requests of a route of the server itself."""

    async def endpoint(request: WebRequest) -> HTTPResponse:
        if len(request.body) > services.message_limit:
            raise PayloadTooLarge
        services.work.begin()
        try:
            if own.sends and services.restraint is not None:
                await services.restraint.wait()
            return await own.answer(request)
        finally:
            services.work.end()

    return endpoint
