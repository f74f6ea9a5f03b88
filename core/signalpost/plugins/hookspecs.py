"""The hooks: what a plugin may implement in addition to handlers. This module is their catalogue.

A plugin marks an implementation with `hookimpl` and declares only the arguments that it needs. Hooks without arguments
are called once, after the import of the plugin's module, and return what the plugin offers: these are plain ``def``.
The others may be ``def`` or ``async def``. Calls are independent: an exception is logged with plugin, hook and file,
and does not affect other plugins. Plugins are called in the order in which they were found, at shutdown in the reverse
order.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import pluggy

from signalpost.auth.identity import Identity
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
    """Marks implementations of hooks like pluggy, and records that in their module.

    A decorator above may hide the function; without the record, the hook would silently never be called.
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
        """Mark a function, or return a decorator that does; the options are pluggy's."""

        def mark(function: F) -> F:
            marked = self._mark(function, **options)
            record(marked)
            return marked

        return mark if function is None else mark(function)


hookimpl = HookMarker(PROJECT)


@hookspec
def register_handlers() -> list[Handler]:  # type: ignore[empty-body]  # pluggy never calls a specification
    """Return handlers that the plugin creates itself, in addition to its decorated functions.

    For handlers whose number or names are only known at load, e.g. one for every platform of a station.

    Returns:
        handlers; `Handler.plugin` and `Handler.where` may be left out.
    """


@hookspec
def register_actions() -> list[Action]:  # type: ignore[empty-body]
    """Return actions that the plugin creates itself, in addition to its decorated functions.

    Returns:
        actions; the plugin sets their fields `name`, `function` and `schema`.
    """


@hookspec
def template_globals() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return additional names for templates.

    Returns:
        values and plain functions by name. Templates see them as they are at load: changing values belong in the state.
    """


@hookspec
def template_filters() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return filters for templates: ``{{ 90 | in_words }}`` calls ``in_words(90)``.

    Returns:
        plain functions by name.
    """


@hookspec
def settings_schema() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return the schema of the plugin's settings, for the check of routes.yaml and for editors.

    Returns:
        a JSON Schema (draft 2020-12) of the mapping under ``plugins: settings:``. A ``default`` of one of its
        ``properties`` is used in `PluginContext.settings` if routes.yaml has no value.
    """


@hookspec
def exclusive() -> bool:  # type: ignore[empty-body]
    """Return whether the current instance is shut down before its successor starts, when the plugin has changed.

    For exclusive resources: a port, a lock on a file, a file that `shutdown` writes and `startup` reads. Meanwhile no
    handler of a signal begins. If the successor cannot start, the previous instance is started again.

    Returns:
        True; without the hook a successor starts first, and if it fails, the previous instance continues.
    """


@hookspec
def startup(context: PluginContext) -> None:
    """Set the plugin up; called once the server's loop runs and before it listens.

    Args:
        context: the plugin's own; it stays valid until after `shutdown`.
    """


@hookspec
def shutdown(context: PluginContext) -> None:
    """Clean up after `startup`; called after the last client has gone and before the plugin's tasks are cancelled.

    Args:
        context: the same as at `startup`.
    """


@hookspec
def authenticate(request: HandshakeRequest) -> Identity | None:
    """Say who a client is that has shown no token: called once for each handshake, event stream, POST and request.

    The first plugin that answers counts. Raise `signalpost.UnauthorizedError` to refuse the client; its text is sent to
    it. Whatever else is raised is logged, and refuses the client as well. An ``async def`` makes only this client wait,
    at most ``limits.handshake``.

    Args:
        request: `headers`, `query`, `path`, `peer`.

    Returns:
        an identity; None for no opinion. Who is known to nobody is a guest.
    """


@hookspec
def authorize(identity: Identity, verb: str, path: str, message: Mapping[str, Any] | None) -> bool | None:
    """Decide whether somebody may do something, before ``may`` in routes.yaml does.

    A plain ``def``: everybody else waits meanwhile. Whatever it raises is logged, and is no.

    Args:
        identity: of who asks; its `user` is None for a guest.
        verb: ``connect``, ``publish``, ``target``, ``history``, ``presence``, or ``request`` on a route.
        path: where, in the declared spelling.
        message: the client's whole message for ``publish`` and ``target``; else None.

    Returns:
        True or False; None leaves it to the next plugin, and then to ``may``.
    """


@hookspec
def client_connected(client: Client, request: HandshakeRequest) -> None:
    """Admit a client whose WebSocket is open; ``client.close()`` rejects it.

    Until all implementations have ended, the client is in no audience and its messages are not read. An ``async def``
    makes only this client wait, at most ``limits.handshake``.

    Args:
        client: `id`, `path`, `params`, `groups`, `data`, `join(group)`, `leave(group)`, `close(code, reason)`.
        request: its handshake: `headers`, `query`, `path`, `peer`.
    """


@hookspec
def client_disconnected(client: Client, code: int) -> None:
    """Called once when a client has disconnected, and after its `client_connected` has ended.

    Args:
        client: as it was; nothing can be sent to it any more.
        code: with which the connection ended (RFC 6455 section 7.4; 4008 too slow, 4009 kicked by a handler).
    """


@hookspec
def on_error(error: BaseException, what: str, plugin: str, event: Any, client: Client | None) -> None:
    """Called when code of any plugin has raised an exception, which is also logged.

    Args:
        error: as it was raised.
        what: the name of that code in the log: ``handler "shout" of plugin chat (plugins/chat.py:7)``.
        plugin: the name of that plugin.
        event: of the handler or action; None for hooks and tasks.
        client: whose message, arrival or departure was handled, if any.
    """


@hookspec
def filter_message(message: MessageData, client: Client) -> None:
    """Filter every message of every client, on all signals, before it is handled.

    A plain ``def``: all clients wait meanwhile. Any exception except `signalpost.Veto` is logged, and rejects the
    message: a filter that fails accepts nothing.

    Args:
        message: accepted by its schema; values assigned to its fields replace them. On a signal with
            ``format: raw`` its `message` is text or bytes.
        client: the sender.
    """


@hookspec
def filter_broadcast(outgoing: Outgoing) -> None:
    """Filter every value before it is sent, whatever its source: clients, handlers, actions, jobs and routes.

    A plain ``def``, like `filter_message`. A `signalpost.Veto` stops the value; if it comes from a client's message,
    the client is told why, else the receipt counts nobody.

    Args:
        outgoing: the value and its target; its `value` may be replaced.
    """
