"""The one guard around foreign code: what a plugin raises ends that call, and nothing else.

Some exceptions are not an `Exception`, so failure handlers do not catch them, and some of them end the loop:
`SystemExit` (of argparse, when a client sends ``--help``), `KeyboardInterrupt`, `asyncio.CancelledError`,
`GeneratorExit`, and whatever a plugin derives from `BaseException`. Here each becomes an `EscapedError`, handled like
any other failure.

What is meant for the server itself passes: a cancellation of the running task from outside, the end of a discarded
coroutine, and a real Ctrl-C while plugins are imported (`interruptible`). While the server runs, Ctrl-C and SIGTERM do
not raise exceptions.
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

from signalpost.logsubject import about_path

LOG = logging.getLogger(__name__)

LONGEST_TURN = 0.1
"""Seconds that code may block the loop before the log names it."""

_IS_TOLD = "__signalpost_told__"
_INTERRUPTED = "__signalpost_interrupted__"

Function = TypeVar("Function", bound=Callable[..., Any])

Result = TypeVar("Result")


class EscapedError(Exception):
    """A plugin raised an object that is not an `Exception`; it is in `escaped`."""

    def __init__(self, escaped: BaseException) -> None:
        text = " ".join(text_of(escaped).split())
        super().__init__(f"{type(escaped).__name__}: {text}" if text else type(escaped).__name__)
        self.escaped = escaped


class BlamingError(Exception):
    """An error whose text names the plugin's code that has caused it.

    Attributes:
        code: that code: ``handler "shout" of plugin chat (plugins/chat.py:7)``; empty as long as it is not known.
    """

    code: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.code}: {text}" if self.code else text


def exception_of(error: BaseException) -> Exception:
    """Return what plain code raised as an `Exception`. Not for what an ``await`` raised: see `Code.wait`."""
    if isinstance(error, Exception):
        return error
    made = EscapedError(error)
    made.__cause__ = error
    return made


def original(error: BaseException) -> BaseException:
    """Return what a plugin actually raised, for its author."""
    return error.escaped if isinstance(error, EscapedError) else error


def text_of(error: BaseException) -> str:
    """Return the text of an exception; nothing if its class, which may be a plugin's, fails to produce it."""
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
    """Return whether the running task, if any, was cancelled, instead of something that it awaited."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def unseen(task: "asyncio.Task[Result]") -> "asyncio.Task[Result]":
    """Return a task of the server, hidden from `asyncio.all_tasks`.

    A plugin may cancel all visible tasks, in a `shutdown` that was written for a standalone program.
    """
    asyncio._unregister_task(task)  # noqa: SLF001 - as "Extending" in the documentation of asyncio has it
    return task


def unseen_task(coroutine: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
    """Return a new task of the server for a coroutine; see `unseen`."""
    return unseen(asyncio.get_running_loop().create_task(coroutine))


def is_the_task_s(error: BaseException) -> bool:
    """Return whether an exception is meant to end the running task, and was not raised by foreign code in it."""
    return isinstance(error, GeneratorExit) or (isinstance(error, asyncio.CancelledError) and is_cancelled())


def contained(function: Function) -> Function:
    """Return a plain function that raises only `Exception`."""

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
    """Holds the current instance of a plugin; one for each plugin whose module was imported.

    Attributes:
        context: the instance's own; None before its `startup`.
        told: warnings about the plugin's functions that have been logged, and are not repeated.
    """

    __slots__ = ("context", "told")

    def __init__(self) -> None:
        self.context: Any = None
        self.told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Code:
    """A plugin's function with its name for the log: ``handler "shout" of plugin chat (plugins/chat.py:7)``.

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
        """Call a plain function, or create the coroutine of an ``async def``.

        Raises:
            Exception: whatever it raises; `EscapedError` for what is not an `Exception`.
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
        """Call the hooks `on_error`: the time of this code was over; `text` says how much it had."""
        self._failed(TimeoutError(text), args)

    def _failed(self, error: BaseException, args: Sequence[Any]) -> None:
        """Call the hooks `on_error`, once for each exception: it may pass through several calls."""
        if isinstance(error, BlamingError) and not error.code:
            error.code = str(self)  # the innermost
        if self.seat is None or self.seat.context is None or getattr(error, _IS_TOLD, False):
            return
        with suppress(Exception):  # one without attributes is reported again
            setattr(error, _IS_TOLD, True)
        self.seat.context.failed(self, error, args)

    def _tell(self, seconds: float, args: Sequence[Any]) -> None:
        path = getattr(args[0], "path", "") if args else ""
        LOG.warning(
            "%s blocked the loop for %.2f s%s: nobody else was served meanwhile",
            self,
            seconds,
            path and f" on {path}",
            extra=about_path(path) if isinstance(path, str) and path else None,
        )

    async def run(self, function: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        """Call a function, and await its result if that is awaitable; see `wait`.

        Args:
            function: a plain one, or an ``async def``.
            *args: for it.
            context: for the run; that of the running task if None.
        """
        outcome = self.call(function, *args) if context is None else context.run(self.call, function, *args)
        if type(outcome) is CoroutineType or inspect.isawaitable(outcome):
            return await self.wait(outcome, *args, context=context)
        return outcome

    async def wait(self, awaitable: Awaitable[Any], *args: Any, context: Context | None = None) -> Any:
        """Await a plugin's coroutine; the log names the path of its first argument.

        Raises:
            Exception: whatever it raises; `EscapedError` for what is not an `Exception`.
            asyncio.CancelledError: the task was cancelled from outside.
        """
        steps = _Steps(awaitable, asyncio.current_task(), context)
        try:
            # Most finish without waiting.
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
    """Note on a cancellation which code it has interrupted, the innermost; for `overran`."""
    if getattr(error, _INTERRUPTED, None) is None:
        setattr(error, _INTERRUPTED, (code, args))


def overran(error: BaseException, text: str) -> None:
    """Call the hooks `on_error` for plugin code that a cancellation has ended because its time was over.

    Args:
        error: the cancellation, or the `TimeoutError` that `asyncio.timeout` made of it.
        text: says how long it may take.
    """
    # Python 3.11.2 sets only the context of the two.
    origins = (error, error.__cause__, error.__context__)
    found = next(filter(None, (getattr(each, _INTERRUPTED, None) for each in origins)), None)
    if found is not None:
        code, args = found
        code.overran(text, *args)


def overran_in(task: "asyncio.Task[Any]", text: str) -> None:
    """Do the same for a finished task; nothing if it was not cancelled."""
    if task.cancelled():
        try:
            task.result()
        except asyncio.CancelledError as error:
            overran(error, text)


def in_templates(code: Code, function: Function) -> Function:
    """Return a plugin's function for templates: called through its `Code`, with any arguments."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # The arguments are values of templates, which neither the log nor `on_error` can interpret.
        return code.call(partial(function, *args, **kwargs))

    return cast("Function", call)


