r"""The guard of the log: whatever is logged, by whomever, becomes text that is safe to write and to look at.

Any record may contain a client's data: in a key of the state, in the text of an exception, in a line of a plugin or of
a library. So secrets and what looks like a credential are hidden, control characters and marks of direction are escaped
(``\n``, ``\x1b``, ``\u202e``), and long texts are cut. Both formats of the log write only what has passed here.
"""

import os
import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import signalpost
from signalpost.cli.secrets import Masked
from signalpost.foreign import text_of
from signalpost.redaction import redacted

LONGEST_LINE = 4_000
"""Characters of a line; a longer one is shortened in the middle."""

MOST_LINES = 200
"""Lines of a traceback."""

_OWN = str(Path(signalpost.__file__).parent) + os.sep
# Longer text is not examined: a client's data may be a mebibyte long.
_LOOKED_AT = 16 * 1024
# Controls (C0, C1), line ends, marks of direction, lone surrogates, and other invisible characters; joiners and spaces
# are part of many languages.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def escaped(text: str) -> str:
    r"""Return a text with ``\n``, ``\x1b``, ``\u202e``, … for characters that end its line or change its look."""
    return text if text.isprintable() else _UNSAFE.sub(lambda match: _escape(match[0]), text)


def cut(text: str, limit: int = LONGEST_LINE, length: int = 0) -> str:
    """Return a text of at most about `limit` characters: its beginning, its length, and its end."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - limit // 4]}… ({length or len(text):,} characters) …{text[-limit // 4 :]}"


class LogGuard:
    """Makes texts safe for the log.

    Args:
        masked: hides secrets.
    """

    def __init__(self, masked: Masked) -> None:
        self._masked = masked

    def line(self, text: str, limit: int = LONGEST_LINE) -> str:
        """Return a text as one line of about `limit` characters at most."""
        # Secrets are hidden before truncation, since a part of a secret is not found; only very long text is truncated
        # first.
        shown = cut(redacted(self._masked(cut(text, _LOOKED_AT))), limit, length=len(text))
        return cut(escaped(shown), limit, length=len(text))

    def traceback(self, error: BaseException, limit: int = LONGEST_LINE, most: int = MOST_LINES) -> list[str]:
        """Return the lines of a traceback; the text of an exception stays in the line in which it begins.

        It begins where signalpost calls other code, such as a plugin: how it came there tells its author nothing.
        """
        found = traceback.TracebackException.from_exception(error)
        _leave_out_callers(found)
        text = "".join(found.format())
        for said in _said(error):
            text = _on_one_line(text, said)
        return self.lines(text.rstrip("\n"), limit, most)

    def lines(self, text: str, limit: int = LONGEST_LINE, most: int = MOST_LINES) -> list[str]:
        """Return the lines of a text, without those in the middle if they are too many."""
        found = text.split("\n")
        left_out = len(found) - most
        if left_out > 0:
            half = most // 2
            shown = [f"  … ({left_out:,} lines) …"]
            return (
                [self.line(each, limit) for each in found[:half]]
                + shown
                + [self.line(each, limit) for each in found[-half:]]
            )
        return [self.line(each, limit) for each in found]


def _leave_out_callers(found: traceback.TracebackException) -> None:
    """Remove the frames of signalpost before the first one of other code; without other code, all stay."""
    waiting = [found]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        others = (index for index, frame in enumerate(one.stack) if not frame.filename.startswith(_OWN))
        del one.stack[: next(others, 0)]
        waiting += [each for each in (one.__cause__, one.__context__, *(one.exceptions or ())) if each is not None]


def _said(error: BaseException) -> Iterator[str]:
    """Yield the texts of an exception, its causes and its notes, and names in its traceback, the longest first."""
    seen: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        waiting += [each for each in (one.__cause__, one.__context__) if each is not None]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    texts = [text for one in seen.values() for text in (text_of(one), *_notes_of(one), *_names_of(one))]
    yield from sorted((text for text in texts if isinstance(text, str)), key=len, reverse=True)


def _on_one_line(text: str, said: str) -> str:
    """Escape the text of an exception, wherever it occurs in a traceback."""
    shown = escaped(said)
    if shown == said:
        return text
    text = text.replace(said, shown)
    if "\n" not in said or len(said) > _LOOKED_AT:
        return text
    # Of the exceptions of a group, every line has a margin.
    return re.sub(r"\n[ |]*".join(map(re.escape, said.split("\n"))), lambda _: shown, text)


def _names_of(error: BaseException) -> Iterator[str]:
    """Yield the names that a traceback shows of an exception: programs may make classes and code of a client's text."""
    yield from (type(error).__module__, type(error).__qualname__)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield from (frame.f_code.co_filename, frame.f_code.co_name)


def _notes_of(error: BaseException) -> Sequence[object]:
    notes = vars(error).get("__notes__") if hasattr(error, "__dict__") else None
    return notes if type(notes) is list else ()


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
