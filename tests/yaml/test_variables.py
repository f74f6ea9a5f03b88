"""Variables in texts: what they stand for, and what cannot become of what they hold."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalpost.yaml.nodes import plain
from signalpost.yaml.surroundings import Surroundings
from signalpost.yaml.tree import read_tree
from signalpost.yaml.variables import substitute

ENVIRONMENT = {"HOST": "example.org", "PORT": "8090", "EMPTY": "", "_x1": "under", "NESTED": "${HOST} $${"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Read a text in which variables are known."""
    folder = tmp_path_factory.mktemp("app")

    def read(text, environment):
        return read_tree(text, "routes.yaml", Surroundings(folder, "routes.yaml", environment))

    return read


@pytest.fixture
def value(tree):
    """Read a text that has no fault."""

    def read(text, environment=ENVIRONMENT):
        read = tree(text, environment)
        assert read.faults == ()
        return plain(read.root)

    return read


@pytest.fixture
def faults(tree):
    """Read a text that has faults, and return each with what it underlines."""

    def read(text, environment=ENVIRONMENT):
        found = tree(text, environment).faults
        return [(text[each.span.start : each.span.end], each.words("")) for each in found]

    return read


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("${HOST}", "example.org"),
        ("http://${HOST}:${PORT}/", "http://example.org:8090/"),
        ("${_x1}", "under"),
        ("${NONE:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${HOST:-fallback}", "example.org"),
        ("a${EMPTY}b${NONE:-}c", "abc"),
        ("${NONE:-a:-b $ c}", "a:-b $ c"),
        ("$${HOST}", "${HOST}"),
        ("$$${PORT}", "$8090"),
        ("$$$${PORT}", "$${PORT}"),
        ("$5, $$, $HOST, $(HOST) and 100$", "$5, $$, $HOST, $(HOST) and 100$"),
        ("${{ data.price }} ${% if x %} ${# no #}", "${{ data.price }} ${% if x %} ${# no #}"),
        ("${NESTED}", "${HOST} $${"),
    ],
)
def test_a_variable_stands_for_what_the_environment_holds(text, becomes):
    filled = substitute(text, ENVIRONMENT)
    assert (filled.text, filled.flaws) == (becomes, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${HOTS}", 'the variable "HOTS" is not set; did you mean "HOST"? (${HOTS:-default} would give it a default)'),
        ("${host}", 'did you mean "HOST"?'),
        ("${}", "a variable needs a name: write ${NAME} or ${NAME:-default}"),
        ("${ }", "a variable needs a name"),
        ("${ HOST }", "no space stands around a variable's name: write ${HOST}"),
        ("${HOST", "this ${ is not closed by a }"),
        ("${HOST ${PORT}", "this ${ is not closed by a }"),
        ("${A:-${HOST}}", "this ${ is not closed by a } before the next brace"),
        ("${HOST-x}", '"-" after a variable\'s name is not read here'),
        ("${HOST:?x}", '":?" after a variable\'s name is not read here'),
        ("${HOST:+x}", '":+" after a variable\'s name is not read here'),
        ("${1X}", 'no variable is named "1X", since names are made of A-Z, a-z, 0-9 and _'),
        ("${HO ST}", '" " cannot stand in a variable\'s name'),
        ("${HO.ST}", '"." cannot stand in a variable\'s name'),
    ],
)
def test_a_variable_that_is_none_has_words(text, says):
    assert says in substitute(text, ENVIRONMENT).flaws[0].text


def test_no_problem_holds_what_a_variable_holds():
    filled = substitute("${HOTS}", {"HOST": "hunter2", "HOTSPOT": "hunter3"})
    assert "hunter" not in filled.flaws[0].text
    assert "hunter" not in repr(substitute("${HOST}", {"HOST": "hunter2"}).hidden)


@given(st.text(alphabet="$ab{}:-{%# "), st.dictionaries(st.sampled_from("ab"), st.text()))
def test_without_a_dollar_before_a_brace_nothing_changes(text, environment):
    while "${" in text:
        text = text.replace("${", "$")
    assert substitute(text, environment).text == text


@given(st.text(alphabet="$A{}%:-"))
@example("${{ $${A} $$${A} ${%")
def test_every_text_can_be_written(text):
    """Twice the dollars where a variable would begin: that gives the text back."""
    written = re.sub(r"\$+(?=\{(?![{%#]))", lambda match: match[0] * 2, text)
    assert substitute(written, {"A": "no"}).text == text


