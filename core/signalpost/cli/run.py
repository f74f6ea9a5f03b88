"""``signalpost run``: a server and its loop, from the start to an orderly stop."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from signalpost.accesslog import log_access
from signalpost.cli.blocking import say_what_keeps_the_process, watched
from signalpost.cli.browser import open_page
from signalpost.cli.controlsocket import ControlSocket
from signalpost.cli.logkeep import LogOptions, configure_logging, keep_log
from signalpost.cli.loop import ServerLoop, with_an_end
from signalpost.cli.processsignals import ProcessSignals
from signalpost.cli.record import Recorder, read_record
from signalpost.cli.reload import Reloader, Wishes
from signalpost.cli.saying import say, say_notes
from signalpost.cli.screen import Screen
from signalpost.cli.secrets import masked_by_command
from signalpost.cli.sendslog import SendsLog
from signalpost.cli.standing import standing
from signalpost.cli.status import StatusLine
from signalpost.cli.streams import lasting_streams, open_streams
from signalpost.cli.wording import installed_plugins
from signalpost.errors import ListenError, OperatorError
from signalpost.foreign import unseen_task
from signalpost.http.descriptors import raise_limit
from signalpost.node import Seams
from signalpost.observe import LOG, DebugLog
from signalpost.plan import Plan
from signalpost.scalars import shorten
from signalpost.server import Server
from signalpost.systemd import Notifier, Unit
from signalpost.words import printable

_MANY = 10_000  # lists, mappings and other objects that are created before the collector runs
_SAID_AFTER = 0.5  # seconds of a stop without a message
_SAID_AGAIN = 5.0  # seconds between two checks of what is left
_MOST_SAID = 5  # items that are waited for, in one line
_LONGEST = 200  # characters of one: clients choose the paths that they connect to
_SHUTDOWN = 15.0  # seconds in which plugins are shut down and files written, once all that is waited for has ended


def run_server(
    plan: Plan, log: LogOptions, wishes: Wishes, *, show: bool, check_sends: bool = False, screen: Screen | None = None
) -> None:
    """Serve a plan until Ctrl-C or SIGTERM; a second one ends at once. SIGHUP reloads.

    Args:
        plan: the first one.
        log: what is logged, and how.
        wishes: for its reloads.
        show: whether the first page is opened in a browser.
        check_sends: whether a value that ``sends`` of a signal does not allow is logged.
        screen: shows a line about the server; None for no line.

    Raises:
        OperatorError: the server cannot start.
    """
    open_streams()  # a plugin may have closed them on import
    configure_logging(log, masked_by_command())
    unit = Unit.from_environment(os.environ)
    raise_limit(plan.config.limits.connections)
    signals = ProcessSignals()
    signals.install()
    calm_collector()
    with lasting_streams(), asyncio.Runner(loop_factory=ServerLoop) as runner:
        try:
            serving = serve(
                plan, signals, wishes, unit, show=show, check_sends=check_sends, screen=screen, access=log.access
            )
            runner.run(watched(with_an_end(serving)))
        finally:
            say_what_keeps_the_process()


def calm_collector() -> None:
    """Make the garbage collector run rarely, and ignore all objects that exist now.

    It would block the loop whenever much is allocated, e.g. by a reload, or by a message of ten thousand lists. Nothing
    of a client depends on it.
    """
    gc.freeze()
    gc.set_threshold(_MANY, *gc.get_threshold()[1:])


async def serve(
    plan: Plan,
    signals: ProcessSignals,
    wishes: Wishes,
    unit: Unit,
    *,
    show: bool,
    check_sends: bool = False,
    screen: Screen | None = None,
    access: bool = False,
) -> None:
    """Serve a plan until a signal requests a stop; only a failed start ends it otherwise, or skips the stop."""
    unexpected = SendsLog(lambda: server.plan, asyncio.get_running_loop().call_later) if check_sends else None
    logs = LOG.isEnabledFor(logging.DEBUG)
    line = None if screen is None else StatusLine(screen, logs=logs)
    observer = line.tally if line is not None else DebugLog() if logs else None
    file = str(plan.config.folder / Path(plan.config.file).name)
    control = ControlSocket.open(file)
    listening = control.listening if isinstance(control, ControlSocket) else None
    seams = Seams(observer=observer, unexpected=unexpected, access=log_access if access else None)
    server = Server(plan, seams=seams, control=listening, passed=unit.passed)
    further = () if listening else (str(control),)
    try:
        await _serve(server, Recorder(file), signals, wishes, unit.notifier, show=show, further=further, line=line)
    except ListenError as error:
        raise ListenError(f"{error}{_who_serves(file, plan.config.file)}") from None
    finally:
        if isinstance(control, ControlSocket):
            control.remove()


def _who_serves(file: str, name: str) -> str:
    """Return which process serves a file already: it is probably the one that has the port; nothing if none does."""
    with suppress(OperatorError):
        if record := read_record(file):
            return f"; process {record.process} serves {name} already"
    return ""


async def _serve(
    server: Server,
    record: Recorder,
    signals: ProcessSignals,
    wishes: Wishes,
    notifier: Notifier,
    *,
    show: bool,
    further: Sequence[str],
    line: StatusLine | None,
) -> None:
    """Serve as `serve` does; `further` are notes that are none of the plan's."""
    plan = server.plan
    told, asked = signals.event(), signals.reload_event()
    reloader = Reloader(server, record, asked, wishes, notifier)
    await reloader.begin()
    if not await _unless(told, server.start()):
        return
    keep_log()
    with standing("what `plan` compares with cannot be kept"):
        await asyncio.to_thread(record.write, plan)
    with standing("what is served cannot be printed"):
        _announce(plan, server)
        say_notes(further)
        if show:
            open_page(server.endpoints)
        if line is not None:
            line.start(lambda: server.clients, lambda: reloader.problems)
    notifier.ready("serving " + ", ".join(endpoint.url for endpoint in server.endpoints))
    notifier.watch(asyncio.get_running_loop().call_later)
    with standing("nothing is reloaded any more"):
        await _unless(told, reloader.run())
    await told.wait()
    if line is not None:
        line.end()
    notifier.stopping(server.plan.config.limits.drain + _SHUTDOWN)
    with standing("what `plan` compares with cannot be removed"):
        record.remove()
    await _stop(server, notifier)


