"""Futures whose caller may have gone: it may have cancelled them, or never look at their errors."""

from asyncio import Future
from typing import Any


def succeed(future: Future[Any], value: Any) -> None:
    """Give a future its value, unless it was cancelled."""
    if not future.done():
        future.set_result(value)


def fail(future: Future[Any], error: Exception) -> None:
    """Give a future its error, unless it was cancelled; asyncio is silent if nobody looks at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # counts as looked at