@given(st.text())
def test_what_a_variable_holds_is_never_read_again(held):
    filled = substitute("<${A}|${A}>", {"A": held, "B": "no"})
    assert filled.text == f"<{held}|{held}>"


def test_an_unquoted_variable_is_a_scalar_and_a_quoted_one_is_text(value):
    environment = {"N": "8090", "F": "0.5", "T": "true", "Z": "null", "W": "off", "E": ""}
    assert value("- ${N}\n- ${F}\n- ${T}\n- ${Z}\n- ${W}\n- ${E}", environment) == [
        8090, 0.5, True, None, "off", None,
    ]  # fmt: skip
    assert value("- '${N}'\n- \"${T}\"\n- ${N}0\n- ${N}${N}", environment) == ["8090", "true", "80900", "80908090"]
    assert value("- ${NONE:-8090}\n- '${NONE:-8090}'", environment) == [8090, "8090"]


@given(
    st.sampled_from(["a: 1", "[1, 2]", "{a: 1}", "- x\n- y", "&a b", "*a", "!include x", "!secret y", "# no", "'", '"'])
    | st.text(st.characters(exclude_categories=["Cs"]))
)  # fmt: skip
def test_no_variable_makes_structure(tree, held):
    """Whatever it holds, in whatever quotes: one value, and no other place of the file changes."""
    for text in ("a: ${X}\nb: 2", 'a: "${X}"\nb: 2', "a: |\n  ${X}\nb: 2", "a: x${X}y\nb: 2"):
        read = tree(text, {"X": held})
        if not read.faults:  # a number that JSON does not know
            data = plain(read.root)
            assert list(data) == ["a", "b"]
            assert data["b"] == 2
            assert not isinstance(data["a"], dict | list)


def test_variables_are_put_into_values_of_any_form(value):
    text = "a: \"x\\t${HOST}\"\nb: |\n  one ${HOST}\n  two\nc: ['${PORT}']\nd: >-\n  folded\n  ${PORT}"
    assert value(text) == {"a": "x\texample.org", "b": "one example.org\ntwo\n", "c": ["8090"], "d": "folded 8090"}


def test_a_key_has_no_variables(faults, value):
    assert "not into keys" in faults("${HOST}: 1")[0][1]
    assert value("$${HOST}: 1") == {"${HOST}": 1}


@pytest.mark.parametrize(
    ("text", "underlined"),
    [
        ("a: ${NO}", "${NO}"),
        ("a: http://${HOST}:${NO}/${NO}", "${NO}"),
        ('a: "say ${NO}"', "${NO}"),
        ('a: "tab\\t${NO}"', "${NO}"),
        ("a: |\n  one\n  two ${NO-x}", "${NO-x}"),
        ("a: 'it''s ${'", "${"),
    ],
)
def test_a_flaw_is_underlined_within_its_text(faults, text, underlined):
    assert [each[0] for each in faults(text)] == [underlined] * text.count("${NO}" if "${NO}" in text else "${")


def test_a_value_with_a_flaw_is_not_known(tree):
    read = tree("a: x${NO}y\nb: ${NO}", {})
    assert plain(read.root) == {"a": None, "b": None}
    assert [fault.keys for fault in read.faults] == [("a",), ("b",)]


def test_the_second_of_two_equal_flaws_has_its_own_place(tree):
    text = "a: ${NO} and ${NO}"
    first, second = tree(text, {}).faults
    assert (first.span.start, second.span.start) == (3, 13)


def test_between_braces_a_variable_needs_quotes_and_is_told_so(faults):
    underlined, words = faults("a: {port: ${PORT}}")[0]
    assert underlined == "${"
    assert "in lines instead (port: ${PORT})" in words
    assert "needs quotes" in faults("a: [${PORT}]")[0][1]


@pytest.mark.parametrize("held", ["1e999", ".nan", "9" * 40, "\udcff"])
def test_a_value_that_cannot_be_used_is_told_without_it(faults, held):
    ((_, words),) = faults("a: ${X}", {"X": held})
    assert words == "${X} holds no text of UTF-8, or no number that JSON knows"


def test_a_text_full_of_flaws_has_its_first_ones_told(faults):
    assert len(faults(f"a: {'${} ' * 1000}")) == 20
