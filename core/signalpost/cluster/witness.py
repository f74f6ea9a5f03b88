"""A witness: a node knows where its own values were kept, even without clients there, and looks whether they still are.

A replica that lags, and becomes the master, goes on in the same epoch without the newest values. Nodes with clients
notice that by what these have read. A value that none of them has heard yet is known to its publisher alone.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from signalpost.backplanes.backplane import Backplane, Keep, Kept, Slice, Top
from signalpost.cluster.healing import Outcome, compare
from signalpost.history.position import Position

LOG = logging.getLogger("signalpost.cluster")

MOST = 10_000
"""Channels of which the newest value of this node is remembered; the one used longest ago is forgotten first."""


class _Last(NamedTuple):
    """A value of this node: where it was kept, and how."""

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
        self._last: OrderedDict[str, _Last] = OrderedDict()
        self._doubted: dict[_Last, None] = {}  # until the backplane is asked
        self._asked: asyncio.Future[Sequence[Top]] | None = None

    def note(self, channel: str, kept: Kept, keep: Keep) -> None:
        """Note where a value of this node is kept."""
        if kept.offset:
            self._last[channel] = _Last(channel, Position(kept.epoch, kept.offset, kept.id), keep)
            self._last.move_to_end(channel)
            if len(self._last) > MOST:
                self._last.popitem(last=False)

    def backplane_here(self) -> None:
        """Called when the backplane is back, and may be another one."""
        self._doubted.update(dict.fromkeys(self._last.values()))
        self._last.clear()
        self._doubted = {last: None for last in self._doubted if not self._looks(last.channel, last.at)}
        asked = tuple(self._doubted)
        if asked:
            self._asked = self._backplane.tops([last.channel for last in asked])
            self._asked.add_done_callback(partial(self._compare_tops, asked))

    def look(self) -> None:
        """Called every second while the backplane is there: ask once more for what it had refused to say."""
        if self._doubted and (self._asked is None or self._asked.done()):
            self.backplane_here()

    def _compare_tops(self, asked: Sequence[_Last], answer: "asyncio.Future[Sequence[Top]]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            return  # it is asked again when it is back
        for last, top in zip(asked, answer.result(), strict=True):
            if top.epoch == last.at.epoch and top.offset > last.at.offset:
                read = self._backplane.read(last.channel, last.at.offset, last.keep.entries)
                read.add_done_callback(partial(self._compare, last))
            else:
                self._judge(last, compare(last.at, Slice(top, top.id, ())))

    def _compare(self, last: _Last, answer: "asyncio.Future[Slice]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._judge(last, compare(last.at, answer.result()))

    def _judge(self, last: _Last, outcome: Outcome) -> None:
        if last in self._doubted and outcome is Outcome.DIVERGED:
            LOG.warning(
                "the backplane has lost what this node has sent to %s: clients are told of a gap", last.channel[2:]
            )
            ended = self._backplane.end_epoch(last.channel, last.at.epoch, last.keep.head_seconds)
            ended.add_done_callback(partial(self._ended, last))
            return
        self._doubted.pop(last, None)
        if outcome in {Outcome.SAME, Outcome.NEXT} and last.channel not in self._last:
            self._last[last.channel] = last  # until the backplane is another one again
            self._last.move_to_end(last.channel, last=False)

    def _ended(self, last: _Last, answer: "asyncio.Future[Top]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._doubted.pop(last, None)
