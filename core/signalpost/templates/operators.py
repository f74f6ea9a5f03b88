"""Limited arithmetic: numbers stay within JSON's range, texts and lists within a rendering's room.

``+`` adds numbers, texts or lists of the same type, ``*`` repeats a text or list; the others accept only numbers, so
``%`` formats no text. ``~`` joins anything as text, and is not an operator here: the sandbox converts it to the filter
`join`.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from signalpost.state.weight import VALUE
from signalpost.templates.attributes import kind
from signalpost.templates.failures import StoppedError
from signalpost.templates.scope import Scope
from signalpost.templates.value import FailureKind

_BITS = 64

BINARY: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "%": operator.mod,
        "**": operator.pow,
    }
)
UNARY: Mapping[str, Callable[[Any], Any]] = MappingProxyType({"+": operator.pos, "-": operator.neg})


def binary(scope: Scope, sign: str, left: Any, right: Any) -> Any:
    """Compute ``left sign right``.

    Raises:
        StoppedError: the operator does not accept such values, or the result is too large.
        ArithmeticError: a division by zero, an overflow.
        UndefinedError: a value is undefined.
    """
    if isinstance(left, int | float) and isinstance(right, int | float):
        if sign == "**":
            _check_power(left, right)
        return number(BINARY[sign](left, right))
    if sign == "*":
        repeated = _repeated(scope, left, right)
        if repeated is not None:
            return repeated
    if sign == "+":
        if isinstance(left, str) and isinstance(right, str):
            scope.room(len(left) + len(right))
            return left + right
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            scope.room_for_items(len(left) + len(right))
            return _joined(scope, left, right)
    hint = "; ~ joins anything as text" if sign == "+" else ""
    raise StoppedError(FailureKind.VALUE, f"{sign} does not take {kind(left)} and {kind(right)}{hint}")


def unary(sign: str, value: Any) -> Any:
    """Compute ``-value`` or ``+value``.

    Raises:
        StoppedError: it is not a number.
        UndefinedError: it is undefined.
    """
    if isinstance(value, int | float):
        return number(UNARY[sign](value))
    raise StoppedError(FailureKind.VALUE, f"{sign} takes a number, not {kind(value)}")


def number(value: Any) -> int | float:
    """Return a number that JSON can represent.

    Raises:
        StoppedError: a whole number beyond 64 bits, or a float that is infinite, none at all, or complex.
    """
    if isinstance(value, int):
        if value.bit_length() > _BITS:
            raise StoppedError(FailureKind.SIZE, f"a whole number of more than {_BITS} bits")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise StoppedError(FailureKind.VALUE, f"{value} is no number that JSON has")


def _check_power(base: float, exponent: float) -> None:
    """Reject too large a power of whole numbers before it is computed."""
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and exponent > 0 and abs(base) > 1 and (int(base).bit_length() - 1) * exponent > _BITS:
        raise StoppedError(FailureKind.SIZE, f"a whole number of more than {_BITS} bits")


def _repeated(scope: Scope, left: Any, right: Any) -> Any:
    """Repeat a text or list; return None for other pairs."""
    what, times = (right, left) if isinstance(left, int) else (left, right)
    if not isinstance(times, int) or not isinstance(what, str | list | tuple):
        return None
    if isinstance(what, str):
        scope.room(len(what) * times)
        return what * times
    scope.room_for_items(len(what) * times)
    weight, plain = scope.weights.measure(what)
    weight = VALUE + (weight - VALUE) * max(times, 0)
    scope.check_weight(weight)
    repeated = list(what) * times
    scope.weights.note(repeated, weight, plain=plain)
    return repeated


def _joined(scope: Scope, left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
    """Join two lists; the weight of the result needs no traversal of both."""
    weights = [scope.weights.measure(each) for each in (left, right)]
    weight = sum(weight for weight, _ in weights) - VALUE
    scope.check_weight(weight)
    joined = [*left, *right]
    scope.weights.note(joined, weight, plain=all(plain for _, plain in weights))
    return joined
