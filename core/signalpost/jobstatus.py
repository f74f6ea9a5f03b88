"""How the timers and schedules of a server are: for plugins, and for ``signalpost jobs``."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from signalpost.handlers import HandlerKind


class Taken(NamedTuple):
    """Who has the lease of a run.

    Attributes:
        ours: whether it is this node.
        holder: what people call the other node that has it; empty if nobody can tell.
    """

    ours: bool
    holder: str = ""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of a job that has begun, as far as this node knows.

    Attributes:
        at: when it fell due, or was started by hand; aware.
        seconds: that it took; None while it is under way, and for a run of another node.
        error: why it failed, one line; None if it did not, or is another node's.
        elsewhere: whether another node has run it.
        node: what people call that node; empty if this node has run it, or the backplane does not say.
    """

    at: datetime
    seconds: float | None = None
    error: str | None = None
    elsewhere: bool = False
    node: str = ""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The status of a job.

    Attributes:
        kind: timer or schedule.
        runs: how many have begun here, without those started by hand.
        running: how many are under way.
        next_run: aware; None if there is none, or the server does not run.
        last_error: the error of the last failed run; one line.
        paused: whether no runs begin for now.
        when: it runs, in words: ``every 5 s``.
        owner: what declared it: ``routes.yaml:14``, or a plugin's name.
        failed: how many have failed here, those started by hand among them.
        last: the last run; None before the first one.
        last_failed: when the last failed run fell due; aware.
        longest: seconds of the longest run that has ended here; None before the first one.
    """

    name: str
    kind: HandlerKind
    runs: int
    running: int
    next_run: datetime | None
    last_error: str | None
    paused: bool = False
    when: str = ""
    owner: str = ""
    failed: int = 0
    last: LastRun | None = None
    last_failed: datetime | None = None
    longest: float | None = None
