"""The queue of a hub for one loop turn, and how it is written: with one write per client.

Clients that receive the same bytes in a loop turn, as most do, are written in one batch; see
`signalpost.delivery.writers`.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

from signalpost.config.model import SlowPolicy
from signalpost.delivery.audience import Audience, Lane, descriptors_of
from signalpost.delivery.client import Client
from signalpost.delivery.codec import Encoding
from signalpost.delivery.transport import Buffer
from signalpost.delivery.writers import GONE, Batch, Writer

Entry = tuple[Audience | Client, Any, Any]
"""A queued write: a publication for an audience without one client (or None), or bytes and their path for one client.

The path is None for a notice; see `signalpost.delivery.outbox`.
"""

_DISCONNECT = SlowPolicy.DISCONNECT  # a lookup in an Enum's class costs as much as the rest of what is done with it


Unfinished = tuple[Client, Sequence[bytes], int, list[str | None]]
"""What a client left over: the frames offered to it, how many of their bytes it accepted or `GONE`, their paths."""


def write_queue(queue: Sequence[Entry], writer: Writer) -> list[Unfinished]:
    """Write all entries to their direct clients, and return the clients that did not accept everything.

    A frame for one client alone, such as a pong, or a frame that excludes one client, separates that client from those
    that receive the same. The others stay in one batch.

    Args:
        queue: at least one entry, oldest first.
        writer: used where many clients receive the same.
    """
    if len(queue) == 1:  # mostly
        audience, publication, excluding = queue[0]
        if excluding is None and type(audience) is Audience and len(audience.lanes) == 1:
            (lane,) = audience.lanes
            if not lane.direct:
                return []
            frame = publication.encoded(lane.encoding)
            left = writer.write(lane.descriptors if lane.ready is None else lane.ready, frame)
            return _unfinished([(lane.direct, [frame])], left, queue) if left else []
    entries: dict[Audience, list[Entry]] = {}
    of_paths = True  # which have no client in common
    for entry in queue:
        target, _, excluding = entry
        if excluding is not None or type(target) is not Audience:
            break
        if target in entries:
            entries[target].append(entry)
        else:
            entries[target] = [entry]
            of_paths = of_paths and target.of_path
    else:
        if of_paths or len(entries) == 1:
            return _write_lanes(entries, queue, writer)
    positions, apart = _positions(queue)
    if positions:
        return _write_mixed(queue, positions, apart, writer)
    return _write_apart(apart, None, queue)


_Group = tuple[Mapping[int, Client], Sequence[bytes]]
"""Clients by descriptor, and the frames that each of them receives."""


def _write_lanes(
    entries: Mapping[Audience, Sequence[Entry]], queue: Sequence[Entry], writer: Writer
) -> list[Unfinished]:
    """Write their entries, in `queue`, to audiences without a client in common: the hot path of the framework."""
    groups: list[_Group] = []
    batches: list[Batch] = []
    for audience, own in entries.items():
        for lane in audience.lanes:
            if lane.direct:
                encoding = lane.encoding
                data = own[0][1].encoded(encoding)
                if len(own) == 1:  # mostly, and a comprehension costs as much as the rest
                    frames = [data]
                else:
                    frames = [publication.encoded(encoding) for _, publication, _ in own]
                    data = b"".join(frames)
                groups.append((lane.direct, frames))
                batches.append((lane.descriptors if lane.ready is None else lane.ready, data))
    return _write_batches(batches, groups, queue, writer)


def _write_batches(
    batches: Sequence[Batch], groups: Sequence[_Group], queue: Sequence[Entry], writer: Writer
) -> list[Unfinished]:
    """Write batches together, each to its group; no client is in two groups, and the frames are from `queue`."""
    if not batches:
        return []
    left = writer.write(*batches[0]) if len(batches) == 1 else writer.write_each(batches)
    return _unfinished(groups, left, queue) if left else []


def _unfinished(groups: Sequence[_Group], left: Sequence[tuple[int, int]], queue: Sequence[Entry]) -> list[Unfinished]:
    """Return what clients of groups left over, as a writer has told it by their descriptors."""
    of = {descriptor: group for group in groups for descriptor in group[0]} if len(groups) > 1 else {}
    unfinished: list[Unfinished] = []
    for descriptor, sent in left:
        clients, frames = of.get(descriptor, groups[0])
        client = clients[descriptor]
        unfinished.append((client, frames, sent, _paths_for(client, queue)))
    return unfinished


def _positions(queue: Sequence[Entry]) -> tuple[dict[Audience, list[int]], dict[Client, list[int]]]:
    """Return the positions of each audience's entries, and of those that one client alone receives or misses."""
    shared: dict[Audience, list[int]] = {}
    apart: dict[Client, list[int]] = {}
    for position, (target, _, third) in enumerate(queue):
        if isinstance(target, Client):
            apart.setdefault(target, []).append(position)
            continue
        shared.setdefault(target, []).append(position)
        if third is not None:
            apart.setdefault(third, []).append(position)
    return shared, apart


