"""Compiles the values of routes.yaml: a value with ``{{ … }}`` or ``{% … %}`` becomes a function of its names.

A text that consists of one ``{{ … }}`` is an expression, and its value keeps its type. Any other text remains text.
Rendered output is never parsed again: a client's ``[1,2]`` or ``{{ 7*7 }}`` stays text.
"""

import copy
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import Environment

from signalpost.foreign import exception_of
from signalpost.places import Keys, Part
from signalpost.state.state import StateView, picked
from signalpost.templates.attributes import attribute, item
from signalpost.templates.check import MistakeKind, Names, TemplateProblem, judge
from signalpost.templates.failures import explain, explain_syntax, one_line
from signalpost.templates.outcomes import ANY, Imagination, Outcomes
from signalpost.templates.sandbox import FILE, Root, Sandbox
from signalpost.templates.scope import Limits
from signalpost.templates.text import as_text, is_data
from signalpost.templates.value import Computed, Fixed, TemplateFailedError, Value

Stretch = tuple[int, int]
OutsideOf = Callable[[Keys, str], Sequence[Stretch]]
Render = Callable[[Mapping[str, Any]], Any]
Pick = Callable[[Any, Any], Any]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_DEFAULTS = Limits()
_LINE_END = re.compile(r"\r\n|\r|\n")
_RESULT = "_result"
_ALTERED = (
    "what a variable or a secret holds here would be read as a part of the template: outside of {{ }} and {% %} it may "
    "have none of these in it, and inside it is a word, a number, or a text in quotes without quotes or \\ in it"
)


def _all_in_the_file(_keys: Keys, _text: str) -> Sequence[Stretch]:
    return ()


class Problem(Protocol):
    """Called with a problem in the text at `keys`, or in the key there: in `part` of it."""

    def __call__(self, keys: Keys, text: str, *, of_key: bool, part: Part, kind: MistakeKind) -> None:
        """Add the problem."""


class Where(Protocol):
    """Returns the place of the value at `keys`, or of the key there: of `part` of it."""

    def __call__(self, keys: Keys, *, of_key: bool, part: Part | None) -> str:
        """Return the place: ``routes.yaml:14:16``."""


# What Jinja2 reads as something other than a name, or as its own.
_WORDS = frozenset(
    {"true", "false", "none", "True", "False", "None", "and", "else", "if", "in", "is", "not", "or", "self"}
)


