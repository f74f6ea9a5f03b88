"""What people do by the console: each deed is a line of the log, with who did it."""

import logging
from collections.abc import Mapping
from typing import Any

from signalpost.errors import ClientError, ErrorCode
from signalpost.http.services import Asked
from signalpost.node import Node
from signalpost.words import printable, quoted

LOG = logging.getLogger(__name__)

_SHOWN = 80  # characters of a name in the log
_WHOM = ("path", "group", "client", "user")


class Deeds:
    """Does what the page asks for.

    Args:
        node: of the server.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def kick(self, asked: Asked) -> Mapping[str, Any]:
        """Close the connections of a client, or of all of a user, a path or a group."""
        _check_keys(asked.body, {*_WHOM, "reason"})
        text = asked.body.get
        closed = self._node.moderation.kick(
            by=who(asked),
            user=text("user"),
            client_id=text("client"),
            path=text("path"),
            group=text("group"),
            reason=text("reason") or "",
        )
        whom = _named({name: text(name) for name in _WHOM if text(name) is not None})
        LOG.warning("%s kicks %s: %d clients", printable(who(asked)), whom, closed)
        return {"told": f"{closed:,} client{'' if closed == 1 else 's'} sent away"}

    async def publish(self, asked: Asked) -> Mapping[str, Any]:
        """Publish a value to a path, a group, a client or a user; to everyone only if that is said."""
        body = asked.body
        _check_keys(body, {*_WHOM, "value", "everyone"})
        if "value" not in body:
            raise ClientError(ErrorCode.BAD_MESSAGE, "value is missing: what is published", "/value")
        whom = {name: body[name] for name in _WHOM if body.get(name) is not None}
        if not whom and body.get("everyone") is not True:
            raise ClientError(ErrorCode.BAD_MESSAGE, "name a path, a group, a client or a user")
        receipt = self._node.broadcaster(body["value"], **whom).sent()
        LOG.warning("%s publishes to %s: %d clients", printable(who(asked)), _named(whom), receipt.matched)
        return {"told": f"published to {receipt.matched:,} client{'' if receipt.matched == 1 else 's'} here"}

    async def run(self, asked: Asked) -> Mapping[str, Any]:
        """Run a job now, and wait for the end of that run."""
        _check_keys(asked.body, {"job"})
        name, jobs = asked.body.get("job"), self._node.shared.services.jobs
        if not isinstance(name, str) or jobs is None:
            raise ClientError(ErrorCode.BAD_MESSAGE, "job is the name of a timer or schedule", "/job")
        LOG.warning("%s runs the job %s", printable(who(asked)), quoted(name, _SHOWN))
        try:
            ran = await jobs.run(name)
        except (LookupError, RuntimeError) as error:
            raise ClientError(ErrorCode.BAD_MESSAGE, str(error.args[0]), "/job") from None
        return {"told": f"{name} has run" if ran else f"{name} did not run: as many runs as it may have are under way"}


def who(asked: Asked) -> str:
    """Return who asks, for the log."""
    return f"{asked.identity} (console)"


def _named(whom: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {quoted(text, _SHOWN)}" for name, text in whom.items()) or "everyone"


def _check_keys(body: Mapping[str, Any], known: set[str]) -> None:
    for key in body.keys() - known:
        raise ClientError(ErrorCode.BAD_MESSAGE, f"{key[:40]!r} is not known here ({', '.join(sorted(known))})")