def _write_mixed(
    queue: Sequence[Entry],
    positions: Mapping[Audience, list[int]],
    apart: Mapping[Client, list[int]],
    writer: Writer,
) -> list[Unfinished]:
    """Write a queue of several audiences, or of one with exceptions for some clients."""
    runs = _Runs(queue, positions)
    groups: list[_Group] = []
    batches: list[Batch] = []
    for key, clients, descriptors in _groups(positions, apart):
        if clients:
            frames = runs[key].frames
            groups.append((clients, frames))
            batches.append((descriptors, b"".join(frames)))
    unfinished = _write_batches(batches, groups, queue, writer)
    return unfinished + _write_apart(apart, runs, queue) if apart else unfinished


def _write_apart(apart: Mapping[Client, list[int]], runs: "_Runs | None", queue: Sequence[Entry]) -> list[Unfinished]:
    """Write to each client that receives entries alone, or alone does not receive them; `runs` is what others do."""
    unfinished = []
    for client, own in apart.items():
        if client.direct:
            run = None if runs is None else runs.of(client)
            if left := _write_to_one(client, _pieces(client, run, own, queue), queue):
                unfinished.append(left)
    return unfinished


_Key = tuple[int, Encoding]
"""Which of a queue's audiences some clients are in, as a bit mask, and their encoding."""


class _Run:
    """What all clients of the same audiences and encoding receive of a queue.

    Attributes:
        positions: of the entries, in order.
        frames: of each of them, encoded.
    """

    __slots__ = ("_data", "_offsets", "frames", "positions")

    def __init__(self, positions: list[int], frames: list[bytes]) -> None:
        self.positions = positions
        self.frames = frames
        self._offsets: list[int] | None = None
        self._data = memoryview(b"")

    def around(self, position: int) -> tuple[int, int]:
        """Return the offsets in the bytes where the part before an entry ends, and where the part behind it begins."""
        if self._offsets is None:
            self._data = memoryview(b"".join(self.frames))
            self._offsets = [0, *accumulate(map(len, self.frames))]
        index = bisect_left(self.positions, position)
        here = index < len(self.positions) and self.positions[index] == position
        return self._offsets[index], self._offsets[index + here]

    def slice(self, start: int, stop: int | None = None) -> "memoryview[int]":
        """Return a part of the bytes, between offsets from `around`."""
        return self._data[start:stop]


class _Runs(dict[_Key, _Run]):
    """The runs of a queue, each created on demand.

    Args:
        queue: the entries.
        positions: of the entries of each audience.
    """

    def __init__(self, queue: Sequence[Entry], positions: Mapping[Audience, list[int]]) -> None:
        super().__init__()
        self._queue = queue
        self._audiences = tuple(positions)
        self._lists = tuple(positions.values())

    def of(self, client: Client) -> _Run | None:
        """Return what a client would receive if it were like the others of its audiences; None if it is in none."""
        bits = 0
        for number, audience in enumerate(self._audiences):
            if client in audience:
                bits |= 1 << number
        return self[bits, client.encoding] if bits else None

    def __missing__(self, key: _Key) -> _Run:
        bits, encoding = key
        if bits & (bits - 1):
            several = [each for number, each in enumerate(self._lists) if bits >> number & 1]
            positions = sorted(chain.from_iterable(several))
        else:
            positions = self._lists[bits.bit_length() - 1]
        queue = self._queue
        run = self[key] = _Run(positions, [queue[place][1].encoded(encoding) for place in positions])
        return run


