"""A message's way in words: how it was read, who may, what was decided; as `signalpost try` and the console show it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from signalpost.config.authmodel import Verb
from signalpost.config.model import MessageFormat
from signalpost.delivery.target import Receipt, Target
from signalpost.errors import ClientError, ErrorCode
from signalpost.handlers import Handler
from signalpost.paths import path_of
from signalpost.plan.rulings import said
from signalpost.signals.decide import Answer, Decision, Deliver, Ignore, Reject
from signalpost.signals.message import ClientMessage
from signalpost.signals.permissions import Judgement
from signalpost.signals.rule import RELAY, SignalRule
from signalpost.signals.watching import Way

Facts = Iterator[tuple[str, str]]
"""A label and what is said of it; an empty label goes on with the one before."""

OBJECT_HINT: Final = """what a client sends is a JSON object, such as '{"message": "hello"}'"""
RAW: Final = "nothing: raw frames are relayed as they are"


def signal_does(rule: SignalRule) -> str:
    """Return what happens to a message: ``handler shout (chat)``, ``re-broadcast to everyone; connected: reply``."""
    lists = (("connected", rule.connected), ("disconnected", rule.disconnected))
    return "; ".join([_message_does(rule), *(f"{name}: {do}" for name, do in lists if do is not None)])


def _message_does(rule: SignalRule) -> str:
    if rule.reaction != RELAY:
        return action_does(rule.handler or rule.do)
    verb = "relays frames" if rule.config.format is MessageFormat.RAW else "re-broadcast"
    return f"{verb} to {rule.config.rebroadcast.value}"


def action_does(action: object) -> str:
    """Return what a job or a route without a page runs: ``handler tick (clock)``, ``if, broadcast``."""
    return f"handler {action.name} ({action.plugin})" if isinstance(action, Handler) else str(action)


def as_json(value: Any) -> str:
    """Return a value as people write it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def read_facts(rule: SignalRule, message: ClientMessage | None, error: ClientError | None) -> Facts:
    """Yield how a message was read, and what its schema says.

    Args:
        rule: by which it is judged.
        message: as it was read; None if it could not be.
        error: why it came no further; None if it did.
    """
    if _is_raw(rule):
        yield "decode", RAW
        return
    if message is None:
        if error is not None:
            yield "decode", refused(error)
            yield "", OBJECT_HINT
        return
    yield "decode", decoded(message)
    if error is not None and error.code == ErrorCode.SCHEMA_MISMATCH:
        yield "schema", refused(error)
    else:
        yield "schema", "none: every message passes" if rule.gate is None else "passes"


def judged_facts(judgements: Iterable[tuple[Verb, Judgement]]) -> Facts:
    """Yield which permissions were asked, and the line that decided each."""
    for verb, judgement in judgements:
        yield verb.value, f"{'yes' if judgement.allowed else 'no'}: {said(verb, judgement)}"


def facts_of(way: Way) -> Facts:
    """Yield all that is known of a message that was recorded."""
    yield from read_facts(way.rule, way.message, way.error)
    yield from judged_facts(way.judgements)
    if way.stopped and way.decision is None:
        yield "filter", "stopped by a plugin"
    if way.decision is not None:
        yield "decide", decided(way.rule, way.decision)
    elif way.error is not None and way.error.code != ErrorCode.SCHEMA_MISMATCH and (way.message or _is_raw(way.rule)):
        yield "decide", refused(way.error)
    if way.decision is not None and way.error is not None:
        yield "then", refused(way.error)
    if way.seconds is not None:
        yield "took", f"{way.seconds * 1000:.1f} ms"
    yield from _receivers(way.decision, way.published, way.error)


def _is_raw(rule: SignalRule) -> bool:
    return rule.config.format is MessageFormat.RAW


def _receivers(
    decision: Decision | None, published: Sequence[tuple[Target, Receipt]], error: ClientError | None
) -> Facts:
    if isinstance(decision, Answer) and error is None:
        yield "receivers", "1 client: the sender"
    for target, receipt in published:
        slow = f", {receipt.dropped:,} of them too slow" if receipt.dropped else ""
        clients = f"{receipt.matched:,} client{'' if receipt.matched == 1 else 's'} here"
        yield "receivers", f"{clients}{slow}: {named(target)}"
    if not published and not isinstance(decision, Answer) and (error is not None or decision is not None):
        yield "receivers", "nobody"


def decoded(message: ClientMessage) -> str:
    """Return what a message was read as."""
    asked = {requested.value: value for requested, value in zip(message.requested(), _wished(message), strict=True)}
    requested = ", ".join(f"{name} = {as_json(value)}" for name, value in asked.items())
    return f"message = {as_json(message.message)}; asks for {requested or 'nothing'}"


def _wished(message: ClientMessage) -> list[Any]:
    known = (message.path, message.client_id, message.group, message.direct or None, message.user)
    return [value for value in known if value is not None]


def refused(error: ClientError) -> str:
    """Return why a message came no further."""
    return f"refused: {error.code}{f' at {error.pointer}' if error.pointer else ''}: {error.detail}"


def decided(rule: SignalRule, decision: Decision) -> str:
    """Return what was decided of a message."""
    match decision:
        case Reject(error):
            return refused(error)
        case Deliver(target):
            return f"re-broadcast to {named(target)}"
        case Answer():
            return "re-broadcast to the sender"
        case Ignore():
            return "nothing: the message is empty" if rule.config.rebroadcast.value != "none" else "nothing"
    return "its actions, in their order" if rule.do is not None else signal_does(rule)


def named(target: Target) -> str:
    """Return whom a target means."""
    words = [
        *([] if target.path is None else [f"on {path_of(target.path)}"]),
        *([] if target.groups is None else [f"of group {' or '.join(sorted(target.groups)) or '(none)'}"]),
        *([] if target.client is None else [f"whose id is {target.client}"]),
        *([] if target.user is None else [f"of user {target.user}"]),
    ]
    clients = f"clients {' and '.join(words)}" if words else "everyone"
    return f"{clients} but the sender" if target.excluding is not None else clients
