"""Apps whose clients say who they are in a header: what an identity does, without the tokens that prove it."""

from textwrap import dedent

import pytest

from signalpost.auth.identity import Identity
from signalpost.node import Node
from signalpost.testing import serve

ENDPOINT = "{name: live, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}"
SOCKET = "{name: sockets, address: 127.0.0.1, port: 0, protocol: ws}"


@pytest.fixture
def believed(monkeypatch):
    """Take each client for whom its headers say: X-User, X-Token-Id and X-Issued."""
    admit = Node.admit

    def believe(node, request):
        headers = request.handshake.headers
        if "x-user" in headers or "x-token-id" in headers:
            issued = headers.get("x-issued")
            identity = Identity(
                headers.get("x-user"),
                token_id=headers.get("x-token-id", ""),
                issued=None if issued is None else float(issued),
            )
            request = request._replace(identity=identity)
        return admit(node, request)

    monkeypatch.setattr(Node, "admit", believe)


@pytest.fixture
def app(believed):
    """Serve signals, given as YAML, to clients that are believed."""
    return lambda text, **options: serve(f"endpoints: [{SOCKET}, {ENDPOINT}]\n{dedent(text)}", **options)


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
