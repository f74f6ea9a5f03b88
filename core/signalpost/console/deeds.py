"""What people do by the console: each deed is a line of the log, with who did it."""

import logging
from collections.abc import Mapping
from typing import Any

from signalpost.console.asked import Asked
from signalpost.operations.moderating import DISCONNECT
from signalpost.operations.operation import Caller, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.publishing import PUBLISH
from signalpost.words import printable, quoted

LOG = logging.getLogger(__name__)

_SHOWN = 80  # characters of a name in the log
_WHOM = ("path", "group", "client", "user")


class Deeds:
    """Does what the page asks for.

    Args:
        operator: does operations on the node.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def kick(self, asked: Asked) -> Mapping[str, Any]:
        """Close the connections of clients; see the operation ``disconnect``."""
        done = await DISCONNECT.run(self._operator, _caller(asked), asked.body)
        LOG.warning("%s kicks %s: %d clients", who(asked), _named(asked.body), done["matched"])
        return {"told": f"{_clients(done['matched'])} sent away"}

    async def publish(self, asked: Asked) -> Mapping[str, Any]:
        """Publish a value; see the operation ``publish``."""
        done = await PUBLISH.run(self._operator, _caller(asked), asked.body)
        LOG.warning("%s publishes to %s: %d clients", who(asked), _named(asked.body), done["matched"])
        return {"told": f"Published to {_clients(done['matched'])}"}

    async def run(self, asked: Asked) -> Mapping[str, Any]:
        """Run a job now, and wait for the end of that run."""
        name, jobs = asked.body.get("job"), self._operator.node.shared.services.jobs
        if not isinstance(name, str) or asked.body.keys() != {"job"} or jobs is None:
            raise OperationError("bad-request", "job is the name of a timer or schedule, and stands alone", "/job")
        LOG.warning("%s runs the job %s", who(asked), quoted(name, _SHOWN))
        try:
            ran = await jobs.run(name)
        except (LookupError, RuntimeError) as error:
            raise OperationError("not-found", str(error.args[0]), "/job") from None
        return {"told": f"{name} has run" if ran else f"{name} did not run: as many runs as it may have are under way"}


def who(asked: Asked) -> str:
    """Return who asks, for the log."""
    return f"{printable(str(asked.identity))} (console)"


def _caller(asked: Asked) -> Caller:
    return Caller(who(asked))


def _named(body: Mapping[str, Any]) -> str:
    whom = {name: body[name] for name in _WHOM if name in body}
    return ", ".join(f"{name} {quoted(text, _SHOWN)}" for name, text in whom.items()) or "everyone"


def _clients(count: int) -> str:
    return f"{count:,} client{'' if count == 1 else 's'}"
