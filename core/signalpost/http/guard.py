"""Which requests an endpoint answers: by the host name that they use, and by the page that they come from.

Both protect against foreign pages in browsers. A page can make its own name resolve to this machine (DNS rebinding),
and then has the same origin as the server; only the name in Host shows that. And any page may send a form or a
``no-cors`` fetch to any server; there Origin and Sec-Fetch-Site show that. A client that sends neither is not a
browser, and is trusted.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from sanic.request import Request

from signalpost.config.addresses import parse_host
from signalpost.config.model import SAFE_METHODS, EndpointConfig
from signalpost.edge.forwarded import PublicView, public_of
from signalpost.edge.limiter import Limiter
from signalpost.http.remedies import let_in_origin, shown
from signalpost.logsubject import about_path
from signalpost.logthrottle import LineTally, Tally
from signalpost.signals.admission import IdentityRejection
from signalpost.websocket.crosssite import Site, may_come, origins_of, sites_of
from signalpost.websocket.handshake import HandshakeRejection, is_listed, read_authority, read_host

LOG = logging.getLogger(__name__)

_MOST_NAMES = 64
_LONGEST = 100
_DAY = "86400"

CallLater = Callable[[float, Callable[[], None]], object]
Redirect = Callable[[Request[Any, Any]], HandshakeRejection]
"""Returns the answer to a request, which is served elsewhere."""


class RejectionLog:
    """Logs what was rejected at one port, in few lines however much it is, so that the operator knows.

    Args:
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    def __init__(self, call_later: CallLater) -> None:
        self._names: set[str] = set()
        self._last = ""
        self._further = Tally(self._tell_further, call_later)
        self._call_later = call_later
        self._refusals: dict[int, LineTally] = {}  # by status; 0 is for changes

    def name(self, host: str, where: str, remedy: str) -> None:
        """Log that a host name was not answered: one line for each name, and a count for those beyond a limit."""
        name = shown(host)
        if name in self._names:
            return
        if len(self._names) < _MOST_NAMES:
            self._names.add(name)
            LOG.warning("%s: not answered by the name %s (421): %s", where, name, remedy)
            return
        self._last = f"{where}: the last one was {name}"
        self._further.add()

    def change(self, request: Request, origin: str, where: str, remedy: str) -> None:
        """Log that a request of a foreign page was rejected; at most a few lines per second."""
        page = f"a page of {shown(origin)}" if origin else "a page of another site"
        end = f"; {remedy}" if remedy else ""
        line = f"{where}: {request.method} {shown(request.path)} of {page} was refused (403){end}"
        self._tell(0, line, request.path)

    def handshake(self, request: Request, refusal: HandshakeRejection, where: str, remedy: str) -> None:
        """Log that a handshake was rejected; at most a few lines per second for each status."""
        origin = request.headers.get("origin", "").strip()
        page = f" of a page of {shown(origin)}" if origin else ""
        end = f": {remedy}" if remedy else ""
        who = isinstance(refusal, IdentityRejection)  # else a page with an origin is refused for that
        why = "" if origin and refusal.status == HTTPStatus.FORBIDDEN and not who else f", {refusal.detail.rstrip('.')}"
        if isinstance(refusal, IdentityRejection) and refusal.told:
            why += f": {refusal.told}"
        line = f"{where}: a WebSocket at {shown(request.path)}{page} was refused ({refusal.status}{why}){end}"
        self._tell(refusal.status, line, request.path)

    def _tell(self, kind: int, line: str, path: str) -> None:
        if kind not in self._refusals:
            self._refusals[kind] = LineTally(LOG.warning, self._call_later)
        self._refusals[kind].add(line, extra=about_path(path))

    def _tell_further(self, count: int) -> None:
        LOG.warning("not answered by further names (421): %d; %s", count, self._last)