def _groups(
    audiences: Collection[Audience], apart: Collection[Client]
) -> "list[tuple[_Key, Mapping[int, Client], array[int]]]":
    """Return clients that receive the same: their run, clients by descriptor, and descriptors; without those apart."""
    if (lanes := _parted(audiences)) is not None:
        return [((bit, lane.encoding), *_without(lane, apart)) for bit, lane in lanes]
    bits: dict[Client, int] = {}
    for number, audience in enumerate(audiences):
        bit = 1 << number
        for lane in audience.lanes:
            for client in lane.direct.values():
                bits[client] = bits.get(client, 0) | bit
    for client in apart:
        bits.pop(client, None)
    groups: dict[_Key, dict[int, Client]] = {}
    for client, in_which in bits.items():
        groups.setdefault((in_which, client.encoding), {})[client.descriptor] = client
    return [(key, members, descriptors_of(members)) for key, members in groups.items()]


def _parted(audiences: Collection[Audience]) -> list[tuple[int, Lane]] | None:
    """Return the lanes with direct clients, each with its audience's bit; None if a client is in two of them."""
    lanes = [(1 << number, lane) for number, each in enumerate(audiences) for lane in each.lanes if lane.direct]
    if len(audiences) > 1:
        seen: set[int] = set()
        for _, lane in lanes:
            if not seen.isdisjoint(lane.direct):
                return None
            seen.update(lane.direct)
    return lanes


def _without(lane: Lane, apart: Collection[Client]) -> "tuple[Mapping[int, Client], array[int]]":
    """Return the direct clients of a lane without those apart, and their descriptors."""
    here = [client for client in apart if lane.direct.get(client.descriptor) is client]
    if not here:
        return lane.direct, lane.descriptors
    members = lane.direct.copy()
    for client in here:
        del members[client.descriptor]
    return members, descriptors_of(members)


def _pieces(client: Client, run: _Run | None, own: Sequence[int], queue: Sequence[Entry]) -> "list[Buffer]":
    """Return the bytes, in order, for a client that receives some entries alone, or alone does not receive them."""
    if run is None:
        return [queue[position][1] for position in own if queue[position][0] is client]
    pieces: list[Buffer] = []
    start = 0
    for position in own:
        before, behind = run.around(position)
        if before > start:
            pieces.append(run.slice(start, before))
        start = behind
        target, frame, _ = queue[position]
        if target is client:
            pieces.append(frame)
    pieces.append(run.slice(start))
    return pieces


def _write_to_one(client: Client, pieces: "Sequence[Buffer]", queue: Sequence[Entry]) -> Unfinished | None:
    """Write to one client, without a batch; `pieces` are its parts of `queue`."""
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if not len(data):
        return None
    try:
        sent = os.write(client.descriptor, data)
    except BlockingIOError:
        sent = 0
    except OSError:
        sent = GONE
    return None if sent == len(data) else (client, _frames_for(client, queue), sent, _paths_for(client, queue))


def _frames_for(client: Client, queue: Sequence[Entry]) -> list[bytes]:
    """Return each frame that is queued for a client, in its encoding."""
    frames = []
    for target, frame, third in queue:
        if target is client:
            frames.append(frame)
        elif isinstance(target, Audience) and third is not client and client in target:
            frames.append(frame.encoded(client.encoding))
    return frames


def _paths_for(client: Client, queue: Sequence[Entry]) -> list[str | None]:
    """Return the path of each frame that is queued for a client; nothing for a client that must lose none of them."""
    if client.policy is _DISCONNECT:
        return []
    paths: list[str | None] = []
    for target, frame, third in queue:
        if target is client:
            paths.append(third)
        elif isinstance(target, Audience) and third is not client and client in target:
            paths.append(frame.slot)
    return paths
