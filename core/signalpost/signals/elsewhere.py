"""Messages from elsewhere: check a client's message against the signals of the paths that would receive it.

A signal is a *ward* of its own if it accepts nothing from clients on other paths (`from_elsewhere`), has a schema, or
says whose messages may arrive from there (``may.target``).
All other clients share the open ward. Server-side broadcasts are the app's own and are not checked.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from signalpost.config.authmodel import Verb
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.errors import ClientError, ErrorCode
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.signals.message import ClientMessage
from signalpost.signals.permissions import Question
from signalpost.signals.table import ResolvedPath, SignalTable


def _ignore(_line: str) -> None:
    """Do nothing."""


_ADDRESS = frozenset({"path", "clientId", "group", "direct"})


_OF_A_PATH = frozenset({"params", "path"})


def guard_for(
    table: SignalTable, hub: Hub, *, alone: bool = True, tell: Callable[[str], None] = _ignore
) -> "ElsewhereGuard | None":
    """Return the guard of a table; None if no signal requires one."""
    return ElsewhereGuard(table, hub, alone=alone, tell=tell) if table.guarded else None


class ElsewhereGuard:
    """Checks clients' messages for the signals of paths other than their own.

    Args:
        table: of the current plan.
        hub: of the clients.
        alone: whether all clients are here: a ward without clients here may have some elsewhere.
        tell: called with a line for the log about each expression that failed.
    """

    __slots__ = ("_alone", "_asked", "_closed", "_gates", "_hub", "_table", "_tell")

    def __init__(
        self, table: SignalTable, hub: Hub, *, alone: bool = True, tell: Callable[[str], None] = _ignore
    ) -> None:
        self._alone = alone
        self._tell = tell
        self._table = table
        self._hub = hub
        self._closed = frozenset(ward for ward, rule in table.wards.items() if not rule.config.open_to_others)
        self._gates = _distinct(table)
        self._asked = {ward: rule for ward, rule in table.wards.items() if rule.asks(Verb.TARGET)}

    @property
    def closed(self) -> frozenset[str]:
        """The wards with clients that accept nothing from elsewhere."""
        return frozenset(ward for ward in self._closed if self._may_have(ward))

    def _may_have(self, ward: str) -> bool:
        """Return whether a ward may have clients."""
        return not self._alone or self._hub.has_ward(ward)

    def refusal(self, message: ClientMessage, question: Question, *, judged: bool) -> ClientError | None:
        """Return why a message must not reach its requested target; None if it may, or if `refused` decides that.

        Args:
            message: that requests a target.
            question: whether its sender may do something with it.
            judged: whether the value that arrives is the message's own, so that the schemas there apply to it.
        """
        if message.direct:
            return None
        client: Client = question.client
        if message.path is not None:
            there, pointer = self._table.resolve(client.endpoint.name, message.path), "/path"
        elif message.client_id is not None:
            there, pointer = self._of_client(message.client_id), "/clientId"
        else:
            return None
        if there is None or there.place == client.place:
            return None
        if not there.rule.config.open_to_others:
            text = "the signal there takes no messages from clients on other paths"
            return ClientError(ErrorCode.TARGET_NOT_ALLOWED, text, pointer)
        permits = there.rule.permits
        if permits is not None:
            asked = replace(question, path=there.path, params=there.params)
            if not permits.allow(Verb.TARGET, asked, self._tell):
                text = "you may not send messages to the signal there from other paths"
                return ClientError(ErrorCode.FORBIDDEN, text, pointer)
        gate = there.rule.gate
        if gate is None or not judged or gate.accepts(document := document_of(message)):
            return None
        rejection = gate.explain(document)
        text = f"the signal there does not take it: {rejection.detail}"
        return ClientError(ErrorCode.SCHEMA_MISMATCH, text, rejection.pointer)

    def is_beyond(self, client_id: str) -> bool:
        """Return whether a client may be at another process: which path it is on, nobody here can say."""
        return not self._alone and client_id not in self._hub.clients

    def _of_client(self, client_id: str) -> ResolvedPath | None:
        client = self._hub.find(client_id)
        return None if client is None else self._table.resolve(client.endpoint.name, client.path)

    def concerns(self, client: Client) -> bool:
        """Return whether any ward may refuse what a client says to everyone or to groups: else `refused` is empty."""
        own = client.ward
        wards = self._hub.wards  # not by `has_ward`: a call is measurable
        return not self._alone or own in self._closed or len(wards) > (own in wards)

    def refused(self, question: Question, document: dict[str, Any] | None) -> frozenset[str]:
        """Return the wards whose clients do not receive a message to everyone, or to groups.

        Each schema validates once, and only if it has clients. A message always arrives at its sender's own path.

        Args:
            question: whether its sender may do something with it.
            document: the message without the keys of its target; None is a raw frame, which fits no schema.
        """
        client: Client = question.client
        refused = self.closed.union(self.forbidden(question))
        for gate, wards in self._gates:
            there = [ward for ward in wards if ward != client.ward and self._may_have(ward)]
            if there and (document is None or not gate.accepts(document)):
                refused = refused.union(there)
        return refused

    def forbidden(self, question: Question) -> frozenset[str]:
        """Return the wards whose ``may.target`` lets nothing in that a sender says to everyone, to groups or users.

        Args:
            question: whether its sender may do something with it.
        """
        own = question.client.ward
        return frozenset(ward for ward in self._asked if ward != own and self._forbids(ward, question))

    def _forbids(self, ward: str, question: Question) -> bool:
        """Return whether a signal takes nothing from a sender that is not meant for one of its paths alone.

        What asks for the path or its parameters has no answer for all of them, so it is no.
        """
        rule = self._asked[ward]
        permits = rule.permits
        if permits is None or not self._may_have(ward):
            return False
        permission = permits.rules.get(Verb.TARGET)
        if permission is not None and permission.names & _OF_A_PATH:
            return True
        asked = replace(question, path=rule.config.path.text, params={})
        return not permits.allow(Verb.TARGET, asked, self._tell)


def document_of(message: ClientMessage) -> dict[str, Any]:
    """Return a message as a client of the receiving path would have sent it there."""
    if message.document is None:
        return {"message": message.message}
    address = _ADDRESS if message.user is None else _ADDRESS | {"user"}
    return {key: value for key, value in message.document.items() if key not in address}


def _distinct(table: SignalTable) -> tuple[tuple[SchemaGate, tuple[str, ...]], ...]:
    """Return each schema with the wards that have it, without wards that accept nothing anyway."""
    found: dict[str, tuple[SchemaGate, list[str]]] = {}
    for ward, rule in table.wards.items():
        if rule.gate is None or not rule.config.open_to_others:
            continue
        said = repr(rule.gate.document)  # unlike ==, it distinguishes 1 and true
        found.setdefault(said, (rule.gate, []))[1].append(ward)
    return tuple((gate, tuple(wards)) for gate, wards in found.values())
