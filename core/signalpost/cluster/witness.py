"""A witness: a node knows where its own values were kept, even without clients there, and looks whether they still are.

A replica that lags, and becomes the master, goes on in the same epoch without the newest values, or in one that has
ended. Nodes with clients notice that by what these have read. A value that none of them has heard yet is known to its
publisher alone.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from signalpost.backplanes.backplane import Backplane, Keep, Kept, Slice, Top
from signalpost.cluster.healing import Outcome, compare
from signalpost.history.position import Position, precedes

LOG = logging.getLogger("signalpost.cluster")

MOST = 10_000
"""Channels of which something is known; the one used longest ago is forgotten first."""


class _Known(NamedTuple):
    """What a channel must have still: this position, as long as its epoch lasts, and no epoch of before."""

    channel: str
    at: Position
    keep: Keep


class Witness:
    """Remembers where this node's newest value of each channel is kept, and ends the epoch if it is not any more.

    Args:
        backplane: that keeps them.
        looks: returns whether a window of this node looks for a position of a channel anyway.
    """

    def __init__(self, backplane: Backplane, looks: Callable[[str, Position], bool]) -> None:
        self._backplane = backplane
        self._looks = looks
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by channel
        self._doubted: dict[_Known, None] = {}  # until the backplane has told
        self._asked: asyncio.Future[Sequence[Top]] | None = None

    def note(self, channel: str, kept: Kept, keep: Keep) -> None:
        """Note where a value of this node is kept."""
        if kept.offset:
            self._remember(_Known(channel, Position(kept.epoch, kept.offset, kept.id), keep))

    def backplane_here(self) -> None:
        """Called when the backplane is back, and may be another one."""
        self._doubted.update(dict.fromkeys(self._known.values()))
        self._ask()

    def look(self) -> None:
        """Called every second while the backplane is there: ask once more for what it had refused to say."""
        if self._doubted and (self._asked is None or self._asked.done()):
            self._ask()

    def _remember(self, known: _Known) -> None:
        self._known[known.channel] = known
        self._known.move_to_end(known.channel)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def _ask(self) -> None:
        self._doubted = {known: None for known in self._doubted if not self._looks(known.channel, known.at)}
        asked = tuple(self._doubted)
        if asked:
            self._asked = self._backplane.tops([known.channel for known in asked])
            self._asked.add_done_callback(partial(self._compare_tops, asked))

    def _compare_tops(self, asked: Sequence[_Known], answer: "asyncio.Future[Sequence[Top]]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            return  # it is asked again when it is back
        for known, top in zip(asked, answer.result(), strict=True):
            if top.epoch == known.at.epoch and top.offset > known.at.offset:
                read = self._backplane.read(known.channel, known.at.offset, known.keep.entries)
                read.add_done_callback(partial(self._compare, known))
            else:
                self._judge(known, Slice(top, top.id, ()))

    def _compare(self, known: _Known, answer: "asyncio.Future[Slice]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._judge(known, answer.result())

    def _judge(self, known: _Known, found: Slice) -> None:
        if known not in self._doubted:
            return
        outcome, top = compare(known.at, found), found.top
        if outcome is Outcome.DIVERGED or precedes(top.epoch, known.at.epoch):
            LOG.warning(
                "the backplane has lost what this node has sent to %s: clients are told of a gap", known.channel[2:]
            )
            ended = self._backplane.end_epoch(known.channel, top.epoch, known.keep.head_seconds, known.at.epoch)
            ended.add_done_callback(partial(self._ended, known))
            return
        del self._doubted[known]
        if outcome in {Outcome.REPLACED, Outcome.BEHIND} and top.epoch:
            self._go_by(known, top)

    def _ended(self, known: _Known, answer: "asyncio.Future[Top]") -> None:
        if known in self._doubted and not answer.cancelled() and answer.exception() is None:
            del self._doubted[known]
            self._go_by(known, answer.result())

    def _go_by(self, known: _Known, top: Top) -> None:
        """Look from now on for what is there by now: what is kept still may be lost, too, and an epoch come back."""
        newest = self._known.get(known.channel, known).at
        if newest.epoch != top.epoch or newest.offset < top.offset:
            self._remember(known._replace(at=Position(*top)))
