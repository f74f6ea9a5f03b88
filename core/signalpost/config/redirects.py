"""Endpoints that redirect to another one: nothing is served there."""

from collections.abc import Sequence

from signalpost.config.model import EndpointConfig
from signalpost.config.section import Section
from signalpost.words import quoted, unknown

_SERVING = ("fallbacks", "origins", "compression", "keepalive")


def read_redirect(section: Section) -> str | None:
    """Read the name of the endpoint that an endpoint redirects to, and report keys that have no effect beside it."""
    name = section.text("redirect")
    for key in _SERVING if name is not None else ():
        if section.data.get(key) not in (None, False, []):
            text = f"nothing is served here but a redirect, so {key} has no effect: leave it out"
            section.problem(key, text, of_key=True)
    return name


def check_redirects(endpoints: Sequence[tuple[Section, EndpointConfig]], *, complete: bool) -> None:
    """Report redirects to an endpoint that cannot take them.

    Args:
        endpoints: those that could be read.
        complete: whether these are all, so that a missing one does not exist.
    """
    by_name = {config.name: config for _, config in endpoints}
    for section, config in endpoints:
        if config.redirect is None:
            continue
        target = by_name.get(config.redirect)
        if target is None:
            if complete:
                others = [name for name in by_name if name != config.name]
                section.problem("redirect", unknown("endpoint", config.redirect, others))
        elif text := _unfit(config, target):
            section.problem("redirect", text)


def _unfit(config: EndpointConfig, target: EndpointConfig) -> str:
    """Return why an endpoint cannot redirect to another one; empty if it can."""
    name = quoted(target.name)
    if target.name == config.name:
        return f"{name} is this endpoint itself: name the one that answers, or leave redirect out"
    if target.redirect is not None:
        return f"{name} redirects, too (to {quoted(target.redirect)}): name the one that answers"
    if target.scheme.websocket is not config.scheme.websocket:
        needed = "ws or wss" if config.scheme.websocket else "http or https"
        found = f"{name} is {target.scheme.value}"
        return f"{found}; an endpoint that is {config.scheme.value} redirects to one that is {needed}"
    if target.socket:
        return f"{name} is a Unix socket, to which no client could be sent"
    return ""


def moved(endpoint: EndpointConfig, fitting: Sequence[str]) -> str:
    """Return why a route or signal cannot be served by an endpoint that redirects."""
    known = f" (known: {', '.join(fitting)})" if fitting else ""
    return (
        f"the endpoint {quoted(endpoint.name)} redirects to {quoted(endpoint.redirect or '')}, and nothing is served "
        f"there: name another{known}"
    )
