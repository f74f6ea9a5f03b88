"""Compiles the values of routes.yaml: whatever holds ``{{ … }}`` or ``{% … %}`` becomes a function of its names.

A text that is one whole ``{{ … }}`` is an expression, and its value keeps its type. Any other text stays text. What has
been rendered is never parsed again: a client's ``[1,2]`` or ``{{ 7*7 }}`` is the text that it is.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from signalpost.actions.value import Computed, Failure, Fixed, TemplateFailedError, Value
from signalpost.config.model import Keys
from signalpost.config.words import unknown

Problem = Callable[[Keys, str], None]
Where = Callable[[Keys], str]
Render = Callable[[Mapping[str, Any]], Any]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Compiler:
    """Compiles values.

    Args:
        globals: what every template may name besides the names of its place.
        filters: what plugins add; one with the name of a built-in filter replaces it.

    """

    def __init__(
        self,
        globals: Mapping[str, Any] = _NOTHING,  # noqa: A002 - Jinja2's word
        filters: Mapping[str, Callable[..., Any]] = _NOTHING,
    ) -> None:
        self._environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        self._environment.globals.update(globals)
        self._environment.filters.update(filters)

    def compile(self, value: Any, keys: Keys, names: Collection[str], problem: Problem, where: Where) -> Value:
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
        if isinstance(value, str):
            return self._text(value, keys, names, problem, where) if is_template(value) else Fixed(value)
        if isinstance(value, list):
            parts = [self.compile(part, (*keys, n), names, problem, where) for n, part in enumerate(value)]
            return _together(value, parts, lambda scope: [_give(part, scope) for part in parts])
        if isinstance(value, dict):
            pairs = [
                (
                    self.compile(key, (*keys, key), names, problem, where),
                    self.compile(part, (*keys, key), names, problem, where),
                )
                for key, part in value.items()
            ]
            return _together(
                value,
                [part for pair in pairs for part in pair],
                lambda scope: {_give(key, scope): _give(part, scope) for key, part in pairs},
            )
        return Fixed(value)

    def _text(self, text: str, keys: Keys, names: Collection[str], problem: Problem, where: Where) -> Value:
        environment = self._environment
        try:
            tree = environment.parse(text.strip())
            whole = _expression(tree)
            used = meta.find_undeclared_variables(tree)
            for name in sorted(used - set(names) - set(environment.globals)):
                problem(keys, unknown("name", name, sorted(names)))
            template = environment.from_string(text)
            expression = environment.compile_expression(text.strip()[2:-2], undefined_to_none=False) if whole else None
        except TemplateSyntaxError as error:
            problem(keys, error.message or "it is not a template")
            return Fixed(text)
        place = where(keys)

        def render(scope: Mapping[str, Any]) -> Any:
            try:
                value = expression(scope) if expression else template.render(scope)
                if isinstance(value, StrictUndefined):
                    str(value)
            except UndefinedError as error:
                raise TemplateFailedError(place, Failure.UNDEFINED, str(error)) from error
            except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
                raise TemplateFailedError(place, Failure.VALUE, str(error)) from error
            return value

        return Computed(frozenset(used & set(names)), render)


def is_template(text: str) -> bool:
    """Tell whether a text has anything to render; ``{# … #}`` alone is text."""
    return "{{" in text or "{%" in text


def _expression(tree: nodes.Template) -> bool:
    return (
        len(tree.body) == 1
        and isinstance(output := tree.body[0], nodes.Output)
        and len(output.nodes) == 1
        and not isinstance(output.nodes[0], nodes.TemplateData)
    )


def _together(value: Any, parts: list[Value], render: Render) -> Value:
    names = [part.names for part in parts if isinstance(part, Computed)]
    return Computed(frozenset().union(*names), render) if names else Fixed(value)


def _give(value: Value, scope: Mapping[str, Any]) -> Any:
    return value.value if isinstance(value, Fixed) else value.render(scope)
