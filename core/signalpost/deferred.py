"""Something to be awaited that begins only then: whoever drops it leaves nothing behind."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """An awaitable. A coroutine that is never awaited would be a warning.

    Args:
        begin: returns what is awaited, once.
    """

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], Awaitable[T]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, None, T]:
        """Begin, and wait."""
        return self._begin().__await__()
