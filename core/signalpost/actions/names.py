"""The names for templates in a list of actions, by the place of the list, and how each name gets its value.

A name is evaluated only when a template of the current step uses it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError
from signalpost.config.actions import Place
from signalpost.delivery.client import Client
from signalpost.errors import UnavailableError
from signalpost.events import HandshakeRequest, MessageData
from signalpost.signals.permissions import Asker

Getter = Callable[[Any], Any]
"""Returns the value of a name, for a `Run`, or for a `signalpost.signals.permissions.Question`."""


def _client(client: Client | Asker) -> dict[str, Any]:
    return {"id": client.id, "path": client.path, "groups": sorted(client.groups)}


def _sender(run: Run) -> dict[str, Any]:
    return _client(run.event.client)


def _client_of_request(run: Run) -> dict[str, Any] | None:
    client: Client | None = run.event.client
    return None if client is None else _client(client)


def _clients(run: Run) -> list[dict[str, Any]]:
    own = getattr(run.event, "client", None)  # the client that may be arriving
    return [_client(client) for client in run.event.shared.clients.values() if not client.arriving or client is own]


MESSAGE_KEYS = frozenset({"message", "path", "clientId", "group", "direct", "ref"})
"""Keys that `data` of a signal always has, besides the client's own."""


def _message(run: Run) -> dict[str, Any]:
    return _document(run.event.data)


def _document(data: MessageData) -> dict[str, Any]:
    """Return the client's whole message, in canonical spelling; missing known keys are null."""
    return {
        **data.document,
        "message": data.message,
        "path": data.path,
        "clientId": data.client_id,
        "group": data.group,
        "direct": data.direct,
        "ref": data.ref,
    }  # `user`, where it is a known key, is in the document


def _handshake(run: Run) -> Mapping[str, Any]:
    request: HandshakeRequest = run.event.request
    return request.seen()


def _web(run: Run) -> Mapping[str, Any]:
    return run.request.seen if run.request is not None else {}


def _body(run: Run) -> Any:
    return run.request.data if run.request is not None else None


def _history(run: Run) -> Callable[..., list[Any]]:
    def history(path: str, n: int = 100) -> list[Any]:
        """Return the newest values that were sent to a path, oldest first."""
        try:
            return [kept.value for kept in run.event.history(path, limit=n).values]
        except (LookupError, UnavailableError) as error:
            raise OptionError(str(error)) from None

    return history


def _presence(run: Run) -> Callable[..., list[Any]]:
    def presence(path: str) -> list[Any]:
        """Return who is on a path."""
        try:
            return [asdict(each) for each in run.event.presence(path)]
        except UnavailableError as error:
            raise OptionError(str(error)) from None

    return presence


def _present(run: Run) -> list[Any]:
    return [asdict(each) for each in run.event.presence()]


_ANYWHERE: Mapping[str, Getter] = {
    "history": _history,
    "presence": _presence,
    "now": attrgetter("now"),
    "timestamp": attrgetter("timestamp"),
    "clients": _clients,
    "state": attrgetter("event.shared.state.view"),
    "matched": attrgetter("matched"),
}
_OF_CLIENT: Mapping[str, Getter] = {
    **_ANYWHERE,
    "present": _present,
    "path": attrgetter("event.path"),
    "params": attrgetter("event.params"),
    "client": _sender,
    "request": _handshake,
}

GETTERS: Mapping[Place, Mapping[str, Getter]] = {
    Place.SIGNAL: {
        **_OF_CLIENT,
        "message": attrgetter("event.data.message"),
        "data": _message,
        "group": attrgetter("event.data.group"),
    },
    Place.CONNECTED: _OF_CLIENT,
    Place.DISCONNECTED: {**_OF_CLIENT, "code": attrgetter("event.code")},
    Place.ROUTE: {
        **_ANYWHERE,
        "path": attrgetter("event.path"),
        "params": attrgetter("event.params"),
        "client": _client_of_request,
        "data": _body,
        "request": _web,
    },
    Place.JOB: {
        **_ANYWHERE,
        "run": attrgetter("event.run"),
        "due": attrgetter("event.due"),
        "arguments": attrgetter("event.arguments"),
    },
    Place.FEED: {
        **_ANYWHERE,
        "feed": attrgetter("event.name"),
        "message": attrgetter("event.message"),
        "text": attrgetter("event.text"),
        "data": attrgetter("event.data"),
    },
}
"""The names for each place, except ``settings``, which the plan knows, and the variables of loops."""

OF_IDENTITY: Mapping[str, Getter] = {"user": attrgetter("event.user"), "claims": attrgetter("event.claims")}
"""The names for who a client is, where clients have an identity."""

WITH_IDENTITY = frozenset({Place.SIGNAL, Place.CONNECTED, Place.DISCONNECTED, Place.ROUTE})
"""The places where there is a client, or a request."""

OF_PERMISSIONS: Mapping[str, Getter] = {
    "user": attrgetter("identity.user"),
    "claims": attrgetter("identity.claims"),
    "path": attrgetter("path"),
    "params": attrgetter("params"),
    "request": lambda question: {} if question.seen is None else question.seen(),
    "now": attrgetter("now"),
    "state": attrgetter("shared.state.view"),
}
"""The names of every expression in ``may``."""

OF_SIGNAL_PERMISSIONS: Mapping[str, Getter] = {**OF_PERMISSIONS, "client": lambda question: _client(question.client)}
"""The same at a signal."""

OF_MESSAGE_PERMISSIONS: Mapping[str, Getter] = {
    **OF_SIGNAL_PERMISSIONS,
    "message": attrgetter("data.message"),
    "data": lambda question: _document(question.data),
    "group": attrgetter("data.group"),
}
"""The same where there is a message."""

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "client": frozenset({"id", "path", "groups"}),
    "request": frozenset({"method", "path", "query", "headers", "peer", "scheme", "host"}),
}
"""All attributes of these names, so that a misspelt one is found at check time."""


def variable(name: str) -> Getter:
    """Return the getter of a loop's variable."""
    return lambda run: run.variables[name]


def constant(value: Any) -> Getter:
    """Return the getter of a constant."""
    return lambda _run: value
