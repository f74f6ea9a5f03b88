"""The errors of signalpost, grouped by who can fix them.

::

    SignalpostError
    ├── OperatorError            the operator of the server can fix it
    │   ├── ConfigError          routes.yaml: every problem at once, each with its place
    │   ├── ListenError          an address, a port or a certificate that cannot be used
    │   ├── StateFileError       the file of the state cannot be used
    │   ├── HistoryFileError     the file of the history cannot be used
    │   ├── StateFullError       the state holds as much as it may
    │   └── StepFailedError      a step of a `do` list that failed while the server runs
    ├── PluginError              the author of a plugin can fix it
    ├── UnauthorizedError        a client has not shown who it is, or not well
    ├── NotReadyError            the server cannot judge that yet; the client may try again
    ├── UnavailableError         the backplane cannot be reached, so nothing was sent; whoever sends may try again
    └── ClientError              a client sent it; answered to that client alone, carries an `ErrorCode`

An error carries data; its text is for the person who must act.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ErrorCode(StrEnum):
    """The codes of all errors that the server sends to clients about rejected messages."""

    BAD_MESSAGE = "bad-message"
    SCHEMA_MISMATCH = "schema-mismatch"
    TARGET_NOT_ALLOWED = "target-not-allowed"
    HANDLER_FAILED = "handler-failed"
    UNSUPPORTED_FRAME = "unsupported-frame"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "unauthorized"
    UNAVAILABLE = "unavailable"
    UNKNOWN_REQUEST = "unknown-request"
    UNKNOWN_POSITION = "unknown-position"
    NOT_CONNECTED = "not-connected"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in routes.yaml (or in a file that it names), at its place.

    Attributes:
        file: as the user named it, e.g. ``routes.yaml``.
        line: from 1; 0 for the whole file.
        column: from 1, in characters; 0 for the whole file.
        keys: the path of keys, e.g. ``signals[0].handler``; empty for the file itself.
        text: what is wrong, what is allowed, what was probably meant. One line.
        source: the source line, without its line end.
        width: how many characters the caret underlines.
    """

    file: str
    line: int
    column: int
    keys: str
    text: str
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.keys}: {self.text}" if self.keys else f"{place}: {self.text}"


class SignalpostError(Exception):
    """Base of all errors that signalpost raises on purpose."""


class OperatorError(SignalpostError):
    """The operator of the server can fix it."""


class ConfigError(OperatorError):
    """routes.yaml cannot be used; carries every problem found.

    Attributes:
        problems: at least one, in the order of their places.
        files: that were read or named, existing or not; absolute. A change of one may remove the problems.
    """

    def __init__(self, problems: Sequence[Problem], files: Sequence[Path] = ()) -> None:
        self.problems = tuple(problems)
        self.files = tuple(files)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ListenError(OperatorError):
    """An endpoint cannot listen: its address is in use, its port privileged, its certificate unusable."""


class StepFailedError(OperatorError):
    """A step of a ``do`` list failed while the server runs; it is only logged.

    Attributes:
        where: the step's place: ``routes.yaml:14:9``.
        step: its name.
        text: what went wrong.
        cause: what a plugin's code raised, for its traceback; None if the step itself failed.
    """

    def __init__(self, where: str, step: str, text: str, cause: BaseException | None = None) -> None:
        self.cause = cause
        self.where = where
        self.step = step
        self.text = text
        super().__init__(f"{where}: {step}: {text}")


class StateFileError(OperatorError):
    """The file of the state cannot be used: another server has it, it is damaged or not ours."""


class HistoryFileError(OperatorError):
    """The file of the history cannot be used: another server has it, it is damaged or not ours."""


class StateFullError(OperatorError):
    """A value would make the state larger than ``state: {limit: …}`` allows; the old value stays."""


class RevocationsFullError(OperatorError):
    """There are as many bans and revocations as there may be; none is forgotten for a new one."""


class PluginError(SignalpostError):
    """A plugin is faulty: it does not import, misspells a hook, or uses a name that exists.

    Attributes:
        plugin: the plugin's name.
        where: its file, with the line if known.
    """

    def __init__(self, plugin: str, where: str, text: str) -> None:
        self.plugin = plugin
        self.where = where
        self.text = text
        super().__init__(f"plugin {plugin} ({where}): {text}")


class UnauthorizedError(SignalpostError):
    """A client's token, key or other proof of who it is is not good. Its text is sent to that client."""


class NotReadyError(SignalpostError):
    """The server has no keys yet to judge a token with. Its text is sent to that client, which may try again."""


class UnavailableError(SignalpostError):
    """A value was not sent: the backplane, which all nodes share, cannot be reached. It may be sent again later."""


class ClientError(SignalpostError):
    """A client's message was rejected. Its text is sent to that client, so it contains no internals of the server.

    Attributes:
        code: one of `ErrorCode`, or of a plugin's own (`signalpost.signals.messagefilters.Veto`).
        pointer: a JSON Pointer (RFC 6901) into the client's message; empty for the whole.
        detail: one sentence for the person who sent it.
    """

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        self.code = code
        self.detail = detail
        self.pointer = pointer
        super().__init__(f"{code} at {pointer or '/'}: {detail}")

    @property
    def body(self) -> dict[str, str]:
        """What the client is told."""
        return {"code": str(self.code), "pointer": self.pointer, "detail": self.detail}
