"""How the timers and schedules of a server are: for plugins, and for ``signalpost jobs``."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from signalpost.handlers import HandlerKind
from signalpost.redaction import redacted


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


def shown_job(status: JobStatus, masked: Callable[[str], str]) -> Mapping[str, Any]:
    """Return the status of a job as JSON, with moments as ISO 8601.

    Args:
        status: of the job.
        masked: hides the secrets of the file. An error may quote one, or a credential that it was made with.
    """

    def safe(error: str | None) -> str | None:
        return None if error is None else redacted(masked(error))

    last = status.last
    return {
        "name": status.name,
        "kind": status.kind.value,
        "when": status.when,
        "owner": status.owner,
        "runs": status.runs,
        "running": status.running,
        "failed": status.failed,
        "longest": status.longest,
        "last": None if last is None else {**asdict(last), "at": last.at.isoformat(), "error": safe(last.error)},
        "next": _moment(status.next_run),
        "last_error": safe(status.last_error),
        "last_failed": _moment(status.last_failed),
        "paused": status.paused,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
