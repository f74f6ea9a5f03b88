"""The one place where the host is asked for that a request was sent to, as its client knows it."""

from typing import Any

from sanic.request import Request

from signalpost.edge.forwarded import PublicView


def public_host(request: Request[Any, Any]) -> str:
    """Return the host and port that a client asked for; empty if it named none.

    It is what the client says, so whoever writes it anywhere checks it first (`Guard.admit_hosts`). Behind a trusted
    proxy it is what that says.
    """
    public: PublicView | None = getattr(request, "public", None)
    host: str = request.headers.get("host", "") if public is None else public.host
    return host.strip()
