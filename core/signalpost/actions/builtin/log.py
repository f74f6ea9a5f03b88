"""``log``: writes a line to the log."""

import logging
from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.steps import Options, Step, joined
from signalpost.logsubject import about
from signalpost.templates.text import as_text
from signalpost.words import cut, printable

LOG = logging.getLogger("signalpost.log")
"""The lines of ``log`` steps."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LEVEL = "info"
_LONGEST_LINE = 2_001


def _compile(draft: Draft) -> Step:
    """Compile a ``log``, which may consist only of its message."""
    given = draft.config.options
    if isinstance(given, dict):
        message = draft.options(given.get("message"), "message")
        level = given.get("level", _LEVEL)
    else:
        message, level = draft.options(given), _LEVEL
    return draft.leaf(joined({"message": message, "level": Options(level)}))


def _log(run: Run, options: Mapping[str, Any]) -> None:
    # One client's lines count as one origin (`signalpost.cli.logs`): they must not suppress those of others.
    client = getattr(run.event, "client", None)
    LOG.log(
        _LEVELS[options["level"]],
        "%s",
        cut(printable(as_text(options["message"])), _LONGEST_LINE),
        extra={"origin": None} if client is None else {"origin": client.id, **about(client)},
    )


ACTION = BuiltIn(
    schema=option(
        "Log",
        "Writes a line to the server's log: a text, or message and level.",
        ["string", "object"],
        minLength=1,
        additionalProperties=False,
        required=["message"],
        properties={
            "message": option(
                "Message", "The line.", "string", minLength=1, examples=["{{ client.id }} said {{ message }}"]
            ),
            "level": option(
                "Level",
                "How important it is. debug is shown only with --log-level debug, the others always.",
                "string",
                enum=["debug", "info", "warning", "error"],
                default="info",
                examples=["warning"],
            ),
        },
        examples=["{{ client.id }} said {{ message }}", {"message": "The box is full", "level": "warning"}],
    ),
    compile=_compile,
    effect=_log,
)
