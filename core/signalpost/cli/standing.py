"""The one guard around a server's side tasks: watching, reading, printing, writing its record.

A failure of these must not end the server, or skip a step of its stop; it is logged.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from signalpost.foreign import is_cancelled

LOG = logging.getLogger(__name__)


@contextmanager
def standing(what: str) -> Iterator[None]:
    """Log whatever is raised in a block, and continue after it; only what ends the running task passes.

    Args:
        what: describes the failure in the log: "the files cannot be watched".
    """
    try:
        yield
    except BaseException as error:  # a library's panic, a plugin's SystemExit: neither may end the server
        if is_ending(error):
            raise
        LOG.exception("%s; the server goes on", what)


def is_ending(error: BaseException) -> bool:
    """Return whether an error means that the running task is cancelled, instead of something in it."""
    return isinstance(error, asyncio.CancelledError) and is_cancelled()
