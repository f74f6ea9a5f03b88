"""Write to many sockets with one system call for hundreds of them: io_uring of Linux 5.19.

A system call for each client, made through Python, is a tenth of the cost of a broadcast. A ring is memory shared with
the kernel: each place in it names a descriptor and what to write. One io_uring_enter(2) writes them all before it
returns, in order, and as much as each socket accepts, just as send(2) does. What is written is copied to a room that
all places of a call share, so many audiences need one call as well, each with bytes of its own.

Not every system has it, and containers often forbid it. `open_writer` tests it, and falls back to one call per socket.
Structures and numbers are those of linux/io_uring.h; see io_uring_setup(2) and io_uring_enter(2).
"""

import contextlib
import ctypes
import errno
import logging
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence

from signalpost.delivery.writers import GONE, Batch, OneByOne, Unfinished, Writer

LOG = logging.getLogger(__name__)

PLACES = 1_024
"""Writes per system call."""

ROOM = 65_536
"""Bytes of the writes of one call, those of an audience counted once; a longer write takes so long that calls do not
matter."""

FEWEST = 10
"""Number of descriptors from which this is the faster way (tests/bench/writers.py)."""

_SETUP, _ENTER = 425, 426  # numbers of system calls, on every architecture that CPython supports
_SUBMIT_ALL = 1 << 7  # IORING_SETUP_SUBMIT_ALL: a failed write does not hold back those behind it
_SINGLE_MMAP, _CQE_SKIP = 1 << 0, 1 << 11  # IORING_FEAT_…
_RINGS_AT, _PLACES_AT = 0, 0x10000000  # IORING_OFF_SQ_RING, IORING_OFF_SQES

# Words of a struct io_uring_params: its own ten, then ten of offsets for each of the two rings.
_PARAMS = 30
_FLAGS, _FEATURES = 2, 5
_SUBMISSIONS, _SUBMISSION_TAIL, _SUBMISSION_ARRAY = 0, 11, 16
_COMPLETIONS, _COMPLETION_HEAD, _COMPLETION_TAIL, _COMPLETION_ARRAY = 1, 20, 21, 25

_SUBMISSION = struct.Struct("=BBHiQQIIQ24x")  # io_uring_sqe: opcode, flags, ioprio, fd, off, addr, len, how, user_data
_STRIDE, _FD, _LEN = 16, 1, 6  # its size, and the offsets of what changes in it, in words
_ADDRESS, _MARK = 2, 4  # offsets in words of 64 bits; the second is user_data, by which a completion names its place
_SEND = 26  # IORING_OP_SEND
_SKIP_SUCCESS = 1 << 6  # IOSQE_CQE_SKIP_SUCCESS: only failures are reported
# MSG_WAITALL: a socket that accepts only a part counts as a failure, reported with the bytes that it accepted.
_HOW = socket.MSG_DONTWAIT | socket.MSG_WAITALL | socket.MSG_NOSIGNAL

_COMPLETION = struct.Struct("=QiI")  # io_uring_cqe: user_data, res, flags
_WORD = 4
_WRAP = 0xFFFFFFFF  # heads and tails count up without end


