"""Decide what happens to a message: pure functions that touch no client."""

from collections.abc import Callable
from dataclasses import dataclass

from signalpost.config.model import Rebroadcast, RequestedTarget
from signalpost.delivery.client import Client
from signalpost.delivery.target import EVERYONE, ClientId, Target, target_at
from signalpost.errors import ClientError, ErrorCode
from signalpost.paths import Place
from signalpost.signals.message import ClientMessage
from signalpost.signals.rule import RELAY, Call, Do, SignalRule


@dataclass(frozen=True, slots=True)
class Deliver:
    """Re-broadcast the value to a target."""

    target: Target


@dataclass(frozen=True, slots=True)
class Answer:
    """Send the value back to the sender alone: a `Deliver` that needs no lookup."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call the signal's handler."""


@dataclass(frozen=True, slots=True)
class Act:
    """Run the signal's list of actions at once: nothing in it waits."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer the sender with an error."""

    error: ClientError


@dataclass(frozen=True, slots=True)
class Ignore:
    """Do nothing, and report nothing (Pode behaviour 11)."""


Decision = Deliver | Answer | Act | Invoke | Reject | Ignore

_INVOKE = Invoke()
_IGNORE = Ignore()
_NO_MESSAGE = Reject(
    ClientError(ErrorCode.BAD_MESSAGE, 'no key "message" in it: what is to be sent stands there, {"message": …}')
)
ANSWER = Answer()
ACT = Act()
_TO_EVERYONE = Deliver(EVERYONE)


def decide(
    rule: SignalRule, client: Client, message: ClientMessage, canonical_path: Callable[[str], Place]
) -> Decision:
    """Decide what happens to a message that the schema accepted.

    Args:
        rule: of the signal that received it.
        client: its sender.
        message: as sent.
        canonical_path: converts a target's path to the place of clients' paths (`Broadcaster.canonical_path_for`).
    """
    config, empty = rule.config, message.empty
    # With a schema, an empty message is up to the schema, which accepted it; a list of actions runs for every message.
    if empty and rule.gate is None and not isinstance(rule.reaction, Do):
        goes = rule.reaction is not RELAY or config.rebroadcast is not Rebroadcast.NONE
        return _NO_MESSAGE if goes and message.strange else _IGNORE
    if message.targeted:
        for requested in message.requested():
            if requested not in config.targets:
                return Reject(_not_allowed(requested, rule))
    match rule.reaction:
        case Call():
            return _INVOKE
        case Do(program=program):
            return _INVOKE if program.waits else ACT
        case _ if empty:
            return _IGNORE
        case _ if message.targeted:
            return ANSWER if message.direct else Deliver(requested_target(message, client, canonical_path))
        case _:
            return relay(rule, client)


def relay(rule: SignalRule, client: Client) -> Decision:
    """Decide who receives a message without a target, which frames of ``format: raw`` never have.

    Args:
        rule: of the signal that received it.
        client: its sender.
    """
    match rule.config.rebroadcast:
        case Rebroadcast.EVERYONE:
            return _TO_EVERYONE
        case Rebroadcast.SENDER:
            return ANSWER
        case Rebroadcast.OTHERS:
            return Deliver(Target(excluding=(client.twin or client).id, left_out=client.session))
        case Rebroadcast.PATH:
            return Deliver(target_at(client.place))
        case Rebroadcast.GROUP:
            return Deliver(Target(groups=client.groups))
        case _:
            return _IGNORE


def requested_target(message: ClientMessage, client: Client, canonical_path: Callable[[str], Place]) -> Target:
    """Return the target that a message requests; path, id, group and user intersect (Pode behaviours 4 to 8)."""
    if message.direct:
        return Target(client=client.id)
    return Target(
        path=None if message.path is None else canonical_path(message.path),
        groups=None if message.group is None else frozenset({message.group}),
        client=None if message.client_id is None else ClientId(message.client_id),
        user=message.user,
    )


def _not_allowed(requested: RequestedTarget, rule: SignalRule) -> ClientError:
    allowed = ", ".join(target.value for target in RequestedTarget if target in rule.config.targets) or "none"
    text = f"this signal does not let a message choose its {requested.value} (allowed: {allowed})"
    return ClientError(ErrorCode.TARGET_NOT_ALLOWED, text, f"/{requested.value}")
