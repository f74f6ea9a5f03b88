"""The one guard around what a server does besides serving: watching, reading, printing, keeping its record.

None of that is a reason to end the server, nor to skip a step of its stop; whatever fails of it is logged.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from signalpost.foreign import is_cancelled

LOG = logging.getLogger(__name__)


@contextmanager
def standing(what: str) -> Iterator[None]:
    """Log whatever is raised in a block, and go on behind it; only what ends the task that runs it gets through.

    Args:
        what: was being done, for the log: "the files cannot be watched".

    """
    try:
        yield
    except BaseException as error:  # a library's panic, a plugin's SystemExit: none of them is ours to end of
        if is_ending(error):
            raise
        LOG.exception("%s; the server goes on", what)


def is_ending(error: BaseException) -> bool:
    """Return whether an error is that the task that runs is cancelled, rather than that something in it was."""
    return isinstance(error, asyncio.CancelledError) and is_cancelled()
