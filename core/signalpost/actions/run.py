"""A run: what the steps of one list share while they are done for one event."""

from typing import Any


class Run:
    """One event on its way through a list of steps.

    Args:
        event: what happened; effects go through it.

    """

    __slots__ = ("event",)

    def __init__(self, event: Any) -> None:
        self.event = event
