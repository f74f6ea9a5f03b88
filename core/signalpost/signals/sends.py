"""What values clients read, held against the key ``sends`` of their signals: for tests, `try` and ``--check-sends``.

A server that nobody has asked for it has no `SendsCheck` at all. Nothing is withheld: a value that differs is reported,
and delivered as every other.

Which signal counts: of a value to a path, the signal of that path, even if nobody is there, since it may be kept. Of a
value to everyone, to a group or to one client, the signals of the clients that receive it. Of an answer to a message,
the sender's own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from signalpost.delivery.client import Client
from signalpost.delivery.publication import Publication, json_of
from signalpost.paths import Place, path_of
from signalpost.places import SourceMap
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import SignalTable
from signalpost.words import cut, printable

if TYPE_CHECKING:
    from signalpost.delivery.hub import Hub  # which `check` has no use for

_PLACES = 1_024  # whose signals are remembered
_EXCERPT = 200  # characters of a value


@dataclass(frozen=True, slots=True)
class UnexpectedValue:
    """A value that is not what ``sends`` of its readers' signal says.

    Attributes:
        path: where it is read.
        place: of the key: ``routes.yaml:14:5``.
        pointer: a JSON Pointer to what differs; empty for the whole.
        detail: how it differs: ``expected a string, got a number``.
        value: as JSON, cut if it is long.
    """

    path: str
    place: str
    pointer: str
    detail: str
    value: str

    @property
    def what(self) -> str:
        """How it differs, and where in it: ``at /text: expected a string, got a number``."""
        return f"at {self.pointer}: {self.detail}" if self.pointer else self.detail

    def __str__(self) -> str:
        return f"{self.path} was sent {self.value}, which is not what sends says ({self.place}): {self.what}"


class SendsCheck:
    """Judges what clients read.

    Args:
        hub: of the clients.
        report: called with each value that differs.
    """

    def __init__(self, hub: "Hub", report: Callable[[UnexpectedValue], None]) -> None:
        self._hub = hub
        self._report = report
        self._source: SourceMap
        self._rule_at: Callable[[Place], SignalRule | None]

    def configure(self, table: SignalTable, source: SourceMap) -> None:
        """Judge by the signals of another plan from now on.

        Args:
            table: of its signals.
            source: has the places of their keys.
        """
        self._source = source
        self._rule_at = lru_cache(_PLACES)(table.rule_at)

    def published(self, publication: Publication) -> None:
        """Judge a value that is about to be delivered."""
        if not publication.is_raw:
            self._judge(publication.value if publication.is_text else publication.data, self._places(publication))

    def to_client(self, value: Any, client: Client) -> None:
        """Judge a value that is sent to one client without being published.

        Raises:
            TypeError: it is not JSON.
        """
        self._judge(value if isinstance(value, str) else json_of(value), (client.place,))

    def _places(self, publication: Publication) -> Iterable[Place]:
        """Return where a value is read."""
        target, hub = publication.target, self._hub
        if target.path is not None and target.client is None:
            return (target.path,)
        if target.client is not None:
            client = hub.clients.get(target.client)
            clients: Iterable[Client] = () if client is None else (client,)
        else:
            clients = (client for client in hub.clients.values() if not client.arriving)
        return dict.fromkeys(client.place for client in clients if hub.reaches(client, target))

    def _judge(self, value: str | bytes, places: Iterable[Place]) -> None:
        """Judge a value, a text or JSON, by the signals of places; of each signal once."""
        told: list[SignalRule] = []
        for place in places:
            rule = self._rule_at(place)
            if rule is None or rule.sends is None or any(rule is each for each in told):
                continue
            told.append(rule)
            read = value if isinstance(value, str) else orjson.loads(value)  # as the client reads it
            if not rule.sends.accepts(read):
                self._tell(read, rule, path_of(place) or "")

    def _tell(self, value: Any, rule: SignalRule, path: str) -> None:
        rejection = rule.sends.explain(value) if rule.sends is not None else None
        if rejection is not None:
            shown = printable(cut(orjson.dumps(value).decode(), _EXCERPT))
            place = place_of_sends(rule, self._source)
            self._report(UnexpectedValue(printable(path), place, rejection.pointer, rejection.detail, shown))


def place_of_sends(rule: SignalRule, source: SourceMap) -> str:
    """Return the place of the key ``sends`` of a signal: ``routes.yaml:14:5``."""
    problem = source.problem((*rule.config.keys, "sends"), "", of_key=True)
    return f"{problem.file}:{problem.line}:{problem.column}"
