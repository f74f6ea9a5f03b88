"""Apps whose clients say who they are in a header: what an identity does, without the tokens that prove it."""

from textwrap import dedent

import pytest

from signalpost.testing import serve

ENDPOINT = "{name: live, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}"
SOCKET = "{name: sockets, address: 127.0.0.1, port: 0, protocol: ws}"


BELIEVED = """
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    headers = request.headers
    if "x-user" not in headers and "x-token-id" not in headers:
        return None
    issued = headers.get("x-issued")
    return Identity(
        headers.get("x-user"),
        token_id=headers.get("x-token-id", ""),
        issued=None if issued is None else float(issued),
    )
"""
"""A plugin that takes each client for whom its headers say: X-User, X-Token-Id and X-Issued."""


@pytest.fixture
def app():
    """Serve signals, given as YAML, to clients that are believed."""

    def serving(text, *, plugins=(), **options):
        plugins = {"believed": BELIEVED, **dict(plugins)}
        return serve(f"endpoints: [{SOCKET}, {ENDPOINT}]\n{dedent(text)}", plugins=plugins, **options)

    return serving


@pytest.fixture
def as_user():
    """Give the options of a connection of a user: ``app.connect("/", **as_user("ann", token_id="t1"))``."""

    def options(user=None, *, token_id="", issued=None, v1=False):
        headers = {
            **({} if user is None else {"X-User": user}),
            **({"X-Token-Id": token_id} if token_id else {}),
            **({} if issued is None else {"X-Issued": str(issued)}),
        }
        return {"additional_headers": headers, **({"subprotocols": ["signalpost.v1"]} if v1 else {})}

    return options