class Guard:
    """Guards one endpoint.

    Args:
        endpoint: whose rules apply.
        place: of the endpoint: ``routes.yaml:3``.
        loopback: whether its socket is bound to a loopback address.
        ports: returns the ports that the app serves; pages of this host on any of them are its own.
        log: of what is rejected.
        limiter: of what one address does; None limits nothing.
        redirect: answers every request whose host is admitted; None if they are served here.

    Attributes:
        name: of the endpoint.
        limiter: the same.
        shares: whether pages of some other origins may read answers.
        redirect: see above.
    """

    def __init__(
        self,
        endpoint: EndpointConfig,
        place: str,
        *,
        loopback: bool,
        ports: Callable[[], Collection[int]],
        log: RejectionLog,
        limiter: Limiter | None = None,
        redirect: Redirect | None = None,
    ) -> None:
        self.name = endpoint.name
        self.limiter = limiter
        self.redirect = redirect
        self._endpoint = endpoint
        self._proxied = endpoint.proxies is not None
        self._where = f"{place}: endpoint {endpoint.name}"
        self._port = endpoint.port
        self._origins = endpoint.origins
        self.shares = bool(endpoint.origins)
        self._checks_hosts = loopback or bool(endpoint.hosts)
        self._names = frozenset(name for name in endpoint.hosts if not name.startswith("*"))
        self._suffixes = tuple(name[1:] for name in endpoint.hosts if name.startswith("*"))
        self._listed = endpoint.hosts
        self._ports = ports
        self._log = log
        self.headers = endpoint.headers
        self._answered: set[str] = set()  # as they were in Host; nearly all requests have one of a few

    def admit_hosts(self, hosts: Iterable[str]) -> None:
        """Accept a request to a host name of this endpoint.

        Args:
            hosts: from Host, or from a URL in the request line; an empty one names none.

        Raises:
            HandshakeRejection: 421.
        """
        if not self._checks_hosts:
            return
        for host in hosts:
            if host in self._answered:
                continue
            if host.strip() and not self._answers_to(read_host(host)):
                self._log.name(host.strip(), self._where, self._remedy(read_host(host)))
                raise HandshakeRejection(421, "This server is not known by the name that it was asked by.")
            if len(self._answered) < _MOST_NAMES and len(host) <= _LONGEST:
                self._answered.add(host)

    def admit(self, request: Request[Any, Any]) -> None:
        """Accept a plain request, by its address, its host names and the page that it comes from.

        Raises:
            HandshakeRejection: 308 if it is served elsewhere; 429, its address has requested too much; 421; or 403
                if its method changes something for a page of another origin.
        """
        view = self.look(request) if self._proxied else None
        if self.limiter is not None and self.limiter.counts_requests:
            self.limiter.admit_request(request.ip, self.name)
        # Nearly all requests use a name that was accepted before.
        answered = request.headers.get("host") in self._answered and not request._parsed_url.host  # noqa: SLF001 - as below
        if self._checks_hosts and (not answered or view is not None):
            self.admit_hosts(hosts_of(request, view))
        if self.redirect is not None:
            raise self.redirect(request)
        if request.method not in SAFE_METHODS:
            self.admit_change(request)

    def look(self, request: Request[Any, Any]) -> PublicView | None:
        """Note at a request what a trusted proxy says of it, and return that; None if there is no such proxy."""
        view = request.public = public_of(self._endpoint, request.transport, request.headers)  # type: ignore[attr-defined]
        return view

    def admit_change(self, request: Request[Any, Any]) -> None:
        """Accept a request that changes something, by the page that it comes from.

        Raises:
            HandshakeRejection: 403, the page is of another origin.
        """
        headers = request.headers
        if "sec-fetch-site" not in headers and "origin" not in headers:
            return  # not a browser
        sites = sites_of(headers)
        origins = origins_of(headers, sites)
        view: PublicView | None = getattr(request, "public", None)
        asked = read_authority(headers.get("host", "")) if view is None else view.authority
        if not may_come(origins, sites, Site(asked, self._ports(), self._origins, self._port)):
            origin = origins[0] if origins else ""
            self._log.change(request, origin, self._where, let_in_origin(origin, asked, self._origins))
            raise HandshakeRejection(
                403, "Pages of other origins may change something here only if the endpoint's origins list them."
            )

    def shared(self, request: Request[Any, Any]) -> Mapping[str, str]:
        """Return the headers that allow a page of a listed origin to read the response (CORS); Vary for all others."""
        if not self._origins:
            return {}
        origins = request.headers.getall("origin", [])
        if len(origins) == 1 and self._is_listed(origins[0].strip()):
            return {"access-control-allow-origin": origins[0].strip(), "vary": "origin"}
        return {"vary": "origin"}

    def preflight(self, request: Request[Any, Any], methods: str) -> Mapping[str, str]:
        """Return the answer to a browser's preflight for a page of a listed origin; nothing for all others.

        Args:
            request: an OPTIONS that no route answers.
            methods: of the path, as in Allow.
        """
        asked = request.headers.get("access-control-request-method")
        if asked is None or "access-control-allow-origin" not in self.shared(request):
            return {}
        names = request.headers.get("access-control-request-headers")
        headers = (
            {"access-control-allow-headers": names}
            if names is not None and names.isascii() and names.isprintable()
            else {}
        )
        return {"access-control-allow-methods": methods, "access-control-max-age": _DAY, **headers}

    def _is_listed(self, origin: str) -> bool:
        return is_listed(origin, self._origins)

    def _answers_to(self, name: str) -> bool:
        name = name.removesuffix(".")
        return is_own(name) or name in self._names or name.endswith(self._suffixes)

    def _remedy(self, name: str) -> str:
        try:
            listed = ", ".join((*self._listed, parse_host(name)))
        except ValueError:
            return "that is no name of a host"
        return f"if it is yours, write hosts: [{listed}]"


def is_own(name: str) -> bool:
    """Return whether no other party can point the name here: localhost, names below it, and IP addresses."""
    if name in {"127.0.0.1", "localhost"} or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def hosts_of(request: Request[Any, Any], view: PublicView | None = None) -> list[str]:
    """Return the hosts that a request addresses: in Host, and in a URL in the request line (RFC 9112 section 3.2.2).

    What a trusted proxy says does not replace Host: by that alone, a page could name another host than its own.

    Args:
        request: a plain one, or a handshake.
        view: what a trusted proxy says of it.
    """
    hosts = list(request.headers.getall("host", []))
    named: bytes | None = request._parsed_url.host  # noqa: SLF001 - Sanic has read it, and tells nobody
    if named:
        text = named.decode("latin-1")
        hosts.append(f"[{text}]" if ":" in text else text)
    if view is not None:
        hosts.append(view.host)
    return hosts
