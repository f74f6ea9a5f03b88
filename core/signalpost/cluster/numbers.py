"""Numbers: each node counts what it publishes on each channel, so that whoever misses one knows.

A number is a series and a count from 0 in it::

    series  count
    31      32      bits

A node that has forgotten where it was begins another series, which is a random one.
"""

from collections import OrderedDict
from enum import Enum
from secrets import randbits

MOST_CHANNELS = 50_000
"""Channels for which a node counts at once; on the one that it used longest ago it begins anew later."""

_SERIES_BITS = 31
_COUNT_BITS = 32
_COUNT = (1 << _COUNT_BITS) - 1


class OwnNumbers:
    """The numbers of what this node publishes."""

    __slots__ = ("_last", "_most")

    def __init__(self, most: int = MOST_CHANNELS) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._most = most

    def take(self, channel: str) -> int:
        """Return the number of the next body on a channel."""
        last = self._last.get(channel)
        number = randbits(_SERIES_BITS) << _COUNT_BITS if last is None else last + 1
        self._last[channel] = number
        self._last.move_to_end(channel)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return number


class Verdict(Enum):
    """What a number says: it is the next one, it was heard before, or others before it were missed."""

    NEXT = 0
    KNOWN = 1
    MISSED = 2


class HeardNumbers:
    """The numbers of what this node has heard of others, and of itself."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, dict[int, int]] = {}  # by channel and node

    def judge(self, channel: str, node: int, number: int) -> Verdict:
        """Note a number, and return what it says. The first that is heard of a node on a channel is the next one."""
        nodes = self._last.get(channel)
        if nodes is None:
            nodes = self._last[channel] = {}
        last = nodes.get(node, number - 1)
        if number >> _COUNT_BITS != last >> _COUNT_BITS and node in nodes:
            nodes[node] = number
            return Verdict.MISSED if number & _COUNT else Verdict.NEXT
        if number <= last:
            return Verdict.KNOWN
        nodes[node] = number
        return Verdict.NEXT if number == last + 1 else Verdict.MISSED

    def forget_channel(self, channel: str) -> None:
        """Forget a channel that is not followed any more."""
        self._last.pop(channel, None)

    def forget_node(self, node: int) -> None:
        """Forget a node that has gone."""
        for nodes in self._last.values():
            nodes.pop(node, None)
