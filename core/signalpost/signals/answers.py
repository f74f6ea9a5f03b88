"""Answers: a message with ``ref`` gets exactly one, and a repeat of it (``once``) gets the same one again.

::

    message --refused--------------------------------------------> error
       |
       +--re-broadcast, a list or a handler is done with it------> ack
       +--the list or handler replied, or the handler returned---> reply
       +--it failed----------------------------------------------> error
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from orjson import Fragment

from signalpost.delivery.client import Client
from signalpost.delivery.publication import json_of
from signalpost.errors import ClientError
from signalpost.signals.sessions import Session
from signalpost.units import MEBIBYTE

Ref = str | int

MOST_KNOWN = 20_000
"""Messages with ``once`` that a node knows again."""

MOST_KNOWN_BYTES = 32 * MEBIBYTE
"""Bytes of their answers."""

SHARE = 10
"""One session has at most this part of both: no client alone can make others' messages forgotten."""

_LOOK = 60.0  # seconds until a message under way may be forgotten
_RECORD = 300  # bytes that a message counts for besides its answer


class Repeat:
    """A message that is known again, by its session and ``once``.

    Attributes:
        until: when it is forgotten, in monotonic seconds.
        outcome: the kind and the body of its answer; None while it is under way.
        size: bytes that it counts for.
    """

    __slots__ = ("key", "outcome", "session", "size", "until", "waiting")

    def __init__(self, session: Session, key: tuple[str, str], until: float) -> None:
        self.session = session
        self.key = key
        self.until = until
        self.outcome: tuple[str, Mapping[str, Any]] | None = None
        self.size = _RECORD
        self.waiting: list[Answer] = []


class Answer:
    """The answer to one message.

    Args:
        client: that sent it.
        ref: its own mark; None if it wants no answer, and is only known again.
        repeat: by which it is known again; None if it has no ``once``.

    Attributes:
        done: whether it was given.
        wanted: whether the client is told; else it reads replies and errors as without an answer.
    """

    __slots__ = ("_client", "_ref", "_repeat", "_repeats", "done")

    def __init__(
        self, client: Client, ref: Ref | None, repeats: "Repeats | None" = None, repeat: Repeat | None = None
    ) -> None:
        self._client = client
        self._ref = ref
        self._repeats = repeats
        self._repeat = repeat
        self.done = False

    @property
    def wanted(self) -> bool:
        """See above."""
        return self._ref is not None

    def acknowledge(self, at: str | None = None, *, again: bool = False) -> None:
        """Say that the message is done, unless it is answered already.

        Args:
            at: its position, if it was kept.
            again: whether it was done before, on another node.
        """
        body: dict[str, Any] = {} if at is None else {"at": at}
        if again:
            body["again"] = True
        self._settle("ack", body)

    def reply(self, value: Any) -> int:
        """Answer with a value, and return the bytes of the frame.

        Raises:
            TypeError: it is not JSON; then there is no answer yet.
        """
        data = json_of(value)
        return self._settle("reply", {"value": Fragment(data)}, len(data))

    def fail(self, error: ClientError) -> None:
        """Say that the message failed while it was handled."""
        self._settle("error", error.body)

    def refuse(self, error: ClientError) -> None:
        """Say that the message was refused, so that nothing was done: a repeat is judged anew."""
        self._forget(error)
        self._settle("error", error.body)

    def drop(self, error: ClientError) -> None:
        """Called when the message is not handled any more; if it was not answered, repeats that wait are told."""
        self._forget(error)
        self.done = True

    def give(self, kind: str, body: Mapping[str, Any]) -> int:
        """Send an answer, and return the bytes of the frame."""
        self.done = True
        if self._ref is None:
            return 0
        said = {**body, "ref": self._ref} if kind == "error" else {"ref": self._ref, **body}
        frame = self._client.encoding.noticed(kind, said)
        self._client.send(frame)
        return len(frame)

    def _settle(self, kind: str, body: Mapping[str, Any], size: int = 0) -> int:
        if self.done:
            return 0
        written = self.give(kind, body)
        repeat, self._repeat = self._repeat, None
        if repeat is not None and self._repeats is not None:
            self._repeats.settle(repeat, kind, body, size)
        return written

    def _forget(self, error: ClientError) -> None:
        repeat, self._repeat = self._repeat, None
        if repeat is not None and self._repeats is not None:
            self._repeats.forget(repeat)
            for waiting in repeat.waiting:
                waiting.give("error", error.body)


class Repeats:
    """The messages of a node that are known again.

    Args:
        clock: returns monotonic seconds.
    """

    __slots__ = ("_clock", "_known", "_size")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], Repeat] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._known)

    def answer(self, client: Client, session: Session, ref: Ref | None, once: str, seconds: float) -> Answer | None:
        """Return the answer that a message is to get; None if it is a repeat, which needs nothing more.

        A repeat of a message that is done gets its answer again at once; of one that is under way, later.

        Args:
            client: the sender.
            session: of the client.
            ref: of the message.
            once: of the message.
            seconds: for which it is known again.
        """
        now = self._clock()
        key = (session.id, once)
        known = self._known.get(key)
        if known is not None and (known.until > now or known.outcome is None):
            again = Answer(client, ref)
            if known.outcome is None:
                known.waiting.append(again)
            else:
                kind, body = known.outcome
                again.give(kind, {**body, "again": True})
            return None
        if known is not None:
            self.forget(known)
        repeat = self._known[key] = Repeat(session, key, now + seconds)
        session.repeats[once] = repeat
        self._grow(repeat, repeat.size)
        self._make_room(session, now)
        return Answer(client, ref, self, repeat)

    def settle(self, repeat: Repeat, kind: str, body: Mapping[str, Any], size: int) -> None:
        """Note the answer of a message, and give it to the repeats that have waited for it."""
        repeat.outcome = (kind, body)
        waiting, repeat.waiting = repeat.waiting, []
        for each in waiting:
            each.give(kind, {**body, "again": True})
        if self._known.get(repeat.key) is repeat:
            repeat.size += size
            self._grow(repeat, size)
            self._make_room(repeat.session, self._clock())

    def forget(self, repeat: Repeat) -> None:
        """Know a message no longer."""
        if self._known.get(repeat.key) is repeat:
            del self._known[repeat.key]
            del repeat.session.repeats[repeat.key[1]]
            self._grow(repeat, -repeat.size)

    def _grow(self, repeat: Repeat, change: int) -> None:
        self._size += change
        repeat.session.repeats_size += change

    def _make_room(self, session: Session, now: float) -> None:
        """Forget what is over, the oldest of a session that has too many, and then the oldest of all."""
        while self._known and (oldest := next(iter(self._known.values()))).until <= now:
            if oldest.outcome is None:  # it is under way: a repeat would be done as well
                oldest.until = now + _LOOK
                self._known.move_to_end(oldest.key)
            else:
                self.forget(oldest)
        while len(session.repeats) > MOST_KNOWN // SHARE or session.repeats_size > MOST_KNOWN_BYTES // SHARE:
            self.forget(next(iter(session.repeats.values())))
        while len(self._known) > MOST_KNOWN or self._size > MOST_KNOWN_BYTES:
            self.forget(next(iter(self._known.values())))
