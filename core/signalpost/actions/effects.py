"""What the built-in actions do, given their rendered options. Everything goes through the event.

Each raises ValueError or TypeError, in words for whoever wrote the step, if a template gave what does not fit.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError, described, text_of, whole_of
from signalpost.config.actions import CODES_ALLOWED, may_be_sent
from signalpost.delivery.client import LONGEST_GROUP
from signalpost.delivery.target import Receipt
from signalpost.state.shares import Holder, network_of
from signalpost.state.state import picked
from signalpost.templates.attributes import item
from signalpost.templates.text import as_text
from signalpost.units import parse_wait
from signalpost.words import printable

LOG = logging.getLogger("signalpost.log")
"""The lines of ``log`` steps."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST_LINE = 2_000
MOST_GROUPS = 1_000
"""Groups that a client may have joined by steps: whoever lets clients choose them has not thought of more."""

ITEMS_KEPT = 100
"""Items that a list keeps to which ``append`` adds, unless it says otherwise."""

_KICKED = 4009
_TARGETS = ("path", "group", "client")


def broadcast(run: Run, options: Mapping[str, Any]) -> Receipt:
    """Send a value to clients; see `signalpost.events.Broadcast`."""
    if len(options) == 1:
        return run.count(run.event.broadcast(options["value"]))
    target = {name: text_of(name, options[name]) for name in _TARGETS if name in options}
    if "to" in options:
        target["to"] = options["to"]
    return run.count(run.event.broadcast(options["value"], **target))


def reply(run: Run, options: Mapping[str, Any]) -> Receipt:
    """Send a value to the sender alone."""
    return run.count(run.event.broadcast(options["value"], to="sender"))


def close(run: Run, options: Mapping[str, Any]) -> None:
    """Close the sender's connection."""
    code = whole_of("code", options.get("code", _KICKED))
    if not may_be_sent(code):
        raise OptionError(f"code {code} must not be sent {CODES_ALLOWED}")
    run.event.close(code, as_text(options.get("reason", "")))


def log(run: Run, options: Mapping[str, Any]) -> None:
    """Write a line to the log."""
    line = printable(as_text(options["message"]))
    # One client's lines are counted as one origin (`signalpost.cli.logs`): they must not keep out those of others.
    client = getattr(run.event, "client", None)
    LOG.log(
        _LEVELS[options["level"]],
        "%s",
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…",
        extra={"origin": None if client is None else client.id},
    )


def put(run: Run, entries: Sequence[tuple[Sequence[Any], Any]]) -> None:
    """Put values into the state, each at its path; None takes out."""
    state, holder = run.event.shared.state, _holder(run)
    for parts, value in entries:
        path = [text_of("a key of state", part) for part in parts]
        if path[0].startswith("_"):
            raise OptionError('keys of state that start with "_" belong to plugins')
        if value is None:
            state.discard(path)
        else:
            state.put(path, value, holder, run.tick)


def append(run: Run, options: Mapping[str, Any]) -> None:
    """Put an item at the end of a list in the state, and take out the first of too many."""
    state = run.event.shared.state
    path = [text_of("a key of state", part) for part in options["to"]]
    if path[0].startswith("_"):
        raise OptionError('keys of state that start with "_" belong to plugins')
    items = picked(state.view, [(item, part) for part in path])
    if items is None or isinstance(items, Undefined):
        items = []
    elif not isinstance(items, list):
        raise OptionError(f"to: a list must stand there, not {described(items)}")
    state.put(path, [*items, options["value"]][-options["keep"] :], _holder(run), run.tick)


def let(run: Run, values: Mapping[str, Any]) -> None:
    """Give values names."""
    run.variables.update(values)


async def wait(run: Run, time: Any) -> None:
    """Wait, but no longer than the client is there, for whom the list is done."""
    try:
        seconds = parse_wait(time)
    except (ValueError, TypeError):
        seconds = -1.0
    if seconds < 0 or isinstance(time, bool):
        raise OptionError(f"must be a time such as 500ms, or a number of seconds, not {described(time)}") from None
    run.wait(seconds)
    if run.trace is not None:
        return  # whoever looks on need not wait
    client = None if getattr(run.event, "code", None) is not None else getattr(run.event, "client", None)
    if client is None:
        await asyncio.sleep(seconds)
    else:
        run.deserted = not await run.event.shared.stays(client, seconds)


def _holder(run: Run) -> Holder | None:
    """Return for whom it counts what is put into the state; None is nobody: a job."""
    client = getattr(run.event, "client", None)
    if client is not None:
        return Holder(client.id, network_of(run.event.request.peer[0]))
    if run.request is not None:
        return Holder(address=network_of(run.request.address))
    return None


def join(run: Run, groups: Any) -> None:
    """Add the sender to groups."""
    _join(run.event.client, groups)


def join_another(run: Run, options: Mapping[str, Any]) -> None:
    """Add a client to groups, if it is there."""
    client = _another(run, options)
    if client is not None:
        _join(client, options["group"])


def leave_another(run: Run, options: Mapping[str, Any]) -> None:
    """Take a client out of groups, if it is there."""
    client = _another(run, options)
    for group in _groups(options["group"]) if client is not None else ():
        client.leave(group)


def _another(run: Run, options: Mapping[str, Any]) -> Any:
    return run.event.shared.clients.get(text_of("client", options["client"]))


def _join(client: Any, groups: Any) -> None:
    for group in _groups(groups):
        if len(group) > LONGEST_GROUP:
            raise OptionError(f"the name of a group has {LONGEST_GROUP} characters at most, not {len(group):,}")
        if len(client.groups) >= MOST_GROUPS and group not in client.groups:
            raise OptionError(f"a client is in {MOST_GROUPS:,} groups at most")
        client.join(group)


def leave(run: Run, groups: Any) -> None:
    """Take the sender out of groups."""
    for group in _groups(groups):
        run.event.client.leave(group)


def _groups(groups: Any) -> Iterator[str]:
    for group in groups if isinstance(groups, list) else [groups]:
        yield text_of("a group", group)
