"""The key ``rate`` of a route: how often it is answered."""

from typing import Any

from sanic.request import Request

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.addresses import network_of
from signalpost.config.model import RatePer, RouteConfig, RouteRate
from signalpost.edge.limiter import Limiter, too_many


class RouteCounter:
    """Counts the requests of one route, at all endpoints that serve it.

    Args:
        config: of the route.
        rate: of it.
        endpoint: name of the endpoint, for the log.
        limiter: keeps the counts, over reloads that leave the rate as it is.
    """

    __slots__ = ("_endpoint", "_limiter", "_rate", "_route", "_table")

    def __init__(self, config: RouteConfig, rate: RouteRate, endpoint: str, limiter: Limiter) -> None:
        self._rate = rate
        self._route = f"{'|'.join(config.methods)} {config.path}"
        self._endpoint = endpoint
        self._limiter = limiter
        self._table = limiter.table_of((self._route, config.endpoints, rate), rate.quota)

    @property
    def per_user(self) -> bool:
        """Whether it has to know who asks."""
        return self._rate.per is RatePer.USER

    def charge(self, request: Request[Any, Any]) -> None:
        """Charge a request.

        Raises:
            HandshakeRejection: 429, there have been too many.
        """
        who, key = self._payer(request)
        if wait := self._table.charge(key):
            self._limiter.tell_route(self._route, self._endpoint, who, str(self._rate.quota))
            raise too_many("This address answers no more requests of yours for now; wait a moment.", wait)

    def _payer(self, request: Request[Any, Any]) -> tuple[str, tuple[RatePer, str]]:
        """Return whose request it is, for the log and for the count."""
        if self._rate.per is RatePer.ROUTE:
            return "", (RatePer.ROUTE, "")
        identity: Identity = getattr(request, "identity", GUEST)  # a request that is not ours has none
        if self.per_user and identity.user is not None:
            return identity.user, (RatePer.USER, identity.user)
        return request.ip, (RatePer.ADDRESS, network_of(request.ip))


def counter_of(config: RouteConfig, endpoint: str, limiter: Limiter | None) -> RouteCounter | None:
    """Return the counter of a route; None if it has no rate, or if nothing keeps counts."""
    return None if config.rate is None or limiter is None else RouteCounter(config, config.rate, endpoint, limiter)