def named_code(code: Code | None, owner: str) -> str:
    """Return the name of what handles something: a plugin's code, or a place in routes.yaml."""
    return f"the actions of {owner}" if code is None else str(code)


class _Steps:
    """Drives a plugin's coroutine from one wait to the next, and tracks who cancels the task that it runs in.

    Args:
        awaitable: the coroutine.
        task: that runs it.
        context: for the run; the task's if None.

    Attributes:
        value: its result, once it is done.
        cancelled_itself: how often the code has cancelled its own task. It may only cancel tasks that it has created.
        longest: seconds of the longest run without a wait.
        thrown_away: whether the coroutine was closed from outside.
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
            # Not through self: a reference cycle would keep it, and what it awaits, for the garbage collector.
            iterator = self._iterator = awaitable.__await__()
            self._resume = lambda _nothing: next(iterator)
        self.cancelled_itself = 0
        self.longest = 0.0
        self.thrown_away = False

    def advance(self, raised: BaseException | None = None) -> bool:
        """Continue to the next wait of the code; return True if it is done.

        Args:
            raised: the exception that ended the wait, to be thrown in. Tasks send no values.
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
        """Await the rest; return its value."""
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
        """Return whether what ends the code is meant for the task: it was cancelled from outside, or discarded."""
        if isinstance(error, GeneratorExit):
            return self.thrown_away
        return isinstance(error, asyncio.CancelledError) and self._is_cancelled_by_others()

    def _is_cancelled_by_others(self) -> bool:
        return self._task is not None and self._task.cancelling() - self._before > self.cancelled_itself

    async def take_back(self) -> None:
        """Undo the cancellations with which the code has cancelled its own task."""
        if self._task is None:
            return
        for _ in range(min(self.cancelled_itself, self._task.cancelling() - self._before)):
            self._task.uncancel()
        try:
            await asyncio.sleep(0)  # where a pending cancellation is raised
        except asyncio.CancelledError:
            if self._task.cancelling() > self._before:
                raise


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Distinguish a real Ctrl-C from a `KeyboardInterrupt` that code raises itself, for the length of a block.

    Yields:
        a function that returns whether there was a real one.
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
        if signal.getsignal(signal.SIGINT) is press:  # else the code has installed a handler of its own
            signal.signal(signal.SIGINT, signal.default_int_handler)
