"""Healing: what a node finds out about a stream when it has read what the backplane keeps of it. Pure.

A window, the part of a stream that a node knows, goes on only with a value that names the window's newest one as the
one before it. Everything else is asked for, and compared here.
"""

from enum import Enum
from typing import NamedTuple

from signalpost.backplanes.backplane import Slice
from signalpost.history.position import Position
from signalpost.history.stream import Stream


class Outcome(Enum):
    """What a window is beside what the backplane keeps."""

    SAME = "same"
    """Nothing is missing."""
    NEXT = "next"
    """What is missing was read, all of it."""
    BEHIND = "behind"
    """More is missing than is kept: some of it cannot be had."""
    REPLACED = "replaced"
    """The stream has begun anew."""
    DIVERGED = "diverged"
    """The same offsets have other values there: one of the two was a replica that lagged."""


def compare(at: Position, found: Slice) -> Outcome:
    """Return what a window is beside what was read behind it.

    Args:
        at: where the window ends.
        found: what was read behind this offset.
    """
    top = found.top
    if top.epoch != at.epoch:
        return Outcome.REPLACED
    if top.offset < at.offset:
        return Outcome.DIVERGED
    if top.offset == at.offset:
        return Outcome.SAME if top.id == at.id else Outcome.DIVERGED
    if not found.items or found.items[0].offset > at.offset + 1:
        return Outcome.BEHIND
    return Outcome.NEXT if found.before == at.id else Outcome.DIVERGED


class Point(NamedTuple):
    """A place in a stream, whatever its epoch is called."""

    offset: int
    id: int


def base_of(found: Slice) -> Point:
    """Return the place before what was read."""
    return Point(found.items[0].offset - 1, found.before) if found.items else Point(found.top.offset, found.top.id)


def last_common(stream: Stream, found: Slice) -> Point | None:
    """Return the last place at which a window has what was read; None if nothing is known of that.

    Args:
        stream: of the window.
        found: all that is kept.
    """
    common = base_of(found)
    if not stream.first - 1 <= common.offset <= stream.top or stream.position(common.offset).id != common.id:
        return None
    for item in found.items:
        entry = stream.entry(item.offset)
        if entry is None or entry.id != item.id:
            break
        common = Point(item.offset, item.id)
    return common
