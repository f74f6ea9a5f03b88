"""``signalpost run --open``: shows the first page of an app in a browser."""

import os
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread

import click

from signalpost.config.model import EndpointConfig
from signalpost.server import url_of

_EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - what is listened on, which no browser can ask for


def open_page(endpoints: Sequence[EndpointConfig]) -> None:
    """Open the first http or https endpoint that has a port in a browser; say so, and go on, where there is none."""
    served = [endpoint for endpoint in endpoints if not endpoint.scheme.websocket]
    pages = [endpoint for endpoint in served if not endpoint.socket]
    if not pages:
        why = (
            "pages are at a Unix socket only, which no browser asks: open the address of the proxy in front of it"
            if served
            else "there is no http or https endpoint, so there is no page"
        )
        click.echo(f"note: --open: {why}")
        return
    first = pages[0]
    url = url_of(replace(first, address="localhost") if first.address in _EVERYWHERE else first) + "/"
    if not _has_browser():
        click.echo(f"note: --open: no browser is found here; the page is {url}")
        return
    # A browser may take its time, and one that is told by BROWSER may stay; a server that stops waits for neither.
    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_browser() -> bool:
    """Tell whether there is a browser with a window of its own: one in this terminal would be in the server's way."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = isinstance(browser, webbrowser.GenericBrowser) and not isinstance(
        browser, webbrowser.BackgroundBrowser
    )
    return bool(os.environ.get("BROWSER")) or not in_terminal
