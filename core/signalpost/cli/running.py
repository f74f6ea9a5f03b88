"""``signalpost run``: a server, a loop, and the signals of the operating system."""

import asyncio
import logging
import os
import signal
import sys

import click
import uvloop

from signalpost.errors import OperatorError
from signalpost.plan import Plan
from signalpost.server import Server, url_of

LOG_LEVELS = ("debug", "info", "warning", "error")

_KILLED_BY_SIGNAL = 128  # what shells add to a signal's number


def run_server(plan: Plan, log_level: str) -> None:
    """Serve a plan until Ctrl-C or SIGTERM; a second one ends at once."""
    _configure_logging(log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(plan))
    except OperatorError as error:
        click.echo(f"signalpost: {error}", err=True)
        sys.exit(1)


async def _serve(plan: Plan) -> None:
    server = Server(plan)
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if told_to_stop.is_set():
            sys.stdout.flush()
            # Not an exception: it would have to find its way through whatever does not end.
            os._exit(_KILLED_BY_SIGNAL + number)
        told_to_stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await server.start()
    _announce(plan, server)
    await told_to_stop.wait()
    await server.stop()


def _announce(plan: Plan, server: Server) -> None:
    """Say where the server listens and what it has loaded."""
    endpoints = server.endpoints
    width = max(len(endpoint.name) for endpoint in endpoints)
    for endpoint in endpoints:
        click.echo(f"{endpoint.name:<{width}}  {url_of(endpoint)}")
    counts = [
        (len(plan.routes), "route"),
        (len(plan.signals), "signal"),
        (len(plan.jobs), "job"),
        (len(plan.registry.plugins), "plugin"),
    ]
    loaded = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    click.echo(f"{loaded}; Ctrl-C stops")
    for note in plan.notes:
        click.echo(f"note: {note}")
    sys.stdout.flush()


def _configure_logging(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # What Sanic and APScheduler say of their own insides is no news below a warning.
    for name in ("sanic", "apscheduler", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
