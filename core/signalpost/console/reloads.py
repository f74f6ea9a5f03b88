"""The last reloads: what each changed, or why it was not done."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_KEPT = 20
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class ReloadNote:
    """One reload.

    Attributes:
        at: Unix seconds of its end.
        told: in one line: ``reloaded: +1 signal, 42 clients kept``.
        problems: why it was not done, a line each; none if it was done.
    """

    at: float
    told: str
    problems: tuple[str, ...] = ()


class ReloadNotes:
    """The last reloads of a server, newest first."""

    def __init__(self) -> None:
        self._notes: deque[ReloadNote] = deque(maxlen=_KEPT)

    @property
    def newest_first(self) -> Sequence[ReloadNote]:
        """What was noted."""
        return tuple(reversed(self._notes))

    def done(self, at: float, told: str) -> None:
        """Note that another plan serves."""
        self._notes.append(ReloadNote(at, told))

    def failed(self, at: float, problems: Sequence[str]) -> None:
        """Note that the old plan was kept."""
        left = len(problems) - _MOST_PROBLEMS
        more = (f"and {left:,} more",) if left > 0 else ()
        told = "not reloaded: the app goes on as it was"
        self._notes.append(ReloadNote(at, told, (*problems[:_MOST_PROBLEMS], *more)))