class Compiler:
    """Compiles values.

    Args:
        globals: that every template may use in addition to the names of its place.
        filters: of plugins; built-in filters keep their names.
        limits: of each template that is rendered.
        escape: whether values are for HTML: all of them are text, and what templates insert is escaped.
    """

    def __init__(
        self,
        globals: Mapping[str, Any] = _NOTHING,  # noqa: A002 - Jinja2's word
        filters: Mapping[str, Callable[..., Any]] = _NOTHING,
        limits: Limits = _DEFAULTS,
        *,
        escape: bool = False,
    ) -> None:
        self._sandbox = Sandbox(globals, filters, limits, escape=escape)
        self._escape = escape

    def has_meaning(self, name: str) -> bool:
        """Return whether a name has a meaning everywhere: a word of the language, or a function."""
        return name in _WORDS or name in self._sandbox.globals

    @property
    def filters(self) -> Collection[str]:
        """The names of all filters."""
        return self._sandbox.filters.keys()

    def compile(
        self,
        value: Any,
        keys: Keys,
        names: Names | Collection[str],
        problem: Problem,
        where: Where,
        *,
        of_key: bool = False,
        outside: OutsideOf = _all_in_the_file,
    ) -> Value:
        """Compile a value: a scalar, or lists and mappings of them; the keys of mappings may be templates too.

        Args:
            value: plain data.
            keys: the path to it in routes.yaml.
            names: that its templates may use.
            problem: called with each problem.
            where: returns places, for failures at run time.
            of_key: whether `value` comes from the key at `keys`, and its parts have no places of their own.
            outside: returns the parts of a text that came from variables and secrets, and so are no template.

        Returns:
            The compiled value; if there were problems, it must not be used.
        """
        known = names if isinstance(names, Names) else Names(names)
        return self._value(value, _Spot(keys, known, problem, where, outside, of_key))

    def _value(self, value: Any, spot: "_Spot") -> Value:
        if isinstance(value, str):
            stretches = () if spot.of_key or not is_template(value) else spot.outside(spot.keys, value)
            if (0, len(value)) in stretches or not is_template(value):
                return Fixed(value)
            if stretches and is_altered(self._sandbox, value, stretches):
                spot.tell(value, TemplateProblem(1, "", _ALTERED))
                return Fixed(value)
            return self._text(value, spot)
        if isinstance(value, list):
            return _list([self._value(part, spot.below(index)) for index, part in enumerate(value)], value)
        if isinstance(value, dict):
            parts = [
                (self._value(key, spot.below(key, of_key=True)), self._value(part, spot.below(key)))
                for key, part in value.items()
            ]
            return _mapping(parts, value)
        return Fixed(value)

    def _text(self, text: str, spot: "_Spot") -> Value:
        """Compile a text that contains templates."""
        try:
            tree = self._sandbox.parse(text)
            wrong, used = judge(self._sandbox, tree, spot.names)
            if not wrong:
                return Computed(used, self._render(tree, spot.places(text)))
        except TemplateSyntaxError as error:
            wrong = [TemplateProblem(error.lineno, "", explain_syntax(error))]
        except SyntaxError as error:  # of the Python that Jinja2 generates: more than twenty nested blocks
            wrong = [TemplateProblem(1, "", one_line(error.msg))]
        except RecursionError:
            wrong = [TemplateProblem(1, "", "it is nested too deeply")]
        except ValueError:  # of Python's int()
            wrong = [TemplateProblem(1, "", "a number has too many digits")]
        for mistake in wrong:
            spot.tell(text, mistake)
        return Fixed(text)

    def _render(self, tree: nodes.Template, places: Sequence[str]) -> Render:
        """Return the function that renders a tree without problems; its lines are at `places`."""
        expression = None if self._escape else _whole(tree)
        picks = _picks(expression)
        root = None
        if picks is not None:
            render = self._picked(*picks)
        elif expression is not None:
            render = self._as_value(expression)
        else:
            root = self._sandbox.root(tree)
            render = self._as_text(root)

        def attempt(scope: Mapping[str, Any]) -> Any:
            try:
                return render(scope)
            except BaseException as error:  # a plugin's function or object may raise anything
                line = min(_line(error, root), len(places)) if root else 1
                raise TemplateFailedError(places[line - 1], *explain(exception_of(error))) from error

        return attempt

    def outcomes(self, text: str, names: Mapping[str, Any], unknown: Collection[str]) -> Outcomes:
        """Return what an expression, which was compiled without a problem, may give if some of its names are not known.

        Args:
            text: one ``{{ … }}`` and nothing else.
            names: that are known, with their values.
            unknown: names, functions and filters that may give anything.
        """
        expression = _whole(self._sandbox.parse(text))
        return ANY if expression is None else Imagination(self._part, names, unknown).of(expression)

    def _part(self, node: nodes.Expr, names: Mapping[str, Any]) -> Any:
        """Render a part of an expression; see `signalpost.templates.outcomes.Render`."""
        try:
            # Compiling changes a tree, and the environment stays what it is.
            return self._as_value(copy.deepcopy(node, {id(self._sandbox): self._sandbox}))(names)
        except BaseException as error:  # as above
            raise TemplateFailedError("", *explain(exception_of(error))) from error

    def _as_value(self, expression: nodes.Expr) -> Render:
        """Return the function that returns the value of an expression."""
        assign = nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), expression, lineno=1)
        pieces, new_scope = self._sandbox.root(nodes.Template([assign], lineno=1)).pieces, self._sandbox.scope

        def render(names: Mapping[str, Any]) -> Any:
            scope = new_scope(names)
            for _ in pieces(scope):
                pass  # it yields nothing, and sets one name
            return scope.data(scope.vars[_RESULT])

        return render

    def _picked(self, name: str, picks: Sequence[tuple[Pick, Any]]) -> Render:
        """Return the function that looks up a name, or a part of it, without a template: ``{{ data.user.name }}``.

        A client's data and values of the state are passed on as they are, without a traversal.
        """
        known, new_scope = self._sandbox.globals, self._sandbox.scope

        def render(names: Mapping[str, Any]) -> Any:
            value = names[name] if name in names else known[name]
            if type(value) is StateView and picks:
                value = picked(value, picks)
            else:
                for pick, key in picks:
                    value = pick(value, key)
            return value if is_data(value) else new_scope(names).data(value)

        return render

    def _as_text(self, root: Root) -> Render:
        """Return the function that returns the text of a template."""
        pieces, new_scope, join = root.pieces, self._sandbox.scope, self._sandbox.concat

        def render(names: Mapping[str, Any]) -> str:
            scope = new_scope(names)
            try:
                return join(pieces(scope))
            finally:
                scope.end()

        return render


