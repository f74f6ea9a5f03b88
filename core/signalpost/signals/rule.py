"""A signal's rule: what becomes of the messages that arrive on one WebSocket path, resolved and checked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from signalpost.config.model import MessageFormat, Rebroadcast, RequestedTarget, SlowConfig
from signalpost.events import SignalEvent
from signalpost.foreign import Code
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.paths import PathPattern
from signalpost.signals.messagefilters import Filters

_SHORT = (Rebroadcast.EVERYONE, Rebroadcast.SENDER)

SignalFunction = Callable[[SignalEvent], Awaitable[Any]]


class Program(Protocol):
    """A compiled list of actions; see `signalpost.actions.program.Program`, which is a floor above.

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
class SignalRule:
    """One signal of the plan. It holds the handler's function rather than the handler: plugins are a floor above.

    Attributes:
        pattern: the WebSocket paths it takes.
        owner: who declared it: ``routes.yaml:14``, or a plugin's name.
        endpoints: names of the endpoints that serve it; never empty.
        handler: called with every message, for `do` too; None re-broadcasts.
        handler_name: for the log; empty without a handler.
        handler_plugin: the plugin that `handler` comes from, for the log; empty without a handler.
        gate: judges the client's whole message object; None lets every message pass.
        rebroadcast: who gets a message that asks for nothing; ignored where there is a handler.
        targets: what a client may ask for.
        format: how frames are read.
        slow: what becomes of its clients that do not read as fast as they are sent to.
        parallel: how many messages of one client its handler may have at once.
        cancel_when_gone: whether its handler is cancelled when the client goes, and what the client still has waiting
            is let go.
        protocols: subprotocols that clients may have chosen for them, besides `signalpost.v1`; the first goes first.
        do: the list of actions that is done with every message, instead of a plugin's handler.
        connected: what is done when a client has come; `disconnected`, when it is gone. If one of the three waits, all
            are done in a task, in their order.
        shortcut: everyone or the sender, where a message that asks for nothing goes there and needs no deciding; worked
            out once, for what is done with most messages.
        from_elsewhere: whether messages of clients on other paths arrive here at all.
        timeout: seconds after which the handling of a message is cancelled; None is never.
        code: what the log calls `handler`, if that is a plugin's.
        filters: what plugins say of messages; None where no plugin has one.
        declared: whether routes.yaml or a plugin declares it; else it is what becomes of all other paths.
        work: what is done with a message, for whoever waits for that: ``handler shout of plugin chat``.

    """

    pattern: PathPattern
    owner: str
    endpoints: frozenset[str]
    handler: SignalFunction | None
    handler_name: str
    handler_plugin: str
    gate: SchemaGate | None
    rebroadcast: Rebroadcast
    targets: frozenset[RequestedTarget]
    format: MessageFormat
    slow: SlowConfig
    parallel: int = 1
    cancel_when_gone: bool = False
    protocols: tuple[str, ...] = ()
    do: Program | None = None
    connected: Program | None = None
    disconnected: Program | None = None
    from_elsewhere: bool = True
    declared: bool = True
    filters: Filters | None = None
    code: Code | None = None
    timeout: float | None = None
    shortcut: Rebroadcast | None = field(init=False, compare=False)
    work: str = field(init=False, compare=False)

    def __repr__(self) -> str:
        return f"SignalRule({self.owner})"  # what it holds may be a secret: its path, what its steps send

    def __post_init__(self) -> None:
        plain = self.handler is None and self.do is None and self.format is MessageFormat.JSON
        decided = plain and self.filters is None
        goes = self.rebroadcast if decided and self.rebroadcast in _SHORT else None
        object.__setattr__(self, "shortcut", goes)  # the way of a frozen dataclass
        object.__setattr__(self, "work", self._work())

    def _work(self) -> str:
        if self.do is None:
            return f"handler {self.handler_name} of plugin {self.handler_plugin}"
        calls = f" (calling {', '.join(sorted(self.do.calls))})" if self.do.calls else ""
        return f"the actions of {self.owner}{calls}"
