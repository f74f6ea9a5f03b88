"""Whatever is written as a template, it is refused with words, or gives JSON, or fails with words: nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.templates.attributes import LOOP, MOMENT, TEXT
from signalpost.templates.compiler import Compiler
from signalpost.templates.operators import BINARY
from signalpost.templates.scope import Limits
from signalpost.templates.value import Computed, FailureKind, TemplateFailedError


@dataclass
class Weather:
    degrees: int = 7


COMPILER = Compiler({"double": lambda value: value * 2}, limits=Limits(seconds=0.05))
SCOPE = {
    "message": "hi",
    "data": {"list": [3, "b", None, 1.5, [1, 2]], "people": [{"name": "Ann"}, {"name": "bob"}], "items": 5, "a": {}},
    "now": datetime(2026, 11, 24, 12, tzinfo=UTC),
    "client": {"id": "c1", "groups": ["a", "b"]},
    "state": MappingProxyType({"weather": Weather(), "lock": object(), "pair": (1, 2)}),
}
ATOMS = st.sampled_from(
    [
        *SCOPE,
        "none",
        "true",
        "5",
        "-1",
        "2.5",
        "'text'",
        "''",
        "[]",
        "{'a': 1}",
        "data.x",
        "range",
        "double",
        "loop",
        "x",
    ]
)
NAMES = st.sampled_from(
    [*sorted(TEXT | MOMENT | LOOP), "a", "list", "items", "name", "weather", "degrees", "format", "__class__", "_x"]
)
FILTERS = st.sampled_from(sorted(COMPILER.filters))
TESTS = st.sampled_from(["defined", "none", "odd", "string", "mapping", "iterable", "sameas(5)", "in([1])", "eq(5)"])
OPERATORS = st.sampled_from([*BINARY, "~", "==", "<", "in", "and", "or", "not in"])


def larger(inner):
    """Make expressions of expressions."""
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("({} | {})".format, inner, FILTERS),
        st.builds("({} | {}({}))".format, inner, FILTERS, arguments),
        st.builds("({} | {}(attribute={}))".format, inner, FILTERS, inner),
        st.builds("({} is {})".format, inner, TESTS),
        st.builds("{}.{}".format, inner, NAMES),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}({})".format, inner, arguments),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} if {})".format, inner, inner),
        st.builds("[{}]".format, arguments),
        st.builds("{{ {}: {} }}".format, inner, inner),
        st.builds("-{}".format, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, larger, max_leaves=6)
TEXTS = st.one_of(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    st.builds("a {{{{ {} }}}} b {{{{ {} }}}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% for x in {} %}}{{{{ {} }}}}{{% endfor %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% for x in {} if {} recursive %}}{{{{ {} }}}}{{% endfor %}}".format, *[EXPRESSIONS] * 3),
    st.builds("{{% set x = {} %}}{{{{ x ~ {} }}}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% macro x(a) %}}{{{{ {} }}}}{{% endmacro %}}{{{{ {} }}}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% if {} %}}{{{{ {} }}}}{{% endif %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.text("{}%#-| \n'\"()[]:=.,+*/~_abx059", max_size=30).map("{{{}".format),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TEXTS)
def test_any_template_is_refused_or_gives_json_or_fails_with_words(text):
    told = []

    def problem(_keys, words, *, part, **_):
        told.append(words)
        assert part.line <= text.count("\n") + 1

    value = COMPILER.compile(text, (), SCOPE.keys(), problem, lambda _keys, **_: "routes.yaml:1:1")
    if told:
        assert all(words.isprintable() for words in told)
    elif isinstance(value, Computed):
        before = orjson.dumps(SCOPE, default=repr)
        try:
            orjson.dumps(value.render(SCOPE))
        except TemplateFailedError as failed:
            assert isinstance(failed.kind, FailureKind)  # noqa: PT017 - it may also not fail
            assert failed.text.isprintable()  # noqa: PT017
        assert orjson.dumps(SCOPE, default=repr) == before
