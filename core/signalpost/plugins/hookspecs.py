"""The hooks: what a plugin may implement besides handlers. This module is their catalogue.

A plugin marks an implementation with `hookimpl` and names the arguments it wants, as many of them as it needs. But for
`register_handlers`, which is asked once while plugins are loaded, an implementation may be ``def`` or ``async def``.
Each is called on its own: what it raises is logged with plugin, hook and file, and stops nobody else. Plugins are
called in the order they were found, at shutdown in the reverse order.
"""

import pluggy

from signalpost.delivery.client import Client
from signalpost.plugins.context import PluginContext
from signalpost.plugins.handler import Handler

PROJECT = "signalpost"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_handlers() -> list[Handler]:  # type: ignore[empty-body]  # pluggy never calls a specification
    """Return handlers that the plugin makes by itself, besides its decorated functions.

    For handlers whose number or names are only known at load: one for every platform of a station, say. It is a plain
    ``def`` and is called once, after the plugin's module was imported.

    Returns:
        handlers; `Handler.plugin` and `Handler.where` may be left out.

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
def client_connected(client: Client) -> None:
    """Hear that a client's WebSocket is open.

    A plain ``def`` is called before the client's first message is read, so that a group it joins the client to holds
    from the start; an ``async def`` runs beside the messages.

    Args:
        client: `id`, `path`, `params`, `groups`, `join(group)`, `leave(group)`, `close(code, reason)`.

    """


@hookspec
def client_disconnected(client: Client, code: int) -> None:
    """Hear that a client has gone; called once, and after its `client_connected` has ended.

    Args:
        client: as it was; nothing reaches it any more.
        code: how the connection ended (RFC 6455 section 7.4; 4008 too slow, 4009 kicked by a handler).

    """
