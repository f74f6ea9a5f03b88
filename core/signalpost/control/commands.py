"""What can be asked of a running server, by commands.

Each operation of the API (`signalpost.operations`) is a command of the same name, `revoke` with another answer. The
others are functions here.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from signalpost.control.protocol import ControlError
from signalpost.jobstatus import shown_job
from signalpost.node import Node
from signalpost.operations.moderating import DISCONNECT, REVOKE
from signalpost.operations.operation import Caller, Operation, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.table import OPERATIONS
from signalpost.signals.moderation import Moderation
from signalpost.words import among, listing

MOST_SHOWN = 1_000
"""Bans and revocations that one answer shows."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as a command sees it.

    Attributes:
        operator: does operations on the node that is asked.
        by: who asks, for the log.
        options: by name.
    """

    operator: Operator
    by: str
    options: Mapping[str, Any]

    @property
    def node(self) -> Node:
        """The node that is asked."""
        return self.operator.node

    def text(self, name: str) -> str | None:
        """Return an option that is a text; None without it."""
        value: str | None = self._of(name, str, "a text")
        return value

    def needed(self, name: str) -> str:
        """Return an option that must be there."""
        value = self.text(name)
        if value is None:
            raise ControlError("bad-request", f"{name} is missing")
        return value

    def whole(self, name: str, default: int) -> int:
        """Return an option that is a whole number."""
        value = self._of(name, int, "a whole number")
        return default if value is None else value

    def number(self, name: str) -> float | None:
        """Return an option that is a number; None without it."""
        value = self._of(name, (int, float), "a number")
        return None if value is None else float(value)

    def _of(self, name: str, kind: type | tuple[type, ...], word: str) -> Any:
        value = self.options.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ControlError("bad-request", f"{name} is {word}")
        return value


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be asked.

    Attributes:
        options: that it knows.
        function: returns the answer; may raise `ControlError`, TypeError, ValueError and `OperatorError`.
    """

    options: frozenset[str]
    function: Callable[[Request], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


async def _operation(operation: Operation, request: Request) -> Mapping[str, Any]:
    """Do an operation, which other programs may ask for over HTTP, too."""
    try:
        found: Mapping[str, Any] = await operation.run(request.operator, Caller(request.by), request.options)
    except OperationError as error:
        where = f"{error.pointer[1:]}: " if error.pointer else ""
        raise ControlError("bad-request" if error.code == "bad-request" else "refused", where + error.detail) from None
    return found


async def _closing(operation: Operation, request: Request) -> Mapping[str, Any]:
    told = dict(await _operation(operation, request))
    return {"closed": told.pop("matched"), **told}


def _ban(request: Request) -> Mapping[str, Any]:
    lasting = {} if (seconds := request.number("seconds")) is None else {"seconds": seconds}
    reason = request.text("reason") or ""
    moderation = request.node.moderation
    closed = moderation.ban(request.needed("user"), reason=reason, by=request.by, **lasting)
    return {"closed": closed, **_others(moderation)}


def _unban(request: Request) -> Mapping[str, Any]:
    moderation = request.node.moderation
    return {"lifted": moderation.unban(request.needed("user"), by=request.by), **_others(moderation)}


def _unrevoke(request: Request) -> Mapping[str, Any]:
    user, token_id = request.text("user"), request.text("token_id")
    moderation = request.node.moderation
    return {"lifted": moderation.unrevoke(by=request.by, user=user, token_id=token_id), **_others(moderation)}


def _others(moderation: Moderation) -> Mapping[str, bool]:
    """Return whether other nodes are told at once, if there are any: the counts are of this node's clients."""
    known = moderation.others_know
    return {} if known is None else {"others": known}


def _revoked(request: Request) -> Mapping[str, Any]:
    revocations = request.node.moderation.revocations
    revocations.forget_ended()
    rows = revocations.rows()
    shown = [
        {"kind": key.kind, "name": key.name, "before": row.before, "until": row.until}
        for key, row in islice(rows.items(), MOST_SHOWN)
    ]
    return {"revoked": shown, "count": len(rows)}


def _options(operation: Operation) -> frozenset[str]:
    arguments = operation.arguments
    return frozenset(arguments.get("else", arguments)["properties"])


def _jobs(request: Request) -> Mapping[str, Any]:
    jobs, masked = request.node.shared.services.jobs, request.node.generation.plan.config.source.masked
    return {"jobs": [] if jobs is None else [shown_job(status, masked) for status in jobs.statuses()]}


COMMANDS: Mapping[str, Command] = {
    **{each.name: Command(_options(each), partial(_operation, each)) for each in OPERATIONS.values()},
    "kick": Command(_options(DISCONNECT), partial(_closing, DISCONNECT)),
    "revoke": Command(_options(REVOKE), partial(_closing, REVOKE)),
    "ban": Command(frozenset({"user", "seconds", "reason"}), _ban),
    "unban": Command(frozenset({"user"}), _unban),
    "unrevoke": Command(frozenset({"user", "token_id"}), _unrevoke),
    "revoked": Command(frozenset(), _revoked),
    "jobs": Command(frozenset(), _jobs),
}


async def run_command(name: str, request: Request) -> Mapping[str, Any]:
    """Do what is asked, and return the answer.

    Raises:
        ControlError: the command is unknown, or knows no such option.
        TypeError: an option is of the wrong type; likewise ValueError.
        OperatorError: it cannot be done.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise ControlError(
            "unknown-command", f"this server does not know how to {name[:40]!r} (known: {listing(COMMANDS)})"
        )
    for option in request.options.keys() - command.options:
        raise ControlError(
            "bad-request", f"{name} has no option {option[:40]!r}{among(option, sorted(command.options))}"
        )
    answer = command.function(request)
    return await answer if inspect.isawaitable(answer) else answer
