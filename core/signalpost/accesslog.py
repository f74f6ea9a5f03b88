"""The access log: a record for each answered handshake and request, if the operator asks for it.

No query, no header of a request but Origin and User-Agent, and no body is ever in it: tokens travel in all of these.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from signalpost.logsubject import Subject

LOG = logging.getLogger("signalpost.access")


@dataclass(frozen=True, slots=True)
class Access:
    """What is logged of one answer; empty or None is unknown.

    Attributes:
        kind: ``handshake`` of a WebSocket or event stream, or ``request``.
        method: of HTTP.
        status: of the answer; a WebSocket that is opened only to refuse its client has the status of the refusal.
        seconds: from the head of the request to that of the answer.
        address: of the client; behind trusted proxies the one that they report.
        endpoint: name of the one that answered.
        origin: of the page that the client belongs to.
        agent: what the client calls itself.
    """

    kind: str
    method: str
    status: int
    seconds: float | None = None
    address: str = ""
    endpoint: str = ""
    origin: str = ""
    agent: str = ""

    def fields(self) -> dict[str, Any]:
        """Return what is known, by name."""
        found = {name: getattr(self, name) for name in self.__slots__}
        if self.seconds is not None:
            found["seconds"] = round(self.seconds, 6)
        return {name: value for name, value in found.items() if value not in ("", None)}


AccessLog = Callable[[Access, Subject], None]
"""Called with each answer, and whom it is about: `log_access`, or a program's own."""


def log_access(access: Access, subject: Subject) -> None:
    """Log an answer."""
    took = "" if access.seconds is None else f" {access.seconds * 1_000:.1f} ms"
    who = f" user {subject.user}" if subject.user else ""
    which = f" client {subject.client}" if subject.client else ""
    LOG.info(
        "%s %s %s %d%s%s%s",
        access.address or "-",
        access.method,
        subject.path,
        access.status,
        took,
        who,
        which,
        extra={"access": access, "subject": subject},
    )
