"""What the options of a step must be, whatever templates gave: in words for whoever wrote the step."""

from collections.abc import Mapping, Sequence
from typing import Any

from signalpost.words import given

_LONGEST_WHOLE = 9  # digits


class OptionError(ValueError):
    """What a template gave does not fit; its text is for whoever wrote the step, and says all there is to say."""


def items_of(value: Any) -> Sequence[Any]:
    """Return the items of a list; of a mapping, its keys.

    Raises:
        OptionError: it is something else.

    """
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return list(value)
    raise OptionError(f"must be a list, not {described(value)}")


def text_of(name: str, value: Any) -> str:
    """Return an option that must be text; a number is written as one.

    Raises:
        OptionError: it is something else, or empty.

    """
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise OptionError(f"{name} must be text, not {described(value)}")


def whole_of(name: str, value: Any) -> int:
    """Return an option that must be a whole number; a text may hold one.

    Raises:
        OptionError: it is something else.

    """
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_WHOLE:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    raise OptionError(f"{name} must be a whole number, not {described(value)}")


def described(value: Any) -> str:
    """Name what a template gave."""
    return "null" if value is None else given(value)
