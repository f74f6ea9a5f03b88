"""Messages from elsewhere: check a client's message against the signals of the paths that would receive it.

A signal is a *ward* of its own if it accepts nothing from clients on other paths (`from_elsewhere`) or has a schema.
All other clients share the open ward. Server-side broadcasts are the app's own and are not checked.
"""

from typing import Any

from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.errors import ClientError, ErrorCode
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.signals.message import ClientMessage
from signalpost.signals.table import ResolvedPath, SignalTable

_ADDRESS = frozenset({"path", "clientId", "group", "direct"})


def guard_for(table: SignalTable, hub: Hub, *, alone: bool = True) -> "ElsewhereGuard | None":
    """Return the guard of a table; None if no signal requires one."""
    return ElsewhereGuard(table, hub, alone=alone) if table.guarded else None


class ElsewhereGuard:
    """Checks clients' messages for the signals of paths other than their own.

    Args:
        table: of the current plan.
        hub: of the clients.
        alone: whether all clients are here: a ward without clients here may have some elsewhere.
    """

    __slots__ = ("_alone", "_closed", "_gates", "_hub", "_table")

    def __init__(self, table: SignalTable, hub: Hub, *, alone: bool = True) -> None:
        self._alone = alone
        self._table = table
        self._hub = hub
        self._closed = frozenset(ward for ward, rule in table.wards.items() if not rule.config.open_to_others)
        self._gates = _distinct(table)

    @property
    def closed(self) -> frozenset[str]:
        """The wards with clients that accept nothing from elsewhere."""
        return frozenset(ward for ward in self._closed if self._may_have(ward))

    def _may_have(self, ward: str) -> bool:
        """Return whether a ward may have clients."""
        return not self._alone or self._hub.has_ward(ward)

    def refusal(self, message: ClientMessage, client: Client, *, judged: bool) -> ClientError | None:
        """Return why a message must not reach its requested target; None if it may, or if `refused` decides that.

        Args:
            message: that requests a target.
            client: its sender.
            judged: whether the value that arrives is the message's own, so that the schemas there apply to it.
        """
        if message.direct:
            return None
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
        gate = there.rule.gate
        if gate is None or not judged or gate.accepts(document := document_of(message)):
            return None
        rejection = gate.explain(document)
        text = f"the signal there does not take it: {rejection.detail}"
        return ClientError(ErrorCode.SCHEMA_MISMATCH, text, rejection.pointer)

    def _of_client(self, client_id: str) -> ResolvedPath | None:
        client = self._hub.find(client_id)
        return None if client is None else self._table.resolve(client.endpoint.name, client.path)

    def refused(self, client: Client, document: dict[str, Any] | None) -> frozenset[str]:
        """Return the wards whose clients do not receive a message to everyone, or to groups.

        Each schema validates once, and only if it has clients. A message always arrives at its sender's own path.

        Args:
            client: the sender.
            document: the message without the keys of its target; None is a raw frame, which fits no schema.
        """
        refused = self.closed
        for gate, wards in self._gates:
            there = [ward for ward in wards if ward != client.ward and self._may_have(ward)]
            if there and (document is None or not gate.accepts(document)):
                refused = refused.union(there)
        return refused


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
