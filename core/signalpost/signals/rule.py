"""A signal's rule: what happens to messages that arrive on one WebSocket path, resolved and checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from signalpost.config.authmodel import Verb
from signalpost.config.model import MessageFormat, Rebroadcast, RequestedTarget, SignalConfig
from signalpost.foreign import Code
from signalpost.handlers import Handler
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.signals.messagefilters import Filters
from signalpost.signals.permissions import Permits

_SHORT = (Rebroadcast.EVERYONE, Rebroadcast.PATH, Rebroadcast.SENDER)


class Program(Protocol):
    """A compiled list of actions; see `signalpost.actions.program.Program`, in a higher layer.

    Its text names its steps: ``if, broadcast``.
    """

    @property
    def waits(self) -> bool:
        """Whether it must be awaited."""

    @property
    def foreign(self) -> bool:
        """Whether it may run plugins' code."""

    @property
    def calls(self) -> frozenset[str]:
        """The names of handlers that it may call."""

    def run(self, event: Any) -> Any:
        """Run all steps at once; for a program that does not wait.

        Raises:
            StepFailedError: a step failed, and the rest did not run.
        """

    async def run_async(self, event: Any, *, charge: Callable[[float], None] | None = None) -> Any:
        """Run all steps, awaiting those that wait; `charge` is called with the seconds that they worked.

        Raises:
            StepFailedError: a step failed, and the rest did not run.
        """


@dataclass(frozen=True, slots=True)
class Relay:
    """Re-broadcast the message: to the target that it requests, or as `SignalConfig.rebroadcast` says."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a plugin's handler.

    Attributes:
        code: its name in the log.
    """

    handler: Handler
    code: Code = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", self.handler.code)  # created once, not per message


@dataclass(frozen=True, slots=True)
class Do:
    """Run a list of actions."""

    program: Program


Reaction = Relay | Call | Do

RELAY = Relay()


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One signal of the plan.

    Attributes:
        config: from routes.yaml or a plugin's decorator.
        owner: what declared it: ``routes.yaml:14``, or a plugin's name.
        endpoints: names of the endpoints that serve it; never empty.
        reaction: to a message.
        gate: validates the client's whole message object; None accepts every message.
        connected: runs when a client has connected; `disconnected`, when it is gone. If one of them or the reaction
            is a list that waits, all run in a task, in their order.
        filters: of plugins, for messages; None if no plugin has one.
        declared: whether routes.yaml or a plugin declares it; else it is the rule of all other paths.
        shortcut: everyone, the path or the sender, if a message without a target goes there without a decision;
            computed once, for the fast path of most messages.
        sends: judges values that clients here read; not used unless the program asks for it
            (`signalpost.signals.sends`).
        info: returns what others see of a client that connects; None is nothing (`PresenceConfig.info`).
        permits: who may do what; None is anyone everything, without a question.
        names_users: whether ``user`` is a known key of messages; computed once.
        work: names what handles a message, for logs about waiting for it: ``handler shout of plugin chat``.
    """

    config: SignalConfig
    owner: str
    endpoints: frozenset[str]
    reaction: Reaction = RELAY
    gate: SchemaGate | None = None
    connected: Program | None = None
    disconnected: Program | None = None
    filters: Filters | None = None
    declared: bool = True
    sends: SchemaGate | None = None
    info: Callable[[Any], Any] | None = field(default=None, compare=False)
    permits: Permits | None = None
    shortcut: Rebroadcast | None = field(init=False, compare=False)
    names_users: bool = field(init=False, compare=False)
    work: str = field(init=False, compare=False)

    def __repr__(self) -> str:
        return f"SignalRule({self.owner})"  # its path and what its steps send may contain a secret

    def __post_init__(self) -> None:
        plain = self.reaction == RELAY and self.config.format is MessageFormat.JSON and self.filters is None
        plain = plain and not self.asks(Verb.PUBLISH)
        goes = self.config.rebroadcast if plain and self.config.rebroadcast in _SHORT else None
        object.__setattr__(self, "shortcut", goes)  # as a frozen dataclass does it
        object.__setattr__(self, "names_users", RequestedTarget.USER in self.config.targets)
        object.__setattr__(self, "work", self._work())

    def asks(self, verb: Verb) -> bool:
        """Return whether anything must be asked before somebody does something here."""
        return self.permits is not None and self.permits.decides(verb)

    @property
    def handler(self) -> Handler | None:
        """The plugin's handler that is called with a message."""
        return self.reaction.handler if isinstance(self.reaction, Call) else None

    @property
    def do(self) -> Program | None:
        """The list of actions that runs for a message."""
        return self.reaction.program if isinstance(self.reaction, Do) else None

    @property
    def code(self) -> Code | None:
        """The name of its handler in the log."""
        return self.reaction.code if isinstance(self.reaction, Call) else None

    @property
    def cancel_when_gone(self) -> bool:
        """Whether its handler is cancelled, and the client's waiting messages dropped, when the client disconnects."""
        return self.handler is not None and self.handler.cancel_when_gone

    def _work(self) -> str:
        match self.reaction:
            case Call(handler=handler):
                return f"handler {handler.name} of plugin {handler.plugin}"
            case Do(program=program):
                calls = f" (calling {', '.join(sorted(program.calls))})" if program.calls else ""
                return f"the actions of {self.owner}{calls}"
            case _:
                return f"the re-broadcast of {self.owner}"
