"""The one guard around code that is not the server's own: what a plugin raises ends that call, and nothing else.

Some exceptions are no `Exception`, so handlers of failures let them pass, and some of them end the loop: `SystemExit`
(of argparse, when a client sends ``--help``), `KeyboardInterrupt`, `asyncio.CancelledError`, `GeneratorExit`, and
whatever a plugin derives from `BaseException`. Here each becomes an `EscapedError`, handled like any other failure.

What is meant for the server itself passes: the cancellation of the running task by somebody else, the end of a
coroutine that is thrown away, and a real Ctrl-C while plugins are imported (`interruptible`). While the server runs,
Ctrl-C and SIGTERM are no exceptions.
"""

import asyncio
import inspect
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial, wraps
from time import perf_counter
from types import CoroutineType, FrameType, coroutine
from typing import Any, TypeVar, cast

LOG = logging.getLogger(__name__)

LONGEST_TURN = 0.1
"""Seconds that code may hold up the loop before the log names it."""

_IS_TOLD = "__signalpost_told__"
_INTERRUPTED = "__signalpost_interrupted__"

Function = TypeVar("Function", bound=Callable[..., Any])

Result = TypeVar("Result")


class EscapedError(Exception):
    """A plugin raised what is no `Exception`; `escaped` is that."""

    def __init__(self, escaped: BaseException) -> None:
        text = " ".join(text_of(escaped).split())
        super().__init__(f"{type(escaped).__name__}: {text}" if text else type(escaped).__name__)
        self.escaped = escaped


def exception_of(error: BaseException) -> Exception:
    """Return what plain code raised as an `Exception`. Not for what an ``await`` raised: see `Code.wait`."""
    if isinstance(error, Exception):
        return error
    made = EscapedError(error)
    made.__cause__ = error
    return made


def original(error: BaseException) -> BaseException:
    """Return what a plugin really raised, for its author to read."""
    return error.escaped if isinstance(error, EscapedError) else error


def text_of(error: BaseException) -> str:
    """Return what an exception says; nothing if its class, which may be a plugin's, fails of saying it."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the text of a failure is no reason for another one
        return ""


def named(error: BaseException) -> str:
    """Return type and text of what a plugin raised: ``SystemExit: 2``."""
    error = original(error)
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_cancelled() -> bool:
    """Return whether the running task, if one runs, was cancelled, rather than something that it waited for."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def unseen(task: "asyncio.Task[Result]") -> "asyncio.Task[Result]":
    """Return a task of the server's that `asyncio.all_tasks` does not show any more.

    Plugins cancel whatever that shows, in a `shutdown` that was written for a program of its own.
    """
    asyncio._unregister_task(task)  # noqa: SLF001 - as "Extending" in the documentation of asyncio has it
    return task


