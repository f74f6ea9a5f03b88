"""The connection for commands: they are sent in the order of the calls, and answered in the same order."""

from asyncio import Future, StreamWriter
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import ReplyError, pack_command

from signalpost.backplanes.backplane import AwayError, RefusedError
from signalpost.backplanes.futures import fail, succeed
from signalpost.backplanes.redisaddress import Address
from signalpost.backplanes.rediserrors import error_of_reply
from signalpost.backplanes.redisline import Line
from signalpost.backplanes.redisreplies import UnreadableError

Answer = Callable[[Any], Any]
"""Returns what a reply says. It raises `AwayError`, which ends the connection, or `RefusedError`."""


class Call:
    """A command under way.

    Args:
        future: of whoever asked.
        read: what becomes of the reply.
    """

    __slots__ = ("_read", "future")

    def __init__(self, future: Future[Any], read: Answer) -> None:
        self.future = future
        self._read = read

    def answered(self, reply: Any) -> None:
        """Called with the reply, if it is no error."""
        succeed(self.future, self._read(reply))

    def failed(self, error: AwayError | RefusedError) -> None:
        """Called with the error that it ends with."""
        fail(self.future, error)


class _Part(Call):
    """One of several commands whose answers are wanted together."""

    __slots__ = ("_answers", "_wanted")

    def __init__(self, future: Future[Any], read: Answer, answers: list[Any], wanted: int) -> None:
        super().__init__(future, read)
        self._answers = answers
        self._wanted = wanted

    def answered(self, reply: Any) -> None:
        """See `Call.answered`."""
        self._answers.append(self._read(reply))
        if len(self._answers) == self._wanted:
            succeed(self.future, self._answers)


class Pipeline(Line):
    """Sends commands, any number before the first of them is answered; see `Line`."""

    def __init__(self, writer: StreamWriter, address: Address, silence: float) -> None:
        self._calls: deque[Call] = deque()
        super().__init__(writer, address, silence)

    @property
    def owed(self) -> int:
        """See `Line.owed`."""
        return len(self._calls)

    def send(self, call: Call, *command: bytes | int) -> None:
        """Send a command at the end of the loop turn."""
        if self.why is not None:
            call.failed(AwayError(f"{self.address} is away: {self.why}"))
            return
        self.write(pack_command(command))  # type: ignore[arg-type]  # any number of parts
        self._calls.append(call)

    def ask(self, read: Answer, *command: bytes | int) -> Future[Any]:
        """Send a command at the end of the loop turn; return what its reply says."""
        future: Future[Any] = self._loop.create_future()
        self.send(Call(future, read), *command)
        return future

    def ask_all(self, read: Answer, commands: Sequence[tuple[bytes | int, ...]]) -> Future[Any]:
        """Send commands at the end of the loop turn; return what their replies say, or the first error."""
        future: Future[Any] = self._loop.create_future()
        answers: list[Any] = []
        if not commands:
            succeed(future, answers)
        for command in commands:
            self.send(_Part(future, read, answers, len(commands)), *command)
        return future

    def replied(self, reply: Any) -> None:
        """See `Line.replied`."""
        if not self._calls:
            self.lose("it answers what was not asked")
            return
        call = self._calls.popleft()
        try:
            if isinstance(reply, ReplyError):
                raise error_of_reply(str(reply), self.address)
            call.answered(reply)
        except RefusedError as error:
            call.failed(error)
        except UnreadableError:
            call.failed(RefusedError(f"{self.address} has data of another program under the keys of this app"))
        except AwayError as error:
            call.failed(error)
            self.lose(str(error))

    def abandon(self, error: AwayError) -> None:
        """See `Line.abandon`."""
        while self._calls:
            self._calls.popleft().failed(AwayError(*error.args))
