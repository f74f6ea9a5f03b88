"""What a terminal is shown: colour only there, and never where NO_COLOR is set."""

import os
from typing import Protocol

from rich.console import Console


class Stream(Protocol):
    """Where text goes."""

    def isatty(self) -> bool:
        """Tell whether a person is looking."""


def wants_colour(stream: Stream) -> bool:
    """Tell whether to colour text for this stream (https://no-color.org: any value but an empty one says no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def console() -> Console:
    """Give a console for tables; piped output is as wide as it needs to be."""
    printer = Console(highlight=False)
    return printer if printer.is_terminal else Console(highlight=False, width=200)
