"""What clients send and read on each signal of a plan, as JSON Schemas: for `signalpost types` and `asyncapi`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signalpost.config.actions import all_steps
from signalpost.config.model import MessageFormat, Rebroadcast, RequestedTarget, SignalConfig, StepConfig
from signalpost.jsonschemas.references import Names, Part
from signalpost.paths import split_path
from signalpost.plan import Plan
from signalpost.plan.actions import allowed_keys
from signalpost.signals.rule import RELAY, SignalRule
from signalpost.templates.compiler import is_template

Document = Mapping[str, Any] | bool

_TARGETS: Mapping[str, Document] = {
    RequestedTarget.PATH.value: {"type": "string"},
    RequestedTarget.CLIENT_ID.value: {"type": "string"},
    RequestedTarget.GROUP.value: {"type": "string"},
    RequestedTarget.DIRECT.value: {"type": "boolean"},
    RequestedTarget.USER.value: {"type": "string"},
}
_RESERVED = tuple(name for name in _TARGETS if name != RequestedTarget.USER.value)  # for no other use
_COMBINES = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "const", "enum"})
_SENDING = frozenset({"broadcast", "reply"})


@dataclass(frozen=True, slots=True)
class SignalContract:
    """One signal.

    Attributes:
        rule: of the plan.
        path: its pattern, with secrets hidden.
        message: of the whole object that clients send; None where frames are relayed unread.
        reads: of values that clients read; None if nothing is known of them.
    """

    rule: SignalRule
    path: str
    message: Part | None
    reads: Part | None


def contracts(plan: Plan, names: Names, further: Mapping[str, Document]) -> Iterator[SignalContract]:
    """Yield the contract of each signal, in the order of the plan.

    Args:
        plan: of an app.
        names: of what the schemas refer to.
        further: schemas of keys of a message that are none of the app's.
    """
    for rule in plan.signals:
        path = plan.config.source.masked(rule.config.path.text)
        if rule.config.format is MessageFormat.RAW:
            yield SignalContract(rule, path, None, _reads(plan, rule, names, path))
            continue
        document: Document = True if rule.gate is None else rule.gate.document
        whole = names.document(document, f"{path} message")
        message = whole.below(_message(rule, document, further))
        yield SignalContract(rule, path, message, _reads(plan, rule, names, path))


def _message(rule: SignalRule, document: Document, further: Mapping[str, Document]) -> Document:
    """Return the schema of a whole message: the signal's own, and the keys that it may have besides.

    Of the keys that choose a target, `SignalConfig.targets` decides which there are; what they hold, a schema may say.
    """
    if document is False:
        return False
    said = document if isinstance(document, Mapping) else {}
    if rule.gate is None:
        # A list of actions and a handler see a message's own keys, and nothing says which these are.
        said = {"required": ["message"], **({} if rule.reaction == RELAY else {"additionalProperties": True})}
    known: Mapping[str, Any] = said.get("properties", {})
    allowed = allowed_keys(said)
    asked = [name for name in _TARGETS if RequestedTarget(name) in rule.config.targets]
    denied: dict[str, Document] = {name: False for name in _RESERVED if name not in asked}
    usual: dict[str, Document] = {"message": True, **{name: _TARGETS[name] for name in asked}}
    besides = {name: schema for name, schema in usual.items() if allowed is None or name in allowed} | dict(further)
    if not _COMBINES.isdisjoint(said):
        return {"allOf": [{"type": "object", "properties": {**besides, **denied}}, said]}
    if said.get("additionalProperties") in (None, False):
        own = {name: schema for name, schema in known.items() if name not in denied}
    else:
        own = {**known, **denied}
    return {**said, "type": "object", "properties": {**besides, **own}}


def _reads(plan: Plan, rule: SignalRule, names: Names, path: str) -> Part | None:
    """Return the schema of what clients read: what the file says, or else the message, where nothing else arrives."""
    if rule.config.sends is not None:
        return names.document(rule.config.sends.document, f"{path} value")
    if rule.gate is None or not isinstance(rule.gate.document, Mapping) or not _only_relays(plan, rule):
        return None
    said = rule.gate.document
    known = said.get("properties", {})
    if not _COMBINES.isdisjoint(said) or not isinstance(known, Mapping) or "message" not in known:
        return None
    return names.document(said, f"{path} message").below(known["message"])


def _only_relays(plan: Plan, rule: SignalRule) -> bool:
    """Return whether clients of a signal read messages of clients and nothing else.

    Messages from other paths are held against the schema of this one, too (`signalpost.signals.elsewhere`). What the
    app itself sends is not, and plugins may send anything.
    """
    signal, registry = rule.config, plan.registry
    relays = rule.reaction == RELAY and signal.format is MessageFormat.JSON
    if not relays or (signal.rebroadcast is Rebroadcast.NONE and not signal.targets):
        return False
    if registry.plugins or plan.filters is not None:
        return False
    config = plan.config
    for part in config.parts:
        lists: Sequence[tuple[StepConfig, ...]] = (part.do,)
        if isinstance(part, SignalConfig):
            lists = (part.do, part.connected, part.disconnected)
        if any(_may_reach(step, rule, own=part is signal) for steps in lists for step in all_steps(steps)):
            return False
    return True


def _may_reach(step: StepConfig, rule: SignalRule, *, own: bool) -> bool:
    """Return whether clients of a signal may read what a step sends."""
    if step.name not in _SENDING or not isinstance(step.options, dict):
        return False
    path = step.options.get("path")
    if step.name == "reply" or step.options.get("to") == "sender":
        return own
    if not isinstance(path, str) or is_template(path):
        return True
    segments = split_path(path)
    return segments is not None and rule.config.path.match(segments) is not None