class Ring:
    """A `Writer` that submits whole batches to the kernel.

    Args:
        places: writes per system call, a power of two.

    Attributes:
        fewest: number of descriptors from which the ring is used.

    Raises:
        OSError: the kernel has no such ring, denies it to this process, or has no descriptor left.
    """

    def __init__(self, places: int = PLACES) -> None:
        self.fewest = FEWEST
        self._places = places
        self._one_by_one = OneByOne()
        # Called without types of arguments, which cost as much as the rest of a call: all are numbers of 32 bits.
        self._syscall = ctypes.CDLL(None).syscall
        setup = ctypes.CDLL(None, use_errno=True).syscall
        params = (ctypes.c_uint32 * _PARAMS)()
        params[_FLAGS] = _SUBMIT_ALL
        self._descriptor: int = setup(_SETUP, places, ctypes.byref(params))
        if self._descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        with contextlib.ExitStack() as failing:
            failing.callback(os.close, self._descriptor)
            self._map(list(params))
            failing.pop_all()

    def _map(self, params: list[int]) -> None:
        if ~params[_FEATURES] & (_SINGLE_MMAP | _CQE_SKIP):
            raise OSError(errno.ENOSYS, "this kernel's io_uring cannot report failures alone")
        self._completions, self._completions_at = params[_COMPLETIONS], params[_COMPLETION_ARRAY]
        size = max(
            params[_SUBMISSION_ARRAY] + _WORD * params[_SUBMISSIONS],
            self._completions_at + _COMPLETION.size * self._completions,
        )
        self._rings = mmap.mmap(self._descriptor, size, offset=_RINGS_AT)
        self._words = memoryview(self._rings).cast("I")
        self._tail_at = params[_SUBMISSION_TAIL] // _WORD
        self._completion_head_at = params[_COMPLETION_HEAD] // _WORD
        self._completion_tail_at = params[_COMPLETION_TAIL] // _WORD
        order = params[_SUBMISSION_ARRAY] // _WORD
        self._words[order : order + self._places] = memoryview(array("I", range(self._places)))
        self._tail = 0
        self._data = ctypes.create_string_buffer(ROOM)
        self._room = memoryview(self._data).cast("B")
        self._address = address = ctypes.addressof(self._data)
        self._begins = array("q", (address,)) * self._places
        self._marks = array("q", range(self._places))
        self._size, self._sizes = 0, array("i")  # of the last `write`; the next one's is often the same
        self._submissions = mmap.mmap(self._descriptor, self._places * _SUBMISSION.size, offset=_PLACES_AT)
        for place in range(self._places):
            _SUBMISSION.pack_into(
                self._submissions, place * _SUBMISSION.size, _SEND, _SKIP_SUCCESS, 0, -1, 0, address, 0, _HOW, place
            )
        self._fields = memoryview(self._submissions).cast("i")
        self._longs = memoryview(self._submissions).cast("q")

    def write(self, descriptors: "array[int]", data: bytes) -> Unfinished:
        """See `Writer.write`."""
        size, count = len(data), len(descriptors)
        if count < self.fewest or size > ROOM or self._descriptor < 0:
            return self._one_by_one.write(descriptors, data)
        self._room[:size] = data
        if size != self._size or count != len(self._sizes):
            self._size, self._sizes = size, array("i", (size,)) * count
        unfinished: Unfinished = []
        submitted = self._submit(descriptors, unfinished, self._sizes)
        while submitted < count:
            descriptors = descriptors[submitted:]
            count -= submitted
            if not submitted:  # the kernel is out of memory for now
                return unfinished + self._one_by_one.write(descriptors, data)
            submitted = self._submit(descriptors, unfinished, self._sizes[:count])
        return unfinished

    def write_each(self, batches: Sequence[Batch]) -> Unfinished:
        """See `Writer.write_each`."""
        if len(batches) < self.fewest and sum([len(numbers) for numbers, _ in batches]) < self.fewest:
            return self._one_by_one.write_each(batches)
        unfinished: Unfinished = []
        descriptors, filled = array("i"), 0
        places: list[bytes] = []
        pieces: list[bytes] = []
        for numbers, data in batches:
            size, count = len(data), len(numbers)
            if size > ROOM or count > self._places:
                unfinished += self.write(numbers, data)
                continue
            if filled + size > ROOM or len(descriptors) + count > self._places:
                self._write_places(descriptors, b"".join(places), b"".join(pieces), unfinished)
                descriptors, places, pieces, filled = array("i"), [], [], 0
            descriptors += numbers
            place = _SUBMISSION.pack(_SEND, _SKIP_SUCCESS, 0, -1, 0, self._address + filled, size, _HOW, 0)
            places.append(place * count)
            pieces.append(data)
            filled += size
        self._write_places(descriptors, b"".join(places), b"".join(pieces), unfinished)
        return unfinished

    def _write_places(self, descriptors: "array[int]", places: bytes, data: bytes, unfinished: Unfinished) -> None:
        """Write to descriptors what their places say.

        Args:
            descriptors: no more than the ring has places.
            places: what stands in the place of each, but for the descriptor.
            data: what they point to, no more than the room holds.
            unfinished: whatever sockets do not accept is added.
        """
        self._room[: len(data)] = data
        while descriptors and len(descriptors) >= self.fewest and self._descriptor >= 0:
            submitted = self._submit(descriptors, unfinished, places=places)
            descriptors, places = descriptors[submitted:], places[submitted * _SUBMISSION.size :]
            if not submitted:  # the kernel is out of memory for now
                break
        for number in range(len(descriptors)):
            *_, address, size, _, _ = _SUBMISSION.unpack_from(places, number * _SUBMISSION.size)
            begin = address - self._address
            unfinished += self._one_by_one.write(descriptors[number : number + 1], data[begin : begin + size])

    def _submit(
        self,
        descriptors: "array[int]",
        unfinished: Unfinished,
        sizes: "array[int] | None" = None,
        places: bytes = b"",
    ) -> int:
        """Submit writes, as far as there are places that follow each other.

        Args:
            descriptors: where to.
            unfinished: whatever sockets do not accept is added.
            sizes: of the writes, if all are of what the room begins with.
            places: what stands in their places, if not.

        Returns:
            How many the kernel has processed.
        """
        count, place = len(descriptors), self._tail % self._places
        if place + count > self._places:
            count = self._places - place
            descriptors = descriptors[:count]
            sizes = None if sizes is None else sizes[:count]
        fields, words = self._fields, self._words
        begin, end = place * _STRIDE, (place + count) * _STRIDE
        if sizes is None:
            self._submissions[begin * _WORD : end * _WORD] = places[: count * _SUBMISSION.size]
            self._longs[begin // 2 + _MARK : end // 2 : _STRIDE // 2] = self._marks[place : place + count]
        else:
            fields[begin + _LEN : end : _STRIDE] = sizes
        fields[begin + _FD : end : _STRIDE] = descriptors
        words[self._tail_at] = (self._tail + count) & _WRAP
        # Without flags, io_uring_enter(2) reads no argument behind them.
        submitted: int = max(0, self._syscall(_ENTER, self._descriptor, count, 0, 0))
        self._tail = (self._tail + submitted) & _WRAP
        if submitted < count:
            words[self._tail_at] = self._tail
        if words[self._completion_head_at] != words[self._completion_tail_at]:
            self._reap(unfinished, descriptors, place)
        if sizes is None:
            self._longs[begin // 2 + _ADDRESS : end // 2 : _STRIDE // 2] = self._begins[:count]
        return submitted

    def _reap(self, unfinished: Unfinished, batch: "array[int]", first: int) -> None:
        """Add the writes of a batch, in places from `first` on, whose sockets did not accept everything."""
        head, tail = self._words[self._completion_head_at], self._words[self._completion_tail_at]
        while head != tail:
            at = self._completions_at + head % self._completions * _COMPLETION.size
            place, result, _ = _COMPLETION.unpack_from(self._rings, at)
            sent = result if result >= 0 else 0 if result == -errno.EAGAIN else GONE
            unfinished.append((batch[place - first], sent))
            head = (head + 1) & _WRAP
        self._words[self._completion_head_at] = head

    def close(self) -> None:
        """See `Writer.close`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._words.release()
            self._rings.close()
            self._fields.release()
            self._longs.release()
            self._submissions.close()
            os.close(descriptor)


def open_writer() -> Writer:
    """Open a ring if this system has one that works as documented; else return the writer for one call per socket."""
    if sys.platform == "linux":
        try:
            ring = Ring()
        except OSError as error:
            LOG.debug("broadcasts are written client by client: no io_uring (%s)", error.strerror)
        else:
            if _keeps_its_word(ring):
                LOG.debug("broadcasts are written by io_uring, %d clients at a time", PLACES)
                return ring
            LOG.debug("broadcasts are written client by client: io_uring does not tell how much was written")
            ring.close()
    return OneByOne()


def _keeps_its_word(ring: Ring) -> bool:
    """Return whether the kernel reports correctly how much a socket accepted: in part, none because full, or dead."""
    near, far = socket.socketpair()
    with near, far:
        number = near.fileno()
        alone = array("i", [number])
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the smallest that the kernel allows: some KiB
        fewest, ring.fewest = ring.fewest, 1
        try:
            partial, full = (ring.write(alone, bytes(ROOM)) for _ in range(2))
            taken = len(far.recv(ROOM))
            far.close()
            dead = ring.write(alone, b"-")
        finally:
            ring.fewest = fewest
    return 0 < taken < ROOM and (partial, full, dead) == ([(number, taken)], [(number, 0)], [(number, GONE)])
