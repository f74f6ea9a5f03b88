"""How many places of a kind each key has, such as open connections of each address."""

from collections.abc import Hashable, Iterable


class Occupancy:
    """Counts members by key, while there is a limit; without one it keeps nothing.

    Its memory is bounded by the number of members.
    """

    __slots__ = ("_counts", "_keys", "most")

    def __init__(self) -> None:
        self.most: int | None = None
        self._keys: dict[object, Hashable] = {}
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Return how many members are counted."""
        return len(self._keys)

    def limit(self, most: int | None, members: Iterable[tuple[object, Hashable]]) -> None:
        """Allow each key so many members from now on; None is no limit.

        Args:
            most: of one key.
            members: all that there are now, each with its key; used if there was no limit before.
        """
        if most is None:
            self._keys.clear()
            self._counts.clear()
        elif self.most is None:
            self.most = most
            for member, key in members:
                self.add(member, key)
        self.most = most

    def count(self, key: Hashable) -> int:
        """Return how many members a key has."""
        return self._counts.get(key, 0)

    def is_full(self, key: Hashable) -> bool:
        """Return whether a key may have no more members."""
        return self.most is not None and self._counts.get(key, 0) >= self.most

    def add(self, member: object, key: Hashable) -> None:
        """Count a member; one that is counted already keeps its key."""
        if self.most is not None and member not in self._keys:
            self._keys[member] = key
            self._counts[key] = self._counts.get(key, 0) + 1

    def remove(self, member: object) -> None:
        """Count a member no more. Calling it twice is no error."""
        if not self._keys or member not in self._keys:
            return
        key = self._keys.pop(member)
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
