"""A signal's rule: what becomes of the messages that arrive on one WebSocket path, resolved and checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from signalpost.config.model import MessageFormat, Rebroadcast, SignalConfig
from signalpost.foreign import Code
from signalpost.handlers import Handler
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.signals.messagefilters import Filters

_SHORT = (Rebroadcast.EVERYONE, Rebroadcast.SENDER)


class Program(Protocol):
    """A compiled list of actions; see `signalpost.actions.program.Program`, which is a layer above.

    Its text names its steps: ``if, broadcast``.
    """

    @property
    def waits(self) -> bool:
        """Whether it must be awaited."""

    @property
    def foreign(self) -> bool:
        """Whether code of plugins may be run by it."""

    @property
    def calls(self) -> frozenset[str]:
        """The names of handlers that it may call."""

    def run(self, event: Any) -> Any:
        """Do all steps at once; for a program that does not wait.

        Raises:
            StepFailedError: a step failed, and the rest was not done.

        """

    async def run_async(self, event: Any, *, charge: Callable[[float], None] | None = None) -> Any:
        """Do all steps, waiting where one waits; `charge` is told of the seconds that they worked.

        Raises:
            StepFailedError: a step failed, and the rest was not done.

        """


@dataclass(frozen=True, slots=True)
class Relay:
    """Re-broadcast the message: to whom it asks for, or as `SignalConfig.rebroadcast` says."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a plugin's handler.

    Attributes:
        code: what the log calls it.

    """

    handler: Handler
    code: Code = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", self.handler.code)  # made once, not for each message


@dataclass(frozen=True, slots=True)
class Do:
    """Do a list of actions."""

    program: Program


Reaction = Relay | Call | Do

RELAY = Relay()


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One signal of the plan.

    Attributes:
        config: what routes.yaml, or a plugin's decorator, says of it.
        owner: who declared it: ``routes.yaml:14``, or a plugin's name.
        endpoints: names of the endpoints that serve it; never empty.
        reaction: what is done with a message.
        gate: judges the client's whole message object; None lets every message pass.
        connected: what is done when a client has come; `disconnected`, when it is gone. If one of them or the reaction
            is a list that waits, all are done in a task, in their order.
        filters: what plugins say of messages; None where no plugin has one.
        declared: whether routes.yaml or a plugin declares it; else it is what becomes of all other paths.
        shortcut: everyone or the sender, where a message that asks for nothing goes there and needs no deciding; worked
            out once, for what is done with most messages.
        work: what is done with a message, for whoever waits for that: ``handler shout of plugin chat``.

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
    shortcut: Rebroadcast | None = field(init=False, compare=False)
    work: str = field(init=False, compare=False)

    def __repr__(self) -> str:
        return f"SignalRule({self.owner})"  # what it holds may be a secret: its path, what its steps send

    def __post_init__(self) -> None:
        plain = self.reaction == RELAY and self.config.format is MessageFormat.JSON and self.filters is None
        goes = self.config.rebroadcast if plain and self.config.rebroadcast in _SHORT else None
        object.__setattr__(self, "shortcut", goes)  # the way of a frozen dataclass
        object.__setattr__(self, "work", self._work())

    @property
    def handler(self) -> Handler | None:
        """The plugin's handler that is called with a message."""
        return self.reaction.handler if isinstance(self.reaction, Call) else None

    @property
    def do(self) -> Program | None:
        """The list of actions that is done with a message."""
        return self.reaction.program if isinstance(self.reaction, Do) else None

    @property
    def code(self) -> Code | None:
        """What the log calls its handler."""
        return self.reaction.code if isinstance(self.reaction, Call) else None

    @property
    def cancel_when_gone(self) -> bool:
        """Whether its handler is cancelled when the client goes, and what the client still has waiting is dropped."""
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