def unseen_task(coroutine: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
    """Return a new task of the server's for a coroutine; see `unseen`."""
    return unseen(asyncio.get_running_loop().create_task(coroutine))


def is_the_task_s(error: BaseException) -> bool:
    """Return whether an exception is meant to end the running task, rather than raised by foreign code in it."""
    return isinstance(error, GeneratorExit) or (isinstance(error, asyncio.CancelledError) and is_cancelled())


def contained(function: Function) -> Function:
    """Return a plain function that raises nothing but `Exception`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            raise
        except BaseException as error:
            raise EscapedError(error) from error

    return cast("Function", call)


class Seat:
    """Where the instance of a plugin sits that serves by now; one a plugin whose module was imported.

    Attributes:
        context: the instance's own; None before its `startup`.
        told: what the log was told of the plugin's functions, and need not be told again.

    """

    __slots__ = ("context", "told")

    def __init__(self) -> None:
        self.context: Any = None
        self.told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Code:
    """A plugin's function as the log names it: ``handler "shout" of plugin chat (plugins/chat.py:7)``.

    Attributes:
        what: ``handler "shout"``, ``hook startup``.
        plugin: the plugin's name.
        where: ``file:line`` of the function.
        seat: the plugin's.

    """

    what: str
    plugin: str
    where: str
    seat: Seat | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.what} of plugin {self.plugin} ({self.where})"

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a plain function, or make the coroutine of an ``async def``.

        Raises:
            Exception: whatever it raises; `EscapedError` for what is none.

        """
        begun = perf_counter()
        try:
            return function(*args)
        except Exception as error:
            self._failed(error, args)
            raise
        except BaseException as error:
            self._failed(error, args)
            raise EscapedError(error) from error
        finally:
            if perf_counter() - begun >= LONGEST_TURN:
                self._tell(perf_counter() - begun, args)

    def overran(self, text: str, *args: Any) -> None:
        """Let the hooks `on_error` know that this was given no more time; `text` says how much it had."""
        self._failed(TimeoutError(text), args)

    def _failed(self, error: BaseException, args: Sequence[Any]) -> None:
        """Let the hooks `on_error` know, once for each exception: it may pass through several calls."""
        if self.seat is None or self.seat.context is None or getattr(error, _IS_TOLD, False):
            return
        with suppress(Exception):  # one that takes no attributes is told of again
            setattr(error, _IS_TOLD, True)
        self.seat.context.failed(self, error, args)

    def _tell(self, seconds: float, args: Sequence[Any]) -> None:
        path = getattr(args[0], "path", "") if args else ""
        LOG.warning(
            "%s blocked the loop for %.2f s%s: nobody else was served meanwhile", self, seconds, path and f" on {path}"
        )

    async def run(self, function: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        """Call a function, and wait for what it returns if that can be awaited; see `wait`.

        Args:
            function: a plain one, or an ``async def``.
            *args: for it.
            context: what it runs in; that of the running task if None.

        """
        outcome = self.call(function, *args) if context is None else context.run(self.call, function, *args)
        if type(outcome) is CoroutineType or inspect.isawaitable(outcome):
            return await self.wait(outcome, *args, context=context)
        return outcome

    async def wait(self, awaitable: Awaitable[Any], *args: Any, context: Context | None = None) -> Any:
        """Wait for a plugin's coroutine; of its arguments, the log names the path of the first.

        Raises:
            Exception: whatever it raises; `EscapedError` for what is none.
            asyncio.CancelledError: the task was cancelled by somebody else.

        """
        steps = _Steps(awaitable, asyncio.current_task(), context)
        try:
            # Most are done without waiting.
            return steps.value if steps.advance() else await steps.rest()
        except BaseException as error:
            if steps.is_for_the_task(error):
                _interrupt(error, self, args)
                raise
            self._failed(error, args)
            if isinstance(error, Exception):
                raise
            raise EscapedError(error) from error
        finally:
            if steps.longest >= LONGEST_TURN:
                self._tell(steps.longest, args)
            if steps.cancelled_itself and not steps.thrown_away:
                await steps.take_back()


def _interrupt(error: BaseException, code: Code, args: Sequence[Any]) -> None:
    """Note on a cancellation what it has interrupted, innermost; for `overran`."""
    if getattr(error, _INTERRUPTED, None) is None:
        setattr(error, _INTERRUPTED, (code, args))


def overran(error: BaseException, text: str) -> None:
    """Let the hooks `on_error` know of the plugin's code that a cancellation has ended, since its time was over.

    Args:
        error: the cancellation, or the `TimeoutError` that `asyncio.timeout` has made of it.
        text: says how long it may take.

    """
    # Of the two, Python 3.11.2 has but the context.
    origins = (error, error.__cause__, error.__context__)
    found = next(filter(None, (getattr(each, _INTERRUPTED, None) for each in origins)), None)
    if found is not None:
        code, args = found
        code.overran(text, *args)


def overran_in(task: "asyncio.Task[Any]", text: str) -> None:
    """Do the same for a task that is over; nothing if it was not cancelled."""
    if task.cancelled():
        try:
            task.result()
        except asyncio.CancelledError as error:
            overran(error, text)


def in_templates(code: Code, function: Function) -> Function:
    """Return a plugin's function as templates call it: by its `Code`, whatever arguments it takes."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # The arguments are values of templates: nothing that the log or `on_error` could know its way about in.
        return code.call(partial(function, *args, **kwargs))

    return cast("Function", call)


def named_code(code: Code | None, owner: str) -> str:
    """Name what handles something: a plugin's code, or what stands in routes.yaml."""
    return f"the actions of {owner}" if code is None else str(code)


class _Steps:
    """Drives a plugin's coroutine from one wait to the next, and knows who cancels the task that it runs in.

    Args:
        awaitable: the coroutine.
        task: that it runs in.
        context: that it runs in; the task's if None.

    Attributes:
        value: what it has returned, once it is done.
        cancelled_itself: how often the code has cancelled its own task. It may only cancel what it has made.
        longest: seconds that the longest stretch without waiting took.
        thrown_away: whether the coroutine is closed from outside.

    """

    __slots__ = (
        "_before",
        "_context",
        "_iterator",
        "_resume",
        "_task",
        "_waits_for",
        "cancelled_itself",
        "longest",
        "thrown_away",
        "value",
    )
    _waits_for: Any
    value: Any

    def __init__(
        self, awaitable: Awaitable[Any], task: "asyncio.Task[Any] | None", context: Context | None = None
    ) -> None:
        self._task = task
        self._context = context
        self._before = 0 if task is None else task.cancelling()
        if type(awaitable) is CoroutineType:
            self._iterator: Any = awaitable
            self._resume = awaitable.send
        else:
            # Not by way of self, which would keep itself, and what is waited for, for the collector.
            iterator = self._iterator = awaitable.__await__()
            self._resume = lambda _nothing: next(iterator)
        self.cancelled_itself = 0
        self.longest = 0.0
        self.thrown_away = False

    def advance(self, raised: BaseException | None = None) -> bool:
        """Go on to where the code waits next; True if it waits no more.

        Args:
            raised: what waiting has ended with, to be thrown in. Tasks send nothing.

        """
        task, context = self._task, self._context
        resume, given = (self._resume, None) if raised is None else (self._iterator.throw, raised)
        before = 0 if task is None else task.cancelling()
        begun = perf_counter()
        try:
            self._waits_for = resume(given) if context is None else context.run(resume, given)
        except StopIteration as stop:
            self.value = stop.value
            return True
        finally:
            if (took := perf_counter() - begun) > self.longest:
                self.longest = took
            if task is not None and (more := task.cancelling() - before) > 0:
                self.cancelled_itself += more
        return False

    @coroutine
    def rest(self) -> Generator[Any, None, Any]:
        """Wait until it is done; return its value."""
        while True:
            raised: BaseException | None = None
            try:
                yield self._waits_for
            except GeneratorExit:
                self.thrown_away = True
                self._iterator.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is thrown on
                raised = error
            if self.advance(raised):
                return self.value

    def is_for_the_task(self, error: BaseException) -> bool:
        """Return whether what ends the code is for the task: somebody else wants that to end, or has thrown it away."""
        if isinstance(error, GeneratorExit):
            return self.thrown_away
        return isinstance(error, asyncio.CancelledError) and self._is_cancelled_by_others()

    def _is_cancelled_by_others(self) -> bool:
        return self._task is not None and self._task.cancelling() - self._before > self.cancelled_itself

    async def take_back(self) -> None:
        """Let the task go on although the code has cancelled it."""
        if self._task is None:
            return
        for _ in range(min(self.cancelled_itself, self._task.cancelling() - self._before)):
            self._task.uncancel()
        try:
            await asyncio.sleep(0)  # where a cancellation that is still to come is raised
        except asyncio.CancelledError:
            if self._task.cancelling() > self._before:
                raise


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Tell a real Ctrl-C from a `KeyboardInterrupt` that code raises by itself, for the length of a block.

    Yields:
        tells whether there was a real one.

    """
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        if signal.getsignal(signal.SIGINT) is press:  # else the code has taken it for itself
            signal.signal(signal.SIGINT, signal.default_int_handler)
