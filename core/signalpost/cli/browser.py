"""``signalpost run --open``: the first page, in a browser."""

import os
import webbrowser
from collections.abc import Sequence
from threading import Thread

from signalpost.cli.saying import say
from signalpost.config.model import EndpointConfig

_EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - what is listened on, which no browser can ask for


def open_page(endpoints: Sequence[EndpointConfig]) -> None:
    """Open the first http or https endpoint with a port in a browser; if there is none, print that and continue."""
    served = [endpoint for endpoint in endpoints if endpoint.serves_routes]
    pages = [endpoint for endpoint in served if not endpoint.socket]
    if not pages:
        why = (
            "pages are at a Unix socket only, which no browser asks: open the address of the proxy in front of it"
            if served
            else "there is no http or https endpoint, so there is no page"
        )
        say(f"note: --open: {why}")
        return
    first = pages[0]
    url = first.url_at("localhost" if first.address in _EVERYWHERE else first.address) + "/"
    if not _has_browser():
        say(f"note: --open: no browser is found here; the page is {url}")
        return
    # A browser may be slow, and one set by BROWSER may not return; a server that stops waits for neither.
    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_browser() -> bool:
    """Return whether there is a browser with its own window: one in this terminal would disturb the server."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = isinstance(browser, webbrowser.GenericBrowser) and not isinstance(
        browser, webbrowser.BackgroundBrowser
    )
    return bool(os.environ.get("BROWSER")) or not in_terminal
