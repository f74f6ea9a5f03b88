"""Cross-site requests: which pages may open WebSockets here, or change something. One rule for all ways in. Pure.

A browser sends the cookies of a site with requests that pages of other sites make it send. It says where the page is
from: in Origin (RFC 6454 section 7) and in Sec-Fetch-Site (W3C Fetch Metadata). Both are out of reach for the page. A
client that sends neither is no browser, whose user could be misled.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from signalpost.websocket.handshake import Authority, HandshakeRejection, Headers, is_listed, is_own_page

_PAGE = re.compile(r"[^/?#]+://[^/?#]+")  # of an address: the position of its origin


@dataclass(frozen=True, slots=True)
class Site:
    """The address that was requested, and whose pages may come there.

    Attributes:
        asked: the requested authority, as the client sees it.
        ports: that the app serves on this host.
        allowed: additional origins, as scheme://host[:port], ``null`` or ``file://``.
        at: the port that received the request; None if a host without a port means the default one.
    """

    asked: Authority
    ports: Collection[int]
    allowed: Collection[str] = ()
    at: int | None = None


def may_come(origins: Sequence[str], sites: Collection[str], site: Site) -> bool:
    """Return whether a request that changes something may come from the page that made a browser send it.

    ============================================= =========
    the request says                              it may
    ============================================= =========
    nothing                                       come: it is no browser's
    one Origin, which is listed                   come
    one Origin, of this host (see `is_own_page`)  come, unless the browser calls it cross-site
    another Origin, or several                    not come
    no Origin, and ``cross-site``                 not come
    no Origin, and ``same-origin`` or ``none``    come
    ============================================= =========

    Args:
        origins: of the page, as sent; of a page of the same site that names none, see `origins_of`.
        sites: values of Sec-Fetch-Site.
        site: that was requested.
    """
    if not origins and not sites:
        return True
    if len(origins) == 1 and is_listed(origins[0], site.allowed):
        return True
    if len(origins) > 1 or "cross-site" in sites:
        return False
    at = None if "same-site" in sites else site.at  # a browser says same-origin of a page at the requested port
    return all(is_own_page(origin, site.asked, site.ports, at) for origin in origins)


def check_origin(origin: str, headers: Headers, site: Site) -> None:
    """Accept the handshake of a WebSocket by the page that opens it; an event stream is judged like a change.

    Browsers send Origin with every handshake, and do not agree on Sec-Fetch-Site there: it counts only without Origin.

    Args:
        origin: as sent; empty if there is none.
        headers: of the handshake.
        site: that was requested.

    Raises:
        HandshakeRejection: 403.
    """
    sites = () if origin else sites_of(headers)
    if not may_come([origin] if origin else origins_of(headers, sites), sites, site):
        raise HandshakeRejection(
            403, "Pages of this origin may open WebSockets here only if the endpoint's origins list it."
        )


def sites_of(headers: Headers) -> list[str]:
    """Return the values of Sec-Fetch-Site; more than one only if somebody forges them."""
    return [site.strip().lower() for value in headers.getall("sec-fetch-site", []) for site in value.split(",")]


def origins_of(headers: Headers, sites: Iterable[str]) -> list[str]:
    """Return the origins of the page that a request comes from.

    An image, a link or a form with GET sends no Origin. Then Referer shows whether a page of the same site is one of
    this host: it contains at least the origin, unless the page suppresses it.
    """
    origins = [origin.strip() for origin in headers.getall("origin", [])]
    if origins or "same-site" not in sites:
        return origins
    page = _PAGE.match(next(iter(headers.getall("referer", [])), ""))
    return ["" if page is None else page[0]]
