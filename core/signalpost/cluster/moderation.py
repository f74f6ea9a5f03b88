"""Moderation among nodes: a kick, a ban and a revocation reach the clients of all of them.

A kick is told to the nodes that have clients whom it may mean, and is over. Bans and revocations are kept in a table of
the backplane, and told to all nodes; what two nodes know is merged (`signalpost.cluster.refused`). Whoever learns that
it knows more than another one writes that down, so that all agree in the end. So does a node whose backplane is back,
or has come back empty.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from secrets import token_hex
from typing import Any

import orjson

from signalpost.auth.revocations import DAY, Kind
from signalpost.backplanes.backplane import AwayError
from signalpost.cluster.channels import EVERYONE, channel_of, place_text, read_place, tag_of
from signalpost.cluster.part import Note, Teller
from signalpost.cluster.refused import Refused, lifted_now, read_refused, refused_now
from signalpost.delivery.target import ClientId, Target
from signalpost.paths import Place
from signalpost.signals.moderation import Moderation
from signalpost.state.revoked import RevokedKey, RevokedRow

LOG = logging.getLogger("signalpost.cluster")

TABLE = "refused"
"""The table of bans and revocations."""

MARKS = "refused:marks"
"""A table with a mark of each node, another one after each change by it: nodes see there whether they know all."""

LOOKS = 10
"""Calls of `SharedModeration.look`, one a second, between two looks at the marks."""

MOST_MARKS = 100
"""Marks that are there before those of nodes that may have gone are removed."""

MOST_AT_ONCE = 500
"""Bans and revocations in one note, or in one change of the table."""

_UNREAD = "-"  # in place of a mark: something of this node's changes is not known here

_FROM_FILE = 1.0  # the stamp of a row of the state's file: each lift that another node knows is later
_PARTS = ("user", "client", "group")  # of the target of a kick, as a note names them


class SharedModeration:
    """Bans, revocations and kicks of all nodes; see `signalpost.cluster.cluster.Part` for the rest of its methods.

    Args:
        cluster: of this node.
        moderation: of this node.
    """

    def __init__(self, cluster: Teller, moderation: Moderation) -> None:
        self._cluster = cluster
        self._backplane = cluster.backplane
        self._moderation = moderation
        self._revocations = moderation.revocations
        self._known: dict[RevokedKey, Refused] = {
            key: Refused(_FROM_FILE, row.before, row.until, 0.0, row.until)
            for key, row in self._revocations.rows().items()
        }
        self._marks: dict[str, str] = {}  # by the tags of nodes
        self._reading: object | None = None  # of the answer that is waited for
        self._looks = 0
        self._full = False  # and the log says so
        # Nobody comes in before the table was read for the first time, or again.
        self._read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        moderation.elsewhere = self
        cluster.notes["kick"] = self._heard_kick
        cluster.notes["refused"] = self._heard_refused

    # What this node tells (`signalpost.signals.moderation.Elsewhere`)

    @property
    def reached(self) -> bool:
        """See `Elsewhere.reached`."""
        return self._backplane.connected

    def kick(self, targets: Sequence[Target], code: int, reason: str) -> None:
        """See `Elsewhere.kick`."""
        for target in targets:
            if target.client is None or tag_of(target.client) not in {"", self._cluster.origin.tag}:
                self._cluster.tell(
                    channel_of(target), "kick", {**written_target(target), "code": int(code), "why": reason}
                )

    def refuse(self, kind: Kind, name: str, reason: str) -> None:
        """See `Elsewhere.refuse`."""
        key, row = RevokedKey(kind, name), self._revocations.row(kind, name)
        if row is not None:
            known = self._known.get(key)
            self._know(key, refused_now(self._moderation.now(), row.before, row.until, known))
            self._spread([key], reason)

    def lift(self, kind: Kind, name: str) -> None:
        """See `Elsewhere.lift`; it is known for a day, or as long as what it lifts."""
        key, now = RevokedKey(kind, name), self._moderation.now()
        self._know(key, lifted_now(now, now + DAY, self._known.get(key)))
        self._spread([key])

    def _spread(self, keys: Iterable[RevokedKey], reason: str = "") -> None:
        """Write down what this node knows, and tell the other ones."""
        left = iter(keys)
        while batch := list(islice(left, MOST_AT_ONCE)):
            known = {key: self._known[key] for key in batch if key in self._known}
            marks = self._write({_field(key): orjson.dumps(list(each)) for key, each in known.items()})
            rows = [[*key, *each] for key, each in known.items()]
            self._cluster.tell(EVERYONE, "refused", {"marks": marks, "rows": rows, "why": reason})

    def _write(self, fields: Mapping[str, bytes | None]) -> tuple[str, str, str]:
        """Change the table, and return the tag of this node with the mark that it had and that it has."""
        tag = self._cluster.origin.tag
        before, mark = self._marks.get(tag, ""), token_hex(8)
        self._marks[tag] = mark
        for answer in (self._backplane.put(TABLE, fields), self._backplane.put(MARKS, {tag: mark.encode()})):
            answer.add_done_callback(self._put)
        return tag, before, mark

    def _put(self, answer: "asyncio.Future[None]") -> None:
        error = None if answer.cancelled() else answer.exception()
        if error is not None and not isinstance(error, AwayError):
            LOG.error("the backplane does not keep a ban or revocation: %s", error)
            self._marks[self._cluster.origin.tag] = _UNREAD  # so that the table is read, and what it lacks written

    # What it is told

    def _heard_kick(self, note: Note) -> None:
        """Called with a kick of a node."""
        if note.node != self._cluster.origin.node:
            said = note.value
            self._moderation.kick_here((read_target(said),), said["code"], said["why"])

    def _heard_refused(self, note: Note) -> None:
        """Called with what a node knows of bans and revocations."""
        if note.node == self._cluster.origin.node:
            return
        said = note.value
        tag, before, mark = said["marks"]
        self._marks[tag] = mark if self._marks.get(tag, "") == before else _UNREAD
        self._spread([key for key, theirs in _rows(said["rows"]) if self._learn(key, theirs, said["why"])])

    def _learn(self, key: RevokedKey, theirs: Refused, reason: str) -> bool:
        """Learn what is known elsewhere; return whether this node knows more."""
        mine = self._known.get(key)
        if mine is None and len(self._known) >= 2 * self._revocations.most:
            if not self._full:
                self._full = True
                LOG.error("there are too many bans and revocations: this node takes no new ones of other nodes")
            return False
        known = theirs.merged(mine)
        if known != mine:
            self._know(key, known)
            self._moderation.close_refused(Kind(key.kind), key.name, reason)
        return known != theirs

    def _know(self, key: RevokedKey, known: Refused) -> None:
        self._known[key] = known
        row = RevokedRow(known.before, known.until) if known.refuses(self._moderation.now()) else None
        self._revocations.put(key, row)

    # The table

    def backplane_here(self) -> None:
        """See `Part.backplane_here`."""
        self._reading = None  # an answer that was waited for counts no more
        self._read_table(forgets=True)

    def missed(self, channel: str) -> None:
        """See `Part.missed`."""
        if channel == EVERYONE:
            self._read_table()

    def opened(self, _place: Place) -> "asyncio.Future[None] | None":
        """See `Part.opened`."""
        return None if self._read.done() else self._read

    def let_go(self, channel: str) -> None:
        """See `Part.let_go`."""

    async def stop(self) -> None:
        """See `Part.stop`: what was done is written already."""

    def look(self) -> None:
        """See `Part.look`."""
        self._looks += 1
        if self._looks % LOOKS or self._reading is not None or not self._backplane.connected:
            return
        self._forget_ended()
        self._backplane.get(MARKS).add_done_callback(self._compare)

    def _compare(self, answer: "asyncio.Future[Mapping[str, bytes]]") -> None:
        found = _answer(answer)
        if found is not None and _texts(found) != self._marks and self._reading is None:
            self._read_table()

    def _read_table(self, *, forgets: bool = False) -> None:
        """Read the table, and write what it lacks.

        Args:
            forgets: whether what has ended is removed from it.
        """
        if self._reading is not None:
            return
        reading = self._reading = object()
        if self._read.done():
            self._read = asyncio.get_running_loop().create_future()
        marks = self._backplane.get(MARKS)  # before the table, so that a change in between is seen later

        def take_in(answer: "asyncio.Future[Mapping[str, bytes]]") -> None:
            table, marked = _answer(answer), _answer(marks)
            if self._reading is not reading:
                return
            self._reading = None
            if table is None or marked is None:
                self._marks[self._cluster.origin.tag] = _UNREAD
                return  # it is read when the backplane is back, or at a further look
            self._marks = _texts(marked)
            if forgets and len(marked) > MOST_MARKS:
                self._backplane.put(MARKS, dict.fromkeys(marked)).add_done_callback(self._put)
            self._take_in(table, forgets=forgets)
            if not self._read.done():
                self._read.set_result(None)

        self._backplane.get(TABLE).add_done_callback(take_in)

    def _take_in(self, table: Mapping[str, bytes], *, forgets: bool) -> None:
        now = self._moderation.now()
        self._forget_ended()
        found = {key: theirs for key, theirs in map(_row, table.items()) if theirs is not None}
        ended = [key for key, theirs in found.items() if theirs.ends <= now and key not in self._known]
        more = [
            key
            for key, theirs in found.items()
            if (theirs.ends > now or key in self._known) and self._learn(key, theirs, "")
        ]
        lacks = [key for key in self._known if key not in found]
        if forgets and ended:
            self._write(dict.fromkeys(map(_field, ended)))
        self._spread((*more, *lacks))

    def _forget_ended(self) -> None:
        now = self._moderation.now()
        for key in [key for key, known in self._known.items() if known.ends <= now]:
            del self._known[key]


def _field(key: RevokedKey) -> str:
    return f"{key.kind}:{key.name}"


def _row(item: tuple[str, bytes]) -> tuple[RevokedKey, Refused | None]:
    """Return a row of the table; what a later version has written there is left alone."""
    kind, _, name = item[0].partition(":")
    try:
        return RevokedKey(kind, name), read_refused(orjson.loads(item[1])) if kind in set(Kind) else None
    except orjson.JSONDecodeError:
        return RevokedKey(kind, name), None


def _rows(rows: Iterable[Sequence[Any]]) -> Iterable[tuple[RevokedKey, Refused]]:
    for kind, name, *numbers in rows:
        if kind in set(Kind) and (known := read_refused(numbers)) is not None:
            yield RevokedKey(kind, name), known


def written_target(target: Target) -> dict[str, Any]:
    """Return the target of a kick, or of a change of groups, as a note has it."""
    group = None if target.groups is None else next(iter(target.groups))
    names = {"user": target.user, "client": target.client, "group": group}
    path = None if target.path is None else place_text(target.path)
    return {what: name for what, name in {**names, "path": path}.items() if name is not None}


def read_target(said: Mapping[str, Any]) -> Target:
    """Return the target that a note names."""
    user, client, group = (said.get(part) for part in _PARTS)
    path = said.get("path")
    return Target(
        path=None if path is None else read_place(path),
        groups=None if group is None else frozenset({group}),
        client=None if client is None else ClientId(client),
        user=user,
    )


def _texts(table: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode() for name, value in table.items()}


def _answer(future: "asyncio.Future[Mapping[str, bytes]]") -> Mapping[str, bytes] | None:
    error = asyncio.CancelledError() if future.cancelled() else future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, AwayError | asyncio.CancelledError):
        LOG.error("the backplane does not say who is banned: %s", error)
    return None