@dataclass(frozen=True, slots=True)
class _Spot:
    """The place of a value in routes.yaml, with the names there; see `Compiler.compile`."""

    keys: Keys
    names: Names
    problem: Problem
    where: Where
    outside: OutsideOf
    of_key: bool = False

    def below(self, key: str | int, *, of_key: bool = False) -> "_Spot":
        """Return the spot of an item, of the value at a key, or of the key itself, which has no parts."""
        return self if self.of_key else replace(self, keys=(*self.keys, key), of_key=of_key)

    def tell(self, text: str, mistake: TemplateProblem) -> None:
        """Report a problem in the text at this spot."""
        part = Part(mistake.line, mistake.part or _lines(text)[mistake.line - 1])
        self.problem(self.keys, mistake.text, of_key=self.of_key, part=part, kind=mistake.kind)

    def places(self, text: str) -> list[str]:
        """Return the place of each line of the text at this spot."""
        lines = _lines(text)
        parts = [Part(number, line) for number, line in enumerate(lines, 1)] if len(lines) > 1 else [None]
        return [self.where(self.keys, of_key=self.of_key, part=part) for part in parts]


def is_template(text: str) -> bool:
    """Return whether a text has anything to render; a comment alone, ``{# … #}``, is text."""
    return "{{" in text or "{%" in text


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a text that consists of one ``{{ … }}``, apart from blanks around it."""
    outputs = [part for node in tree.body if isinstance(node, nodes.Output) for part in node.nodes]
    if any(not isinstance(node, nodes.Output) for node in tree.body):
        return None
    shown = [part for part in outputs if not (isinstance(part, nodes.TemplateData) and part.data.isspace())]
    return shown[0] if len(shown) == 1 and not isinstance(shown[0], nodes.TemplateData) else None


def _picks(expression: nodes.Expr | None) -> tuple[str, list[tuple[Pick, Any]]] | None:
    """Return the name and the lookups of an expression that consists only of these; else None."""
    picks: list[tuple[Pick, Any]] = []
    while True:
        match expression:
            case nodes.Name(name=name):
                return name, picks[::-1]
            case nodes.Getattr(node=inner, attr=key):
                picks.append((attribute, key))
            case nodes.Getitem(node=inner, arg=nodes.Const(value=key)):
                picks.append((item, key))
            case _:
                return None
        expression = inner


def _lines(text: str) -> list[str]:
    """Return the lines of a text as Jinja2 counts them, without the blanks around each."""
    return [line.strip() for line in _LINE_END.split(text.rstrip())]


def _line(error: BaseException, root: Root) -> int:
    """Return the line of a template in which a failure occurred."""
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = root.line(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _list(parts: list[Value], value: list[Any]) -> Value:
    names = _names(parts)
    if names is None:
        return Fixed(value)
    renders = [part.render for part in parts]
    return Computed(names, lambda scope: [render(scope) for render in renders])


def _mapping(parts: list[tuple[Value, Value]], value: dict[str, Any]) -> Value:
    names = _names([each for part in parts for each in part])
    if names is None:
        return Fixed(value)
    if not all(isinstance(key, Fixed) for key, _ in parts):
        return Computed(names, lambda scope: {as_text(key.render(scope)): part.render(scope) for key, part in parts})
    named = [(as_text(key.render({})), part.render) for key, part in parts]  # as in nearly all cases

    def render_all(scope: Mapping[str, Any]) -> dict[str, Any]:
        made = {}
        for name, render in named:  # a comprehension would be a separate call
            made[name] = render(scope)
        return made

    return Computed(names, render_all)


def _names(parts: list[Value]) -> frozenset[str] | None:
    """Return the names that the templates among `parts` use; None if there are no templates."""
    computed = [part.names for part in parts if isinstance(part, Computed)]
    return frozenset().union(*computed) if computed else None


# Valid in place of any word and of any number. No template uses this letter.
_WORD = "\ua66e"
_NUMBER = "0"
_STRING = "string"


def is_altered(environment: Environment, text: str, stretches: Sequence[Stretch]) -> bool:
    """Return whether text from outside would be parsed as a part of a template.

    Args:
        environment: of the template.
        text: the template.
        stretches: its parts from outside: offsets, in order, the second exclusive.
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
    """Return the tokens of a template with their texts; None if it has a syntax error."""
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
