"""Why a rendering stops, as seen from inside it: no place yet, only the kind and the words."""

import re

from jinja2 import TemplateRuntimeError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from signalpost.foreign import original, text_of
from signalpost.scalars import shorten
from signalpost.templates.value import FailureKind
from signalpost.words import printable

# Errors may quote what a client sent: so much of them is enough for one line of a log.
_LONGEST = 400
# Of the functions behind filters: "do_truncate() got an unexpected keyword argument" is about truncate.
_PREFIX = re.compile(r"^_?(sync_)?(do_)?(?=\w+\(\) )")


class StoppedError(Exception):
    """The sandbox ends a rendering: what the template does is forbidden, too much, or does not fit its values.

    Attributes:
        kind: of failure.
        text: for the author of the template, in one line.

    """

    def __init__(self, kind: FailureKind, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(text)


def explain(error: Exception) -> tuple[FailureKind, str]:
    """Word whatever came out of a rendering, in one line."""
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
    """Word what Jinja2's parser says, in one line, with what is written instead of its own names for that."""
    text = error.message or "it is no template"
    for name, written in (("end of print statement", "}}"), ("end of statement block", "%}")):
        text = text.replace(f"token '{name}'", f"'{name}'").replace(f"'{name}'", f"'{written}'")
    return one_line(text)


def one_line(text: str) -> str:
    """Bring a text of Jinja2, Python or a plugin to the style of our own."""
    line = printable(" ".join(text.split()).rstrip("."))
    return shorten(line[:1].lower() + line[1:], _LONGEST)
