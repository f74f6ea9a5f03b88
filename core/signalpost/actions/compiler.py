"""Compiles the values of routes.yaml: whatever holds ``{{ … }}`` or ``{% … %}`` becomes a function of its names.

A text that is one whole ``{{ … }}`` is an expression, and its value keeps its type. Any other text stays text. What has
been rendered is never parsed again: a client's ``[1,2]`` or ``{{ 7*7 }}`` is the text that it is.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateSyntaxError, nodes

from signalpost.actions.failures import explain, one_line
from signalpost.actions.mistakes import Names, mistakes, used_names
from signalpost.actions.sandbox import FILE, Root, Sandbox
from signalpost.actions.scope import Limits
from signalpost.actions.text import as_data, as_markup, as_text, shallow_data
from signalpost.actions.value import Computed, Fixed, TemplateFailedError, Value
from signalpost.config.model import Keys

Problem = Callable[[Keys, str], None]
Where = Callable[[Keys], str]
Render = Callable[[Mapping[str, Any]], Any]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_DEFAULTS = Limits()
_RESULT = "_result"


class Compiler:
    """Compiles values.

    Args:
        globals: what every template may name besides the names of its place.
        filters: what plugins add; built-in filters keep their names.
        limits: of each template that is rendered.
        escape: whether values are made for HTML: all of them are text, and what templates put in is escaped.

    """

    def __init__(
        self,
        globals: Mapping[str, Any] = _NOTHING,  # noqa: A002 - Jinja2's word
        filters: Mapping[str, Callable[..., Any]] = _NOTHING,
        limits: Limits = _DEFAULTS,
        *,
        escape: bool = False,
    ) -> None:
        self._sandbox = Sandbox(globals, filters, limits, as_markup if escape else as_text)
        self._escape = escape

    @property
    def filters(self) -> Collection[str]:
        """The names of all filters."""
        return self._sandbox.filters.keys()

    def compile(self, value: Any, keys: Keys, names: Names | Collection[str], problem: Problem, where: Where) -> Value:
        """Compile a value: a scalar, or lists and mappings of them; the keys of mappings may be templates too.

        Args:
            value: plain data.
            keys: where it stands in routes.yaml.
            names: what its templates may name.
            problem: is told each mistake, at the keys of the text that has it.
            where: names the place of keys, for failures at run time: ``routes.yaml:14:16``.

        Returns:
            What gives the value; if there were problems, something that must not be used.

        """
        known = names if isinstance(names, Names) else Names(names)
        if isinstance(value, str):
            return self._text(value, keys, known, problem, where) if is_template(value) else Fixed(value)
        if isinstance(value, list):
            return _list([self.compile(part, (*keys, n), known, problem, where) for n, part in enumerate(value)], value)
        if isinstance(value, dict):
            parts = [
                (
                    self.compile(key, (*keys, key), known, problem, where),
                    self.compile(part, (*keys, key), known, problem, where),
                )
                for key, part in value.items()
            ]
            return _mapping(parts, value)
        return Fixed(value)

    def _text(self, text: str, keys: Keys, names: Names, problem: Problem, where: Where) -> Value:
        """Compile a text with templates in it."""
        many = "\n" in text.strip()

        def tell(line: int, words: str) -> None:
            problem(keys, f"line {line} of the text: {words}" if many else words)

        try:
            tree = self._sandbox.parse(text)
            wrong = mistakes(self._sandbox, tree, names)
            for line, words in wrong:
                tell(line, words)
            if not wrong:
                used = frozenset(used_names(tree)) & frozenset(names.known)
                return Computed(used, self._render(tree, text, where(keys)))
        except TemplateSyntaxError as error:
            tell(error.lineno, one_line(error.message or "it is no template"))
        except SyntaxError as error:  # of the Python that Jinja2 makes: more than twenty blocks inside each other
            tell(1, one_line(error.msg))
        except RecursionError:
            tell(1, "it is nested too deeply")
        except ValueError:  # of Python's int()
            tell(1, "a number has too many digits")
        return Fixed(text)

    def _render(self, tree: nodes.Template, text: str, where: str) -> Render:
        """Return what renders a tree without mistakes."""
        expression = None if self._escape else _whole(tree)
        if expression is None:
            root = self._sandbox.root(tree)
            render = self._as_text(root)
        else:
            finish = shallow_data if _is_access(expression) else as_data
            target = nodes.Name(_RESULT, "store", lineno=1)
            root = self._sandbox.root(nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1))
            render = self._as_value(root, finish)
            if isinstance(expression, nodes.Name):
                render = self._looked_up(expression.name)
        many = "\n" in text.strip()

        def attempt(scope: Mapping[str, Any]) -> Any:
            try:
                return render(scope)
            except Exception as error:
                kind, words = explain(error)
                line = f"line {_line(error, root)} of the text: " if many else ""
                raise TemplateFailedError(where, kind, line + words) from error

        return attempt

    def _as_value(self, root: Root, finish: Callable[[Any], Any]) -> Render:
        """Return what gives the value of an expression."""
        pieces, new_scope = root.pieces, self._sandbox.scope

        def render(names: Mapping[str, Any]) -> Any:
            scope = new_scope(names)
            for _ in pieces(scope):
                pass  # it yields nothing, and sets one name
            return finish(scope.vars[_RESULT])

        return render

    def _looked_up(self, name: str) -> Render:
        """Return what gives the value of a name alone, which needs no template: ``{{ message }}``."""
        known = self._sandbox.globals
        return lambda names: shallow_data(names[name] if name in names else known[name])

    def _as_text(self, root: Root) -> Render:
        """Return what gives the text of a template."""
        pieces, new_scope, join = root.pieces, self._sandbox.scope, self._sandbox.concat
        return lambda names: join(pieces(new_scope(names)))


def is_template(text: str) -> bool:
    """Tell whether a text has anything to render; a comment alone, ``{# … #}``, is text."""
    return "{{" in text or "{%" in text


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a text that is one whole ``{{ … }}``, blanks around it aside."""
    outputs = [part for node in tree.body if isinstance(node, nodes.Output) for part in node.nodes]
    if any(not isinstance(node, nodes.Output) for node in tree.body):
        return None
    shown = [part for part in outputs if not (isinstance(part, nodes.TemplateData) and part.data.isspace())]
    return shown[0] if len(shown) == 1 and not isinstance(shown[0], nodes.TemplateData) else None


def _is_access(expression: nodes.Expr) -> bool:
    """Tell whether an expression only picks from what there is: a name, its keys and items."""
    while isinstance(expression, nodes.Getattr | nodes.Getitem):
        expression = expression.node
    return isinstance(expression, nodes.Name)


def _line(error: Exception, root: Root) -> int:
    """Return the line of a template where a failure came from."""
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = root.line(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _list(parts: list[Value], value: list[Any]) -> Value:
    names = _names(parts)
    return Fixed(value) if names is None else Computed(names, lambda scope: [part.render(scope) for part in parts])


def _mapping(parts: list[tuple[Value, Value]], value: dict[str, Any]) -> Value:
    names = _names([each for part in parts for each in part])
    if names is None:
        return Fixed(value)
    return Computed(names, lambda scope: {as_text(key.render(scope)): part.render(scope) for key, part in parts})


def _names(parts: list[Value]) -> frozenset[str] | None:
    """Return the names that the templates among `parts` use; None if there are no templates."""
    computed = [part.names for part in parts if isinstance(part, Computed)]
    return frozenset().union(*computed) if computed else None
