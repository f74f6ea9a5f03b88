"""The hooks: what a plugin may implement besides handlers. This module is their catalogue.

A plugin marks an implementation with `hookimpl` and names the arguments it wants, as many of them as it needs. Hooks
that have no arguments are asked once, after the plugin's module was imported, what the plugin offers: these are plain
``def``. The others may be ``def`` or ``async def``. Each is called on its own: what it raises is logged with plugin,
hook and file, and stops nobody else. Plugins are called in the order they were found, at shutdown in the reverse order.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import pluggy

from signalpost.delivery.client import Client
from signalpost.events import HandshakeRequest, MessageData
from signalpost.handlers import Handler
from signalpost.plugins.action import Action
from signalpost.plugins.context import PluginContext
from signalpost.plugins.marks import record
from signalpost.signals.messagefilters import Outgoing

F = TypeVar("F", bound=Callable[..., Any])

PROJECT = "signalpost"

hookspec = pluggy.HookspecMarker(PROJECT)


class HookMarker:
    """Marks implementations of hooks as pluggy does, and remembers in their module that it did.

    A decorator above may keep the function under no name; the hook would never be called, and nobody would know.
    """

    def __init__(self, project: str) -> None:
        self._mark = pluggy.HookimplMarker(project)

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self, function: None = None, /, *, tryfirst: bool = False, trylast: bool = False, specname: str | None = None
    ) -> Callable[[F], F]: ...

    def __call__(self, function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
        """Mark a function, or give what marks one; the options are pluggy's."""

        def mark(function: F) -> F:
            marked = self._mark(function, **options)
            record(marked)
            return marked

        return mark if function is None else mark(function)


hookimpl = HookMarker(PROJECT)


@hookspec
def register_handlers() -> list[Handler]:  # type: ignore[empty-body]  # pluggy never calls a specification
    """Return handlers that the plugin makes by itself, besides its decorated functions.

    For handlers whose number or names are only known at load: one for every platform of a station, say.

    Returns:
        handlers; `Handler.plugin` and `Handler.where` may be left out.

    """


@hookspec
def register_actions() -> list[Action]:  # type: ignore[empty-body]
    """Return actions that the plugin makes by itself, besides its decorated functions.

    Returns:
        actions; of their fields `name`, `function` and `schema` are the plugin's.

    """


@hookspec
def template_globals() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return what templates may name besides the names that they have by themselves.

    Returns:
        values and plain functions by name. Templates see what they are at load: what changes belongs into the state.

    """


@hookspec
def template_filters() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return filters for templates: ``{{ 90 | in_words }}`` calls ``in_words(90)``.

    Returns:
        plain functions by name.

    """


@hookspec
def settings_schema() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return what the plugin's settings may be, so that routes.yaml is checked and editors know them.

    Returns:
        a JSON Schema (draft 2020-12) of the mapping under ``plugins: settings:``. A ``default`` of one of its
        ``properties`` stands in `PluginContext.settings` where routes.yaml says nothing.

    """


@hookspec
def exclusive() -> bool:  # type: ignore[empty-body]
    """Return whether the instance at work is shut down before its successor starts, when the plugin has changed.

    For what only one can hold: a port, a lock on a file, a file that `shutdown` writes and `startup` reads. Meanwhile
    no handler of a signal begins. If the successor cannot start, the one before is started again.

    Returns:
        True; without the hook a successor starts first, so that one that fails leaves the one before at work.

    """


@hookspec
def startup(context: PluginContext) -> None:
    """Set the plugin up; called once the server's loop runs and before it listens.

    Args:
        context: the plugin's own; it stays valid until after `shutdown`.

    """


@hookspec
def shutdown(context: PluginContext) -> None:
    """Put away what `startup` made; called after the last client has gone and before the plugin's tasks are cancelled.

    Args:
        context: the same as at `startup`.

    """


@hookspec
def client_connected(client: Client, request: HandshakeRequest) -> None:
    """Let a client in, whose WebSocket is open; ``client.close()`` refuses it.

    Until all implementations have ended, the client is in no audience and its messages are not read. An ``async def``
    keeps this client waiting, for as long as ``limits.handshake`` at most, and nobody else.

    Args:
        client: `id`, `path`, `params`, `groups`, `data`, `join(group)`, `leave(group)`, `close(code, reason)`.
        request: its handshake: `headers`, `query`, `path`, `peer`.

    """


@hookspec
def client_disconnected(client: Client, code: int) -> None:
    """Called when a client has gone; called once, and after its `client_connected` has ended.

    Args:
        client: as it was; nothing reaches it any more.
        code: how the connection ended (RFC 6455 section 7.4; 4008 too slow, 4009 kicked by a handler).

    """


@hookspec
def on_error(error: BaseException, what: str, plugin: str, event: Any, client: Client | None) -> None:
    """Called when code of any plugin has raised something, besides the line in the log.

    Args:
        error: as it was raised.
        what: raised it, as the log names it: ``handler "shout" of plugin chat (plugins/chat.py:7)``.
        plugin: the name of that plugin.
        event: what the handler or action was given; None for hooks and tasks.
        client: whose message, arrival or leaving it was about, if anybody's.

    """


@hookspec
def filter_message(message: MessageData, client: Client) -> None:
    """Judge every message of every client, on all signals, before anything becomes of it.

    A plain ``def``: everybody waits meanwhile. What it raises besides `signalpost.Veto` is logged, and refuses the
    message: a filter that fails lets nothing pass.

    Args:
        message: as its schema has let it pass; what is assigned to its fields takes their place. On a signal with
            ``format: raw`` its `message` is text or bytes.
        client: the sender.

    """


@hookspec
def filter_broadcast(outgoing: Outgoing) -> None:
    """Judge every value before it is sent, whoever sends it: clients, handlers, actions, jobs and routes.

    A plain ``def``, as `filter_message`. A `signalpost.Veto` keeps it back; if it is a client's message that is passed
    on, the client is told why, else the receipt counts nobody.

    Args:
        outgoing: what is sent, and to whom; another `value` may be put into it.

    """
