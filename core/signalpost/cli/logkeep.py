"""Keeps the log of ``signalpost run`` in place, whatever plugins configure, and has it log what Python would print."""

import logging
import logging.config
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from signalpost.cli.logformats import GuardedFormatter, LogFormat
from signalpost.cli.logs import ACCESS, LOG_STEPS, LogHandler
from signalpost.cli.saying import LOGGER, as_records, say_failure
from signalpost.cli.secrets import Masked, masked_by_command
from signalpost.errors import ConfigError, OperatorError, PluginError

LOG = logging.getLogger(__name__)

_TERMINALS = (1, 2)
_KEPT_LOGGERS = frozenset({"signalpost", "sanic", "apscheduler", "asyncio", "py"})
_INSTALLED: "list[LogHandler]" = []  # the process has one log


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The options of the command that the log needs.

    Attributes:
        level: the lowest one that is logged.
        style: of the lines.
        access: whether handshakes and requests are logged.
    """

    level: str = "warning"
    style: LogFormat = LogFormat.TEXT
    access: bool = False

    @property
    def as_json(self) -> bool:
        """Whether lines are objects of JSON."""
        return self.style is LogFormat.JSON

    @classmethod
    def of(cls, log_level: str, log_format: str, *, access_log: bool) -> "LogOptions":
        """Return the options that a command line gives."""
        return cls(log_level, LogFormat(log_format), access_log)


@contextmanager
def begin_records(options: LogOptions) -> Iterator[None]:
    """Make records of JSON of all that is said in a block, from the reading of routes.yaml on, if they are wanted."""
    if not options.as_json:
        yield
        return
    configure_logging(options, masked_by_command())
    with as_records():
        try:
            yield
        except (ConfigError, OperatorError, PluginError) as error:
            say_failure(error)
            sys.exit(1)


def configure_logging(options: LogOptions, masked: Masked) -> None:
    """Send all records of the process through a `LogHandler`, and what Python would print of failures and warnings."""
    root = logging.getLogger()
    ours = LogHandler(masked, style=options.style)
    _INSTALLED[:] = [ours]
    root.handlers = _Kept(ours)
    logging.config.dictConfigClass = _Configurator
    root.setLevel(options.level.upper())
    # The app requested what a `log` step writes, and the operator the access log and what `run` says.
    for name in (LOG_STEPS, ACCESS, LOGGER):
        logging.getLogger(name).setLevel(min(logging.INFO, root.level))
    # Messages of Sanic and APScheduler about their internals are only of interest from the level of warnings.
    for name in ("sanic", "apscheduler", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    sys.excepthook = _log_uncaught


def _log_thread(failure: threading.ExceptHookArgs) -> None:
    """Log what ended a plugin's thread."""
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        name = "" if failure.thread is None else f" {failure.thread.name}"
        LOG.error("the thread%s has ended", name, exc_info=failure.exc_value)


def _log_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    """Log what was raised where nobody could catch it, as by `__del__`."""
    where = type(failure.object).__name__ if failure.object is not None else "no object"
    what = failure.err_msg or "an exception was ignored"
    LOG.error("%s (in %s)", what, where, exc_info=failure.exc_value)


def _log_uncaught(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Log what ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        return
    LOG.critical("the process ends", exc_info=error)


class _Kept(list[logging.Handler]):
    """The handlers of the root logger; ours stays, whatever a plugin configures.

    `logging.config.dictConfig` and ``basicConfig(force=True)`` remove all handlers and add others for the terminal,
    which neither escape nor truncate. Handlers for the terminal are ignored, since ours writes there; those for files
    and other targets are left to the plugin.

    Args:
        ours: the handler that stays.
    """

    def __init__(self, ours: logging.Handler) -> None:
        super().__init__([ours])
        self._ours = ours

    def append(self, handler: logging.Handler) -> None:
        """Add a handler, unless it writes to the terminal."""
        if not writes_to_terminal(handler):
            super().append(handler)

    def remove(self, handler: logging.Handler) -> None:
        """Remove a handler, unless it is ours."""
        if handler is not self._ours:
            super().remove(handler)

    def clear(self) -> None:
        """Remove all handlers except ours."""
        self[:] = [self._ours]


def writes_to_terminal(handler: logging.Handler) -> bool:
    """Return whether a handler writes to the standard output or error of the process."""
    if isinstance(handler, LogHandler) or not isinstance(handler, logging.StreamHandler):
        return False
    stream = handler.stream
    if any(stream is each for each in (None, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:
        return stream.fileno() in _TERMINALS
    except (AttributeError, OSError, ValueError):  # it is not a file, or is closed
        return False


def keep_log() -> None:
    """Restore the log after a plugin may have configured it: call this when plugins' code has run.

    `logging.config.dictConfig` disables all loggers that it does not name, including the server's, unless told
    otherwise; and the handlers that it sets at the root logger are replaced. A terminal handler that it adds to another
    logger writes lines as ours does.
    """
    root = logging.getLogger()
    ours = next((each for each in (*_INSTALLED, *root.handlers) if isinstance(each, LogHandler)), None)
    if ours is None:
        return
    if not isinstance(root.handlers, _Kept) or ours not in root.handlers:
        others, root.handlers = root.handlers, _Kept(ours)
        for each in others:
            if each is not ours:
                root.handlers.append(each)
    for name, logger in list(root.manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger):
            continue
        if name.partition(".")[0] in _KEPT_LOGGERS:
            logger.disabled = False
        for handler in logger.handlers:
            if writes_to_terminal(handler) and not isinstance(handler.formatter, GuardedFormatter):
                handler.setFormatter(ours.formatter)


class _Configurator(logging.config.DictConfigurator):
    """Replaces the configurator of `logging.config.dictConfig`, and restores the log afterwards."""

    def configure(self) -> None:
        """Apply the configuration."""
        try:
            super().configure()
        finally:
            keep_log()
