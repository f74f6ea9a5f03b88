"""The log of ``signalpost run --check-sends``: what clients were sent that ``sends`` of their signal does not allow."""

import logging
import re
from collections.abc import Callable

from signalpost.logthrottle import LineTally
from signalpost.signals.sends import UnexpectedValue

LOG = logging.getLogger("signalpost.sends")

MOST = 100
"""Different mistakes that are logged of one plan."""

_INDEX = re.compile(r"/[0-9]+(?=/|$)")


class SendsLog:
    """Logs each mistake once; again after a reload, since that may have been to mend it.

    Args:
        plan: returns the current one.
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    def __init__(self, plan: Callable[[], object], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._plan = plan
        self._of: object = None  # the plan whose mistakes are in `_told`
        self._told: set[tuple[str, str, str]] = set()
        self._tally = LineTally(LOG.warning, call_later)

    def __call__(self, value: UnexpectedValue) -> None:
        """Log a value, unless the mistake is known."""
        plan = self._plan()
        if plan is not self._of:
            self._of, self._told = plan, set()
        mistake = (value.place, _INDEX.sub("/*", value.pointer), value.detail)
        if mistake in self._told or len(self._told) > MOST:
            return
        self._told.add(mistake)
        if len(self._told) > MOST:
            self._tally.add(f"more than {MOST} mistakes of this kind: further ones are not logged before a reload")
        else:
            self._tally.add(str(value))
