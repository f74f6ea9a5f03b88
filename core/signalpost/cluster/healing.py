"""Healing: what a node finds out about a stream when it has read what the backplane keeps of it. Pure.

A window, the part of a stream that a node knows, goes on only with a value that names the window's newest one as the
one before it. Everything else is asked for, and compared here.
"""

from enum import Enum

from signalpost.backplanes.backplane import Slice
from signalpost.history.position import Position


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
