"""Read what the signals of a node do: rates are the differences of two answers."""

import time
from dataclasses import asdict
from typing import Any

from signalpost.config.authmodel import KeyPermission
from signalpost.operations.operation import Arguments, Caller, Operation
from signalpost.operations.operator import Operator
from signalpost.operations.shapes import COMPLETE, closed, listed, text, told, whole
from signalpost.signals.counts import NO_PATH, UNDECLARED


async def _signals(operator: Operator, caller: Caller, _given: Arguments) -> Any:
    caller.require_path(None)
    node = operator.node
    return {
        "node": operator.tag,
        "seconds": time.monotonic(),
        "signals": [asdict(each) for each in node.signals()],
        "complete": node.alone,
    }


_SIGNAL = {
    "signal": told(
        text(f"Its path as declared; {UNDECLARED} and {NO_PATH} are what belongs to no signal.", "/rooms/<room>")
    ),
    "clients": whole("Connected now.", 0),
    "waiting": whole("Bytes that wait until they read.", 0),
    "messages": whole("That clients have sent, whatever became of them.", 0),
    "broadcasts": whole("Values that were published.", 0),
    "deliveries": whole("How many times one of these was queued for a client.", 0),
}

SIGNALS = Operation(
    "signals",
    "Read what each signal of this node does.",
    KeyPermission.CLIENTS,
    reads=True,
    arguments=closed({}),
    answer=closed(
        {
            "node": {"type": "string", "description": "The node that answers."},
            "seconds": {"type": "number", "description": "When it was counted, by a clock that only runs on."},
            "signals": listed(closed(_SIGNAL, tuple(_SIGNAL)), "In the order of routes.yaml."),
            "complete": COMPLETE,
        },
        ("node", "seconds", "signals", "complete"),
    ),
    function=_signals,
    detail=(
        "Numbers that grow count from the first request on: rates are the differences of two answers. Of several "
        "nodes, each answers for itself: complete is false then."
    ),
)
