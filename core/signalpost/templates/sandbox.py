"""Jinja2 with hard limits: what templates reach is data, and what they do ends.

Jinja2's own immutable sandbox keeps a template from Python's internals and from changing what it sees; it neither ends
an endless loop nor minds what `"a" * 10**9` takes, and lets a client's mapping hide or show Python's methods. So here

- an attribute is what `attributes` shows, and nothing else;
- a call, a loop and a filter look at the clock; loops by being made to go through `scope.Each`;
- a list or mapping that is written out is weighed: with all that is in it, it has an end (`scope.Limits.value`);
- arithmetic is that of `operators`, and filters are those of `filters`;
- ``a ~ b`` is the filter `join`, and so has its limits and its words for numbers, lists and nothing;
- an ``{{ a if b }}`` without ``else`` is an empty text, where Jinja2 would give something undefined.
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

# The name that tracebacks have for what is compiled here.
FILE = "<value>"

# The name whose mappings grow: what is picked from them is found without giving them away.
_STATE = "state"
_LONG_PATH = 2

# What tells of Python, or of HTML that is not made here.
_NO_TESTS = frozenset({"callable", "escaped", "filter", "test"})


@dataclass(frozen=True, slots=True)
class Root:
    """A compiled template.

    Attributes:
        pieces: yields its text, piece by piece.
        line: of the template, for a line of the Python that Jinja2 has made of it.

    """

    pieces: Callable[[Scope], Iterable[str]]
    line: Callable[[int], int]


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates in routes.yaml.

    Args:
        more_globals: what every template may name.
        more_filters: of plugins; built-in filters keep their names.
        limits: of each rendering.
        escape: whether what is put into a text is escaped as HTML; what macros and blocks have made is so already.

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
        """Begin a rendering."""
        return Scope(self, self._evaluation, names, self.limits)

    def root(self, tree: nodes.Template) -> Root:
        """Compile a tree, which is changed.

        Raises:
            TemplateSyntaxError: Jinja2 finds more than its parser did.
            SyntaxError: Python does, in what Jinja2 has made: blocks are nested too deeply.
            RecursionError: so are expressions.

        """
        code = self.compile(_Guard().visit(tree), filename=FILE)
        template = Template.from_code(self, code, self.globals)
        return Root(template.root_render_func, template.get_corresponding_lineno)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``: what `attributes` shows."""
        return shown(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``: what `attributes` shows."""
        return item(obj, argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return what may be called: functions, methods of texts and of dates; no classes."""
        return super().is_safe_callable(obj) and callable(obj) and not isinstance(obj, type)

    def call(self, scope: Scope, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call what a template calls, within the limits."""
        if function in _GUARDS:
            return function(scope, *args)
        if isinstance(function, BuiltinFunctionType):  # the methods of texts and dates, as quickly as may be
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
        """Reckon within the limits."""
        return operators.binary(cast("Scope", context), operator, left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:  # noqa: ARG002 - Jinja2's signature
        """Reckon within the limits."""
        return operators.unary(operator, arg)

    def concat(self, pieces: Iterable[str]) -> str:
        """Join what a macro or a block of ``{% set %}`` has made."""
        joined: list[str] = []
        length = 0
        for piece in pieces:
            length += len(piece)
            if length > self.limits.characters:
                raise StoppedError(FailureKind.SIZE, too_long(self.limits))
            joined.append(piece)
        return "".join(joined)


class _Guard(NodeTransformer):
    """Leads what Jinja2 compiles to plain Python through the sandbox."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja2's names
        """Let the loop go through an `Each`."""
        self.generic_visit(node)
        node.iter = _call("each", node.iter)
        if node.test is not None:
            # `loop.length` of a filtered loop goes through everything before the first iteration.
            node.body.insert(0, nodes.ExprStmt(_call("look"), lineno=node.lineno))
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Let `cut` take slices, which Jinja2 leaves to Python."""
        if not isinstance(node.arg, nodes.Slice):
            return self.visit_Getattr(node)
        self.generic_visit(node)
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return _call("cut", node.node, *(bound or nodes.Const(None) for bound in bounds))

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        """Let `made` look at what it holds, unless that stands in the template."""
        self.generic_visit(node)
        return node if all(isinstance(each, nodes.Const) for each in node.items) else _call("made", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        """Do what `visit_List` does; the names of ``{% for a, b in … %}`` are a tuple too."""
        self.generic_visit(node)
        fixed = node.ctx != "load" or all(isinstance(each, nodes.Const) for each in node.items)
        return node if fixed else _call("made", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        """Do what `visit_List` does."""
        self.generic_visit(node)
        return node if all(isinstance(each.value, nodes.Const) for each in node.items) else _call("made", node)

    def visit_Getattr(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:  # noqa: N802
        """Let `pick` find ``state.votes[message]``, all at once."""
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
        """Let `holder` answer ``params.n in state.count``; of a chain, what stands last."""
        self.generic_visit(node)
        last = node.ops[-1]
        if last.op in ("in", "notin") and not isinstance(last.expr, nodes.Literal):
            last.expr = _call("holder", last.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Make ``[a, b] | join`` of ``a ~ b``."""
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "join", [], [], None, None, lineno=node.lineno)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        """Make a missing ``else`` an empty text."""
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
    """Do `as_text`, by the clock."""
    return value if type(value) is str else as_text(value, scope.tick)


@pass_context
def _put_into_html(scope: Scope, value: Any) -> str:
    """Do `as_markup`; by asking for a scope, also with constants, which Jinja2 would else escape by its own words."""
    return as_markup(value, scope.tick)


def _is_in(value: Any, container: Any) -> bool:
    """Do Jinja2's test ``in``, as ``value in container`` does it here."""
    return contains(container, value)


@pass_context
def _uuid(scope: Scope) -> str:
    """Return a random UUID (RFC 9562, version 4): an id that nobody guesses."""
    return str(scope.keep(str(uuid4())))


@pass_context
def _range(scope: Scope, *arguments: Any) -> list[int]:
    """Count, as Python's `range`; the list is counted among what a rendering makes."""
    numbers = range(*arguments)
    try:
        scope.room_for_items(len(numbers))
    except OverflowError:  # more than there are addresses
        raise StoppedError(FailureKind.SIZE, f"range({', '.join(map(str, arguments))}) is too long") from None
    return list(numbers)
