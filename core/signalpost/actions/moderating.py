"""Shared by ``kick``, ``ban``, ``unban`` and ``revoke``: steps that send clients away, or keep them away."""

from collections.abc import Callable, Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError, described, text_of
from signalpost.actions.steps import Step
from signalpost.auth.revocations import DAY
from signalpost.config.actions import Place, has_template
from signalpost.config.section import Section
from signalpost.delivery.target import Receipt
from signalpost.events import Moderator, moderator_of
from signalpost.units import parse_duration

Deed = Callable[[Moderator, str, Any], int | bool]
"""Does it: called with the moderator, with who does it, and with the step's options; returns how many are concerned."""

REASON = option("Reason", "For people. Cut to 123 bytes.", "string", default="", examples=["Be polite"])
FOR = option(
    "For how long",
    "A number and a unit (ms, s, m, h, d), or a number of seconds.",
    ["string", "number"],
    default="1d",
    examples=["1h", "7d"],
)
USER: Mapping[str, Any] = {"type": "string", "minLength": 1}


def moderating(schema: Mapping[str, Any], deed: Deed, check: Callable[[Section, Place], None]) -> BuiltIn:
    """Declare an action whose steps tell the log where they stand.

    Args:
        schema: of its options.
        deed: see `Deed`.
        check: of its options.
    """

    def compile_deed(draft: Draft) -> Step:
        where = draft.where

        def effect(run: Run, options: Any) -> Receipt:
            count = int(deed(moderator_of(run.event.shared), where, options))
            return run.count(Receipt(count, count))

        return draft.leaf(draft.options(draft.config.options), effect)

    return BuiltIn(schema=schema, check=check, compile=compile_deed, changes=True)


def check_duration(options: Section, name: str) -> None:
    """Report a duration that is none, unless it is a template."""
    value = options.data.get(name)
    if not isinstance(value, str) or not has_template(value):
        options.quantity(name, parse_duration)


def seconds_of(name: str, options: Mapping[str, Any]) -> float:
    """Return a duration in seconds; without one, a day's.

    Raises:
        OptionError: it is none.
    """
    value = options.get(name)
    if value is None:
        return DAY
    try:
        seconds = -1.0 if isinstance(value, bool) else parse_duration(value)
    except (ValueError, TypeError):
        seconds = -1.0
    if seconds <= 0:
        raise OptionError(f"{name} must be a time such as 1h, or a number of seconds, not {described(value)}")
    return seconds


def named(options: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Return the options of these names, which must be texts.

    Raises:
        OptionError: one is something else, or empty.
    """
    return {name: text_of(name, options[name]) for name in names if name in options}
