"""Whether a template stays what the file says it is, whatever variables and secrets have put into its text.

What came from outside is a value and no program: where it would begin an expression, end a text in quotes or add an
operator, it is refused. The tokens of the template tell that: they are the same when something harmless stands there.
"""

from collections.abc import Sequence

from jinja2 import TemplateSyntaxError
from jinja2.environment import Environment

Stretch = tuple[int, int]

# Harmless wherever a word, and wherever a number, may stand. The letter is one that no template has.
_WORD = "\ua66e"
_NUMBER = "0"
_STRING = "string"


def is_altered(environment: Environment, text: str, stretches: Sequence[Stretch]) -> bool:
    """Tell whether what came from outside would be read as a part of a template.

    Args:
        environment: that of the template.
        text: the template.
        stretches: what of it came from outside: offsets, in order, the second exclusive.

    """
    tokens = _tokens(environment, text)
    word = _tokens(environment, _replaced(text, stretches, _WORD))
    if tokens is None or word is None:
        return tokens is not word
    kinds = [kind for kind, _ in tokens]
    if kinds not in ([kind for kind, _ in word], _kinds(environment, _replaced(text, stretches, _NUMBER))):
        return True
    escapes = any("\\" in text[start:end] for start, end in stretches)
    return escapes and any(kind == _STRING and _WORD in value for kind, value in word)


def _tokens(environment: Environment, text: str) -> list[tuple[str, str]] | None:
    """Return the tokens of a template with their texts; None if it has a mistake that shows so early."""
    try:
        return [(kind, value) for _, kind, value in environment.lexer.tokeniter(text, None)]
    except TemplateSyntaxError:
        return None


def _kinds(environment: Environment, text: str) -> list[str]:
    return [kind for kind, _ in _tokens(environment, text) or ()]


def _replaced(text: str, stretches: Sequence[Stretch], by: str) -> str:
    parts: list[str] = []
    position = 0
    for start, end in stretches:
        parts += (text[position:start], by)
        position = end
    return "".join((*parts, text[position:]))
