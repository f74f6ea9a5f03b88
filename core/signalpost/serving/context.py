"""Runs what plugins do for a request in a context of its own.

All requests of a connection are answered in one task, and behind a proxy a connection brings requests of many clients:
what code of plugins sets in a ContextVar for one of them must not be there for the next.
"""

import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def in_context(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run a coroutine in a context, and in the task that awaits this: a task of its own costs a turn of the loop.

    Args:
        context: of nobody else.
        coroutine: may raise anything; what is thrown in here, a cancellation for one, it gets.

    """
    resume, given = coroutine.send, None
    while True:
        try:
            waits_for = context.run(resume, given)
        except StopIteration as end:
            value: T = end.value
            return value
        try:
            resume, given = coroutine.send, (yield waits_for)
        except BaseException as error:  # noqa: BLE001 - the coroutine's to deal with
            resume, given = coroutine.throw, error