async def _stop(server: Server, notifier: Notifier) -> None:
    """Stop a server; if that takes longer than a moment, print what it waits for, and again when that changes."""
    stopping = unseen_task(server.stop())
    wait, before = _SAID_AFTER, ""
    while not (await asyncio.wait((stopping,), timeout=wait))[0]:
        wait = _SAID_AGAIN
        with standing("what the stop waits for cannot be told"):
            before = _say_what_is_left(server, notifier, before)
    stopping.result()


def _say_what_is_left(server: Server, notifier: Notifier, before: str) -> str:
    """Print what a stop waits for, unless it was printed before; return it."""
    found = server.under_way()
    what = ", ".join(printable(shorten(each, _LONGEST)) for each in found[:_MOST_SAID])
    more = f" and {len(found) - _MOST_SAID:,} more" if len(found) > _MOST_SAID else ""
    if found and what != before:
        patience = f"{server.plan.config.limits.drain:g} s at most"
        waits = f"stopping: waits {patience} for {what}{more}"
        say(f"{waits}; Ctrl-C again ends it now", err=True)
        notifier.status(waits)
    return what


async def _unless(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run the work; cancel it if a stop is requested before it is done. Return False if it was cancelled."""
    working = unseen_task(work)
    waiting = unseen_task(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait((working,))
    if working.cancelled():
        return False
    working.result()
    return True


def _announce(plan: Plan, server: Server) -> None:
    """Print where the server listens and what it has loaded."""
    endpoints = server.endpoints
    width = max(len(endpoint.name) for endpoint in endpoints)
    for endpoint in endpoints:
        goes = "" if endpoint.redirect is None else f"  redirects to {endpoint.redirect}"
        say(f"{endpoint.name:<{width}}  {endpoint.url}{goes}")
    counts = [
        (len(plan.routes), "route"),
        (len(plan.signals), "signal"),
        (len(plan.jobs), "job"),
        *([(len(plan.feeds), "feed")] if plan.feeds else []),
        (len(plan.registry.plugins), "plugin"),
    ]
    loaded = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    say(f"{loaded}; Ctrl-C stops")
    for line in installed_plugins(plan):
        say(line)
    say_notes(plan.notes)
    sys.stdout.flush()
