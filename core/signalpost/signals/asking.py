"""What a client is told that asks the server for a history, or for who is there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from signalpost.config.authmodel import Verb
from signalpost.delivery.client import Client
from signalpost.errors import ClientError, ErrorCode, UnavailableError
from signalpost.history.stream import Stream
from signalpost.paths import Place
from signalpost.signals.host import Host
from signalpost.signals.message import RESERVED, RejectedMessageError
from signalpost.signals.permissions import Question
from signalpost.signals.requests import ServerRequest, UnknownPositionError, history_body, read_history


class Asking(Protocol):
    """Who asks: a `signalpost.signals.conversation.Conversation`, which documents each."""

    client: Client

    def question(self) -> Question:
        """Return the question whether this client may do something on its path."""

    def may(self, verb: Verb) -> bool:
        """Return whether the client may do something on its path."""


def answer(conversation: Asking, host: Host, request: ServerRequest) -> Mapping[str, Any]:
    """Return what a client is told that asks for the history, or who is there.

    Raises:
        RejectedMessageError: it may not ask for that, or there is none.
    """
    client, memory = conversation.client, host.memory
    place = _asked_place(conversation, host, request)
    body: Mapping[str, Any] | None = None
    if request.kind == "presence":
        try:
            body = memory.presence.whole(place)
        except UnavailableError:
            raise _not_yet(request) from None
    elif (stream := _stream_of(conversation, host, place, request)) is not None:
        try:
            found = read_history(stream, client.session, request.limit, request.before, request.after)
        except UnknownPositionError as error:
            pointer = f"/{RESERVED}/history/{'after' if request.before is None else 'before'}"
            unknown = ClientError(ErrorCode.UNKNOWN_POSITION, str(error), pointer)
            raise RejectedMessageError(unknown, request.ref) from None
        body = history_body(stream, found)
    if body is None:
        text = f"this signal has no {request.kind}"
        none = ClientError(ErrorCode.UNKNOWN_REQUEST, text, f"/{RESERVED}/{request.kind}")
        raise RejectedMessageError(none, request.ref)
    return body


def _stream_of(conversation: Asking, host: Host, place: Place, request: ServerRequest) -> Stream | None:
    """Return the stream that a request asks for; None if nothing is kept there.

    Raises:
        RejectedMessageError: it has yet to be read from the backplane.
    """
    try:
        return host.memory.stream_of(conversation.client, place)
    except UnavailableError:
        raise _not_yet(request) from None


def _asked_place(conversation: Asking, host: Host, request: ServerRequest) -> Place:
    """Return the place that a request asks for: the client's own, or another one whose signal says who may.

    Raises:
        RejectedMessageError: the client may not ask for it.
    """
    client, verb = conversation.client, Verb(request.kind)
    own = request.path is None or host.broadcaster.canonical_path_for(client)(request.path) == client.place
    if own and conversation.may(verb):
        return client.place
    there = None if own or request.path is None else host.resolve(client.endpoint.name, request.path)
    permits = None if there is None else there.rule.permits
    if there is not None and permits is not None and verb in permits.rules:
        question = replace(conversation.question(), path=there.path, params=there.params)
        if permits.allow(verb, question, host.admitter.failures.add):
            return there.place
    text = f"you may not ask for the {request.kind} of this path" if own else "a client may ask for its own path only"
    pointer = f"/{RESERVED}/{request.kind}{'' if own else '/path'}"
    raise RejectedMessageError(ClientError(ErrorCode.FORBIDDEN, text, pointer), request.ref)


def _not_yet(request: ServerRequest) -> RejectedMessageError:
    """Return the answer to a request for what is being read from the backplane."""
    later = ClientError(ErrorCode.UNAVAILABLE, "this is not known here yet; ask again in a moment")
    return RejectedMessageError(later, request.ref)
