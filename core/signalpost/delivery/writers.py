"""Write to many sockets without waiting for any: one system call each.

`signalpost.delivery.ring` needs one system call for hundreds, where the kernel allows that.
"""

import os
from array import array
from collections.abc import Sequence
from typing import Protocol

GONE = -1
"""In place of a count of bytes: the socket is dead."""

Unfinished = list[tuple[int, int]]
"""Descriptors that did not accept everything, each with the number of bytes that it accepted, or `GONE`."""


Batch = tuple["array[int]", bytes]
"""Descriptors, and what each of them is to be written."""


class Writer(Protocol):
    """Writes to descriptors of non-blocking sockets."""

    def write(self, descriptors: "array[int]", data: bytes) -> Unfinished:
        """Write `data` to each of the distinct descriptors; return those that did not accept all of it."""

    def write_each(self, batches: Sequence[Batch]) -> Unfinished:
        """Do the same for many batches, each with bytes of its own; a descriptor is in one of them, and only once."""

    def close(self) -> None:
        """Release what the writer holds; it still writes afterwards."""


class OneByOne:
    """The `Writer` of every system."""

    def write(self, descriptors: "array[int]", data: bytes) -> Unfinished:
        """See `Writer.write`."""
        size = len(data)
        write = os.write
        unfinished: Unfinished = []
        for descriptor in descriptors:
            try:
                sent = write(descriptor, data)
            except BlockingIOError:
                unfinished.append((descriptor, 0))
            except OSError:
                unfinished.append((descriptor, GONE))
            else:
                if sent != size:
                    unfinished.append((descriptor, sent))
        return unfinished

    def write_each(self, batches: Sequence[Batch]) -> Unfinished:
        """See `Writer.write_each`."""
        return [left for descriptors, data in batches for left in self.write(descriptors, data)]

    def close(self) -> None:
        """See `Writer.close`: there is nothing to release."""
