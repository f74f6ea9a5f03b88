"""What another signalpost server sends in the envelope ``signalpost.v1``: signals, and where the feed stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from signalpost.jsontext import load
from signalpost.words import cut, printable

PROTOCOL = "signalpost.v1"

_LONGEST_POSITION = 200
_MOST_TOLD = 100  # characters of a server's own words in the log


@dataclass(frozen=True, slots=True)
class Signal:
    """A value that was sent.

    Attributes:
        value: any JSON.
        said: the whole signal: ``path``, ``value`` and, if it is in a history, ``at``.
    """

    value: Any
    said: Mapping[str, Any]


class Envelopes:
    """Reads the frames of one feed, from one connection to the next.

    Args:
        tell: called with what people should know: values that are missing, messages that were refused.

    Attributes:
        position: of what was read last; empty if none is known.
        retry: seconds that the server has asked to be left alone, before it closes.
    """

    __slots__ = ("_tell", "position", "retry")

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.position = ""
        self.retry = 0.0

    def url(self, url: str) -> str:
        """Return the URL that recovers what was sent since the position; the same URL without one."""
        if not self.position:
            return url
        base, _, query = url.partition("?")
        pairs = [pair for pair in query.split("&") if pair and pair.partition("=")[0] != "at"]
        pairs.append("at=" + quote(self.position, safe=""))
        return f"{base}?{'&'.join(pairs)}"

    def read(self, text: str) -> Signal | None:
        """Return the signal in a frame; None for any other frame."""
        try:
            frame = load(text.encode())
        except ValueError:
            return None
        if not isinstance(frame, dict):
            return None
        for kind, read in _KINDS.items():
            body = frame.get(kind)
            if isinstance(body, dict):
                return read(self, body)
        return None

    def _signal(self, body: Mapping[str, Any]) -> Signal | None:
        if "value" not in body:
            return None
        self._stand_at(body.get("at", self.position))
        return Signal(body["value"], body)

    def _welcome(self, body: Mapping[str, Any]) -> None:
        if not self.position or body.get("missed") == 0:  # else the values on the way to its position are still to come
            self._stand_at(body.get("at"))

    def _gap(self, body: Mapping[str, Any]) -> None:
        self._stand_at(body.get("at"))
        self._tell(f"values are missing here, and cannot be had any more ({_words(body.get('why'))})")

    def _lagged(self, body: Mapping[str, Any]) -> None:
        self._tell(f"values were left out ({_words(body.get('missed'))}), since they were not handled fast enough")

    def _error(self, body: Mapping[str, Any]) -> None:
        self._tell(f"its server refused what was sent: {_words(body.get('code'))}: {_words(body.get('detail'))}")

    def _bye(self, body: Mapping[str, Any]) -> None:
        asked = body.get("retry_ms")
        if isinstance(asked, int | float) and asked > 0:
            self.retry = asked / 1000

    def _stand_at(self, position: object) -> None:
        known = isinstance(position, str) and len(position) <= _LONGEST_POSITION
        self.position = position if known and isinstance(position, str) else ""


_KINDS: Mapping[str, Callable[[Envelopes, Mapping[str, Any]], Signal | None]] = {
    "signal": Envelopes._signal,  # noqa: SLF001 - its own
    "welcome": Envelopes._welcome,  # noqa: SLF001 - its own
    "gap": Envelopes._gap,  # noqa: SLF001 - its own
    "lagged": Envelopes._lagged,  # noqa: SLF001 - its own
    "error": Envelopes._error,  # noqa: SLF001 - its own
    "bye": Envelopes._bye,  # noqa: SLF001 - its own
}


def _words(value: object) -> str:
    """Return a server's words for the log."""
    return cut(printable(str(value)), _MOST_TOLD)
