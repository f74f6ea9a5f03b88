"""Jinja2 with hard limits: templates reach only data, and always end.

Jinja2's own immutable sandbox protects Python's internals and the values from templates. But it neither ends an endless
loop nor limits `"a" * 10**9`, and a client's mapping may hide or show Python's methods. So here

- an attribute is what `attributes` shows, and nothing else;
- a call, a loop and a filter check the clock; loops by iterating over `scope.Each`;
- the weight of a list or mapping in a template, with all its contents, is limited (`scope.Limits.value`);
- arithmetic is that of `operators`, and filters are those of `filters`;
- ``a ~ b`` is the filter `join`, and so has its limits and its words for numbers, lists and nothing;
- an ``{{ a if b }}`` without ``else`` is an empty text, where Jinja2 returns an undefined value.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType
from typing import Any, cast
from uuid import uuid4

from jinja2 import Template, nodes, pass_context
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from signalpost.templates import operators
from signalpost.templates.attributes import LONGEST_SEARCH, SEARCHES, Absent, contains, item, kind
from signalpost.templates.attributes import attribute as shown
from signalpost.templates.failures import StoppedError
from signalpost.templates.filters import all_filters
from signalpost.templates.scope import Each, Limits, Scope, cut, holder, made, pick, too_long
from signalpost.templates.text import as_markup, as_text
from signalpost.templates.value import FailureKind

# The name in tracebacks for code compiled here.
FILE = "<value>"

# The name with large mappings: lookups in it must not expose whole values.
_STATE = "state"
_LONG_PATH = 2

# Names of Python, or of HTML that is not created here.
_NO_TESTS = frozenset({"callable", "escaped", "filter", "test"})


@dataclass(frozen=True, slots=True)
class Root:
    """A compiled template.

    Attributes:
        pieces: yields its text, piece by piece.
        line: of the template, for a line of the Python that Jinja2 has generated from it.
    """

    pieces: Callable[[Scope], Iterable[str]]
    line: Callable[[int], int]


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates in routes.yaml.

    Args:
        more_globals: that every template may use.
        more_filters: of plugins; built-in filters keep their names.
        limits: of each rendering.
        escape: whether values in a text are escaped as HTML; the output of macros and blocks is escaped already.
    """

    intercepted_binops = frozenset(operators.BINARY)
    intercepted_unops = frozenset(operators.UNARY)
    each = Each
    cut = staticmethod(cut)
    made = staticmethod(made)
    holder = staticmethod(holder)
    look = staticmethod(Scope.tick)
    pick = staticmethod(pick)

    def __init__(
        self,
        more_globals: Mapping[str, Any],
        more_filters: Mapping[str, Callable[..., Any]],
        limits: Limits,
        *,
        escape: bool = False,
    ) -> None:
        super().__init__(
            undefined=Absent,
            finalize=_put_into_html if escape else _put_into_text,
            autoescape=escape,
            keep_trailing_newline=True,
            optimized=False,
            cache_size=0,
        )
        self.globals = {"range": _range, "uuid": _uuid, **more_globals}
        self.filters = all_filters(more_filters)
        self.tests = {name: test for name, test in self.tests.items() if name not in _NO_TESTS}
        self.tests["in"] = _is_in
        self.limits = limits
        self._evaluation = EvalContext(self)

    def scope(self, names: Mapping[str, Any]) -> Scope:
        """Start a rendering."""
        return Scope(self, self._evaluation, names, self.limits)

    def root(self, tree: nodes.Template) -> Root:
        """Compile a tree, which is changed.

        Raises:
            TemplateSyntaxError: Jinja2 finds more than its parser did.
            SyntaxError: Python finds one in the generated code: blocks are nested too deeply.
            RecursionError: expressions are nested too deeply.
        """
        code = self.compile(_Guard().visit(tree), filename=FILE)
        template = Template.from_code(self, code, self.globals)
        return Root(template.root_render_func, template.get_corresponding_lineno)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``, as `attributes` shows it."""
        return shown(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``, as `attributes` shows it."""
        return item(obj, argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return whether an object may be called: functions, methods of texts and of dates; not classes."""
        return super().is_safe_callable(obj) and callable(obj) and not isinstance(obj, type)

    def call(self, scope: Scope, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call what a template calls, within the limits."""
        if function in _GUARDS:
            return function(scope, *args)
        if isinstance(function, BuiltinFunctionType):  # the methods of texts and dates, as fast as possible
            scope.tick()
            if function.__name__ in SEARCHES and any(len(part) > LONGEST_SEARCH for part in args if type(part) is str):
                text = f"{function.__name__} looks for at most {LONGEST_SEARCH} characters"
                raise StoppedError(FailureKind.SIZE, text)
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return scope.keep(function(*args, **kwargs))
        if not self.is_safe_callable(function):
            raise StoppedError(FailureKind.FORBIDDEN, f"{kind(function)} cannot be called")
        return scope.call(function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute a binary operation within the limits."""
        return operators.binary(cast("Scope", context), operator, left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:  # noqa: ARG002 - Jinja2's signature
        """Compute a unary operation within the limits."""
        return operators.unary(operator, arg)

    def concat(self, pieces: Iterable[str]) -> str:
        """Join the output of a macro or a block of ``{% set %}``."""
        joined: list[str] = []
        length = 0
        for piece in pieces:
            length += len(piece)
            if length > self.limits.characters:
                raise StoppedError(FailureKind.SIZE, too_long(self.limits))
            joined.append(piece)
        return "".join(joined)


class _Guard(NodeTransformer):
    """Redirects what Jinja2 compiles to plain Python through the sandbox."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja2's names
        """Iterate over an `Each`."""
        self.generic_visit(node)
        node.iter = _call("each", node.iter)
        if node.test is not None:
            # `loop.length` of a filtered loop reads everything before the first iteration.
            node.body.insert(0, nodes.ExprStmt(_call("look"), lineno=node.lineno))
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Use `cut` for slices, which Jinja2 leaves to Python."""
        if not isinstance(node.arg, nodes.Slice):
            return self.visit_Getattr(node)
        self.generic_visit(node)
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return _call("cut", node.node, *(bound or nodes.Const(None) for bound in bounds))

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        """Use `made` to check the contents, unless they are constants."""
        self.generic_visit(node)
        return node if all(isinstance(each, nodes.Const) for each in node.items) else _call("made", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        """Do the same as `visit_List`; the names of ``{% for a, b in … %}`` are a tuple too."""
        self.generic_visit(node)
        fixed = node.ctx != "load" or all(isinstance(each, nodes.Const) for each in node.items)
        return node if fixed else _call("made", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        """Do the same as `visit_List`."""
        self.generic_visit(node)
        return node if all(isinstance(each.value, nodes.Const) for each in node.items) else _call("made", node)

    def visit_Getattr(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Use `pick` for chains such as ``state.votes[message]``."""
        path: list[nodes.Getattr | nodes.Getitem] = []
        root: nodes.Node = node
        while isinstance(root, nodes.Getattr | nodes.Getitem) and not _is_slice(root):
            path.append(root)
            root = root.node
        if len(path) < _LONG_PATH or not isinstance(root, nodes.Name) or root.name != _STATE:
            return self.generic_visit(node)
        keys = [nodes.Const(step.attr) if isinstance(step, nodes.Getattr) else self.visit(step.arg) for step in path]
        return _call("pick", root, *reversed(keys))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """Use `holder` for ``params.n in state.count``; in a chain, for the last operand."""
        self.generic_visit(node)
        last = node.ops[-1]
        if last.op in ("in", "notin") and not isinstance(last.expr, nodes.Literal):
            last.expr = _call("holder", last.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Convert ``a ~ b`` to ``[a, b] | join``."""
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "join", [], [], None, None, lineno=node.lineno)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        """Replace a missing ``else`` by an empty text."""
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=node.lineno)
        return node


def _is_slice(node: nodes.Getattr | nodes.Getitem) -> bool:
    return isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)


_GUARDS = (Each, cut, holder, made, pick, Scope.tick)
"""What `_Guard` puts in; each takes the scope first."""


def _call(name: str, *arguments: nodes.Node) -> nodes.Call:
    """Call an attribute of the environment, one of `_GUARDS`."""
    line = arguments[0].lineno if arguments else None
    return nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None, lineno=line)


@pass_context
def _put_into_text(scope: Scope, value: Any) -> str:
    """Do the same as `as_text`, with clock checks."""
    return value if type(value) is str else as_text(value, scope.tick)


@pass_context
def _put_into_html(scope: Scope, value: Any) -> str:
    """Do the same as `as_markup`; the scope argument prevents Jinja2's own escaping of constants."""
    return as_markup(value, scope.tick)


def _is_in(value: Any, container: Any) -> bool:
    """Implement Jinja2's test ``in`` like ``value in container``."""
    return contains(container, value)


@pass_context
def _uuid(scope: Scope) -> str:
    """Return a random UUID (RFC 9562, version 4): an id that cannot be guessed."""
    return str(scope.keep(str(uuid4())))


@pass_context
def _range(scope: Scope, *arguments: Any) -> list[int]:
    """Return a list like Python's `range`; it counts towards what a rendering creates."""
    numbers = range(*arguments)
    try:
        scope.room_for_items(len(numbers))
    except OverflowError:  # more than there are addresses
        raise StoppedError(FailureKind.SIZE, f"range({', '.join(map(str, arguments))}) is too long") from None
    return list(numbers)
