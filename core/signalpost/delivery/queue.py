"""What a hub has queued in a loop turn, and how it is written: in one write per client.

Of a turn most clients get the very same bytes, and those are written to together; see `signalpost.delivery.writing`.
"""

import os
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from signalpost.config.model import SlowPolicy
from signalpost.delivery.audience import Audience, Lane, descriptors_of
from signalpost.delivery.client import Client
from signalpost.delivery.frames import CloseCode
from signalpost.delivery.outbox import NO_PATH
from signalpost.delivery.writing import GONE, Writer

Entry = tuple[Audience | Client, Any, Any]
"""A queued write: a frame for an audience but for one client (or None), or encoded bytes and their path for one client.

The path is None for a notice; see `signalpost.delivery.outbox`.
"""

_DISCONNECT = SlowPolicy.DISCONNECT  # a look into an Enum's class costs as much as the rest of what is done with it


def write_queue(queue: Sequence[Entry], writer: Writer) -> None:
    """Write all entries to those of their clients that are direct. Who does not take everything goes indirect.

    Args:
        queue: at least one entry, oldest first.
        writer: used wherever many get the same.

    """
    audience = _only_audience(queue)
    if audience is not None:
        excluded = {excluding for _, _, excluding in queue if excluding is not None}
        for lane in audience.lanes:
            if lane.direct:
                _write_to_lane(lane, queue, excluded, writer)
        return
    boxes, shared = _boxes(queue)
    if not shared:
        for client, frames in boxes.items():
            if client.direct:
                _write_to_one(client, frames, queue)
        return
    batches: dict[tuple[bytes, ...], list[Client]] = {}
    for client, frames in boxes.items():
        batches.setdefault(tuple(frames), []).append(client)
    for same, clients in batches.items():
        direct = {client.descriptor: client for client in clients if client.direct}
        _write_to_all(direct, descriptors_of(direct), same, queue, writer)


def _only_audience(queue: Sequence[Entry]) -> Audience | None:
    """Give the audience that all entries are for; mostly there is one."""
    audience = queue[0][0]
    for target, _, _ in queue:
        if target is not audience:
            return None
    return audience if isinstance(audience, Audience) else None


def _write_to_lane(lane: Lane, queue: Sequence[Entry], excluded: Collection[Client], writer: Writer) -> None:
    """Write a queue that is for one audience to one of its lanes; `excluded` are those who do not get all of it."""
    frames = [lane.encoding(frame) for _, frame, _ in queue]
    apart = [client for client in excluded if lane.direct.get(client.descriptor) is client]
    if not apart:
        _write_to_all(lane.direct, lane.descriptors, frames, queue, writer)
        return
    most = lane.direct.copy()
    for client in apart:
        del most[client.descriptor]
    _write_to_all(most, descriptors_of(most), frames, queue, writer)
    for client in apart:
        own = [data for data, (_, _, excluding) in zip(frames, queue, strict=True) if excluding is not client]
        if own and client.direct:
            _write_to_one(client, own, queue)


def _boxes(queue: Sequence[Entry]) -> tuple[dict[Client, list[bytes]], bool]:
    """Give each client's frames, in order, and whether some of them are for an audience."""
    boxes: dict[Client, list[bytes]] = {}
    shared = False
    for target, frame, excluding in queue:
        if isinstance(target, Client):
            box = boxes.get(target)
            if box is None:
                boxes[target] = [frame]
            else:
                box.append(frame)
            continue
        shared = True
        for lane in target.lanes:
            if lane.direct:
                data = lane.encoding(frame)
                for client in lane.direct.values():
                    if client is not excluding:
                        boxes.setdefault(client, []).append(data)
    return boxes, shared


def _write_to_all(
    clients: Mapping[int, Client],
    descriptors: "array[int]",
    frames: Sequence[bytes],
    queue: Sequence[Entry],
    writer: Writer,
) -> None:
    """Write `frames`, which `queue` has for each of the clients: what this framework exists for.

    Args:
        clients: by descriptor.
        descriptors: all of theirs.
        frames: as they read them.
        queue: what the frames came from, to know their paths.
        writer: writes.

    """
    data = frames[0] if len(frames) == 1 else b"".join(frames)
    unfinished = writer.write(descriptors, data)
    # Looked up first: to end one of them changes the dict.
    for client, sent in [(clients[descriptor], sent) for descriptor, sent in unfinished]:
        _keep_rest(client, frames, sent, queue)


def _write_to_one(client: Client, frames: Sequence[bytes], queue: Sequence[Entry]) -> None:
    """Do what `_write_to_all` does, without what many clients need."""
    data = frames[0] if len(frames) == 1 else b"".join(frames)
    try:
        sent = os.write(client.descriptor, data)
    except BlockingIOError:
        sent = 0
    except OSError:
        sent = GONE
    if sent != len(data):
        _keep_rest(client, frames, sent, queue)


def _keep_rest(client: Client, frames: Sequence[bytes], sent: int, queue: Sequence[Entry]) -> None:
    """Let what could not be written wait, or end a client that is gone or too slow."""
    if sent == GONE:
        client.drop(CloseCode.ABNORMAL)
    elif not client.keep(frames, sent, _paths_for(client, queue)):
        client.drop(CloseCode.TOO_SLOW)


def _paths_for(client: Client, queue: Sequence[Entry]) -> list[str | None]:
    """Give the path of each frame that is queued for a client; nothing for one that is to lose none of them."""
    if client.policy is _DISCONNECT:
        return []
    paths: list[str | None] = []
    for target, frame, third in queue:
        if target is client:
            paths.append(third)
        elif isinstance(target, Audience) and third is not client and client in target:
            paths.append(frame.path or NO_PATH)
    return paths
