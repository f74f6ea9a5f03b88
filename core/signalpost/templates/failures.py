"""Reasons why a rendering stops, as seen inside it: without a place, only the kind and the words."""

import re

from jinja2 import TemplateRuntimeError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from signalpost.foreign import original, text_of
from signalpost.scalars import shorten
from signalpost.templates.value import FailureKind
from signalpost.words import printable

# Errors may quote a client's data: this much is enough for one line of the log.
_LONGEST = 400
# Names of the functions behind filters: "do_truncate() got an unexpected keyword argument" is about truncate.
_PREFIX = re.compile(r"^_?(sync_)?(do_)?(?=\w+\(\) )")


class StoppedError(Exception):
    """The sandbox ends a rendering: the template does something forbidden, excessive or unfit for its values.

    Attributes:
        kind: of failure.
        text: for the author of the template, in one line.
    """

    def __init__(self, kind: FailureKind, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(text)


def explain(error: Exception) -> tuple[FailureKind, str]:
    """Return the words for any exception of a rendering, in one line."""
    match error:
        case StoppedError(kind=kind, text=text):
            return kind, one_line(text)
        case UndefinedError():
            return FailureKind.UNDEFINED, one_line(error.message or "undefined")
        case SecurityError():
            return FailureKind.FORBIDDEN, one_line(error.message or "forbidden")
        case RecursionError():
            return FailureKind.SIZE, "it is nested too deeply"
        case MemoryError():
            return FailureKind.SIZE, "it needs more memory than there is"
        case TypeError():
            return FailureKind.VALUE, one_line(_PREFIX.sub("", text_of(error)))
        case TemplateRuntimeError() | ArithmeticError() | ValueError() | AssertionError():
            return FailureKind.VALUE, one_line(text_of(error) or type(error).__name__)
    return FailureKind.VALUE, f"{type(original(error)).__name__}: {one_line(text_of(original(error)))}"


def explain_syntax(error: TemplateSyntaxError) -> str:
    """Return the words for an error of Jinja2's parser, in one line, with the source instead of its internal names."""
    text = error.message or "it is no template"
    for name, written in (("end of print statement", "}}"), ("end of statement block", "%}")):
        text = text.replace(f"token '{name}'", f"'{name}'").replace(f"'{name}'", f"'{written}'")
    return one_line(text)


def one_line(text: str) -> str:
    """Convert a text of Jinja2, Python or a plugin to our own style."""
    line = printable(" ".join(text.split()).rstrip("."))
    return shorten(line[:1].lower() + line[1:], _LONGEST)
