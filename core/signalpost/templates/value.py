"""A compiled value of routes.yaml: fixed, or computed for every message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from signalpost.errors import OperatorError


class FailureKind(StrEnum):
    """The reasons why a template failed."""

    UNDEFINED = "undefined"
    FORBIDDEN = "forbidden"
    TIME = "time"
    SIZE = "size"
    VALUE = "value"


class TemplateFailedError(OperatorError):
    """A template could not be rendered. Its text, ``routes.yaml:14:16: …``, is for the log only.

    Attributes:
        where: the place of the value: ``routes.yaml:14:16``.
        kind: undefined name or key; something that templates may not do; too long; too large; or a value that does
            not fit, such as a division by zero.
        text: what is wrong, in one line.
    """

    def __init__(self, where: str, kind: FailureKind, text: str) -> None:
        self.where = where
        self.kind = kind
        self.text = text
        super().__init__(f"{where}: {text}")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value without templates. It is not processed while the server runs.

    Attributes:
        value: from routes.yaml. It is not copied: code that may change it must copy it.
    """

    value: Any = field(repr=False)

    def render(self, scope: Mapping[str, Any]) -> Any:  # noqa: ARG002 - as `Computed.render`
        """Return the value, for callers that need not know whether it is fixed."""
        return self.value


@dataclass(frozen=True, slots=True)
class Computed:
    """A value with templates in it.

    Attributes:
        names: that it uses (`message`, `data`, …).
        render: returns the value for a mapping of at least `names`; raises `TemplateFailedError`.
    """

    names: frozenset[str]
    render: Callable[[Mapping[str, Any]], Any] = field(repr=False)


Value = Fixed | Computed
