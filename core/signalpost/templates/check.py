"""Finds the problems of a template that can be known before it is rendered."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from jinja2 import meta, nodes
from jinja2.environment import Environment

from signalpost.config.jobs import parse_timezone
from signalpost.config.viewtemplates import unknown_filters
from signalpost.scalars import check_text
from signalpost.templates.failures import StoppedError
from signalpost.templates.operators import number
from signalpost.words import among, did_you_mean, quoted, unknown

_REFUSED: Mapping[type[nodes.Node], str] = MappingProxyType(
    {
        nodes.Include: "include",
        nodes.Import: "import",
        nodes.FromImport: "from",
        nodes.Extends: "extends",
        nodes.Block: "block",
        nodes.ScopedEvalContextModifier: "autoescape",
        nodes.NSRef: "set x.y",
    }
)


# Which argument of these filters names a filter or test.
_TAKES_NAME: Mapping[str, int] = MappingProxyType(
    {"map": 1, "select": 1, "reject": 1, "selectattr": 2, "rejectattr": 2}
)


@dataclass(frozen=True, slots=True)
class Names:
    """The names that the templates of one place may use.

    Attributes:
        known: the names: ``message``, ``data``, ``client``, …
        attributes: all attributes of names for which they are known: ``{"client": {"id", "path", "groups"}}``.
    """

    known: Collection[str]
    attributes: Mapping[str, Collection[str]] = field(default_factory=dict)


class MistakeKind(Enum):
    """The kinds of problems in a template."""

    WRONG = auto()
    MISSING = auto()  # a name that plugins may add


class TemplateProblem(NamedTuple):
    """One problem in a template.

    Attributes:
        line: of the template, from 1.
        part: the faulty part as written; empty if unknown.
        text: what is wrong, what is allowed, what was probably meant.
    """

    line: int
    part: str
    text: str
    kind: MistakeKind = MistakeKind.WRONG


def judge(environment: Environment, tree: nodes.Template, names: Names) -> tuple[list[TemplateProblem], frozenset[str]]:
    """Return all problems, sorted by line, and the known names that are used.

    A tree with problems may be changed.
    """
    found = [
        *_refused(tree),
        *(
            TemplateProblem(node.lineno, node.name, text, _kind(isinstance(node, nodes.Filter)))
            for node, text in unknown_filters(environment, tree)
        ),
        *_unknown_arguments(environment, tree),
        *_time_zones(tree),
        *_constants(tree),
        *_unknown_attributes(tree, names),
    ]
    # The search for uses of an unknown name stops at an unknown filter.
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        known = environment.filters if isinstance(node, nodes.Filter) else environment.tests
        node.name = node.name if node.name in known else next(iter(known))
    used = _used_names(environment, tree)
    found += _unknown_names(environment, tree, names, used)
    return sorted(found, key=itemgetter(0, 1, 2)), frozenset(used).intersection(names.known)


def _kind(is_filter: bool) -> MistakeKind:
    """Return the kind of an unknown filter, or of an unknown test: plugins add none of these."""
    return MistakeKind.MISSING if is_filter else MistakeKind.WRONG


def _used_names(environment: Environment, tree: nodes.Template) -> set[str]:
    """Return the names that a template uses and does not define itself.

    `meta.find_undeclared_variables` evaluates constants, and fails for ``{[]: 1}``.
    """
    generator = meta.TrackingCodeGenerator(environment)
    generator.optimizer = None
    generator.visit(tree)
    return generator.undeclared_identifiers


def _refused(tree: nodes.Template) -> Iterator[TemplateProblem]:
    for node in tree.find_all(tuple(_REFUSED)):
        yield TemplateProblem(
            node.lineno, _REFUSED[type(node)], f"{{% {_REFUSED[type(node)]} %}} has no place in a value"
        )


def _unknown_names(
    environment: Environment, tree: nodes.Template, names: Names, used: set[str]
) -> Iterator[TemplateProblem]:
    functions = {name for name, value in environment.globals.items() if callable(value)}
    known = {*names.known, *environment.globals}
    # In Jinja2 `self` is not a variable, but gives access to the blocks of a page.
    wrong = (used | {"self"}) - known - set(_set_names(tree))
    called = {node.node.name for node in tree.find_all(nodes.Call) if isinstance(node.node, nodes.Name)}
    told: set[str] = set()
    for node in tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name in wrong and node.name not in told:
            told.add(node.name)
            if node.name in called:
                text = unknown("function", node.name, sorted(functions))
            else:
                text = f"nothing here is named {quoted(node.name)}{among(node.name, sorted(known - functions))}"
            yield TemplateProblem(node.lineno, node.name, text, MistakeKind.MISSING)


def _set_names(tree: nodes.Template) -> Iterator[str]:
    """Yield all names that are set anywhere: whether that happens before their use shows only during rendering."""
    for node in tree.find_all((nodes.Assign, nodes.AssignBlock)):
        for name in (node.target, *node.target.find_all(nodes.Name)):  # type: ignore[attr-defined]
            if isinstance(name, nodes.Name):
                yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name


def _unknown_attributes(tree: nodes.Template, names: Names) -> Iterator[TemplateProblem]:
    """Find attributes that a name does not have, unless the template gives the name another meaning somewhere."""
    redefined = {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        owner, name = _attribute(node)
        known = names.attributes.get(owner)
        if known is not None and owner not in redefined and name not in known:
            text = f"{owner} has no {quoted(name)}{among(name, sorted(known))}"
            yield TemplateProblem(node.lineno, name, text)


def _attribute(node: nodes.Node) -> tuple[str, str]:
    """Return the names in ``client.id`` or ``client["id"]``; empty ones for other expressions."""
    match node:
        case nodes.Getattr(node=nodes.Name(name=owner), attr=name):
            return owner, name
        case nodes.Getitem(node=nodes.Name(name=owner), arg=nodes.Const(value=str(name))):
            return owner, name
    return "", ""


def _unknown_arguments(environment: Environment, tree: nodes.Template) -> Iterator[TemplateProblem]:
    """Find problems in the names that `map`, `select` and similar filters receive."""
    for node in tree.find_all(nodes.Filter):
        kind, known = ("filter", environment.filters) if node.name == "map" else ("test", environment.tests)
        match _TAKES_NAME.get(node.name, 0), node.args:
            case (1, [nodes.Const(value=str(name)), *_]) | (2, [_, nodes.Const(value=str(name)), *_]):
                if name not in known:
                    text = f"no {kind} {quoted(name)}{did_you_mean(name, known)}"
                    yield TemplateProblem(node.lineno, name, text, _kind(node.name == "map"))


def _time_zones(tree: nodes.Template) -> Iterator[TemplateProblem]:
    """Find literal time zones that do not exist."""
    for node in tree.find_all(nodes.Filter):
        if node.name == "datetime":
            named = [each.value for each in node.find_all(nodes.Keyword) if each.key == "timezone"]
            for zone in (*node.args[1:2], *named):
                if isinstance(zone, nodes.Const) and isinstance(zone.value, str):
                    try:
                        parse_timezone(zone.value)
                    except ValueError as error:
                        yield TemplateProblem(zone.lineno, zone.value, str(error))


def _constants(tree: nodes.Template) -> Iterator[TemplateProblem]:
    """Find texts that UTF-8 cannot encode, and numbers that JSON cannot represent."""
    for constant in tree.find_all(nodes.Const):
        try:
            if isinstance(constant.value, str):
                check_text(constant.value)
            elif isinstance(constant.value, int | float):
                number(constant.value)
        except (ValueError, StoppedError) as error:
            yield TemplateProblem(constant.lineno, "", str(error))
