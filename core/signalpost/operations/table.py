"""All operations."""

from collections.abc import Mapping

from signalpost.operations.moderating import DISCONNECT, JOIN, LEAVE, REVOKE
from signalpost.operations.operation import Operation
from signalpost.operations.publishing import PUBLISH
from signalpost.operations.reading import CLIENTS, HISTORY, INFO, PRESENCE
from signalpost.operations.watching import SIGNALS

OPERATIONS: Mapping[str, Operation] = {
    each.name: each for each in (PUBLISH, HISTORY, PRESENCE, CLIENTS, SIGNALS, INFO, DISCONNECT, REVOKE, JOIN, LEAVE)
}
"""By name."""
