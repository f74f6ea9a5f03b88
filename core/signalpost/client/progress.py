"""What the next handshake brings back: the session and the position."""

from collections.abc import Mapping
from typing import Any

from signalpost.client.values import Gap

PROTOCOL = "signalpost.v1"
SESSION = "signalpost.session."  # before a session, beside PROTOCOL: never in the address, which is logged
BEARER = "signalpost.bearer."


class Progress:
    """How far a room has read, and as whom.

    Attributes:
        at: the position of what was read last; empty for none.
        session: of the last welcome; empty for none.
    """

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.session = ""
        self._known = bool(at)  # something was read before, so something may be missing

    def read(self, told: Mapping[str, Any]) -> None:
        """Called for each `signal` and `gap`: an ack names a position, too, but may overtake values before it.

        One that names no position leaves it as it was: a gap of values that are not kept is no gap in what is.
        """
        if "at" in told:
            self.at = text_or_none(told["at"]) or ""

    def welcomed(self, welcome: Mapping[str, Any]) -> Gap | None:
        """Called for each welcome; return a gap if the server cannot say what was missed."""
        at = welcome.get("at")
        # What lies between the old position and this one is still to come, each value with its own, unless it is none.
        if not isinstance(at, str):
            self.at = ""  # no history any more
        elif not self.at or welcome.get("missed") == 0:
            self.at = at
        session = welcome.get("session")
        self.session = session if isinstance(session, str) else ""
        unknown = self._known and "recovered" not in welcome
        self._known = True
        return Gap(text_or_none(welcome.get("path")), "unknown", text_or_none(at)) if unknown else None


def text_or_none(value: object) -> str | None:
    """Return a value if it is a text, else None."""
    return value if isinstance(value, str) else None
