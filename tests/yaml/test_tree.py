"""YAML text as a tree that knows its places."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.yaml.bounds import MAX_CHARACTERS, MAX_DEPTH
from signalpost.yaml.nodes import plain
from signalpost.yaml.tree import read_tree


def value(text):
    tree = read_tree(text)
    assert tree.faults == ()
    assert tree.root is not None
    return plain(tree.root)


def faults(text):
    return [fault.words("{earlier}") for fault in read_tree(text).faults]


def test_the_words_are_those_of_yaml_1_2():
    assert value("[on, off, yes, no, y, n, true, True, FALSE, ~, null, ]") == [
        "on", "off", "yes", "no", "y", "n", True, True, False, None, None,
    ]  # fmt: skip
    assert value("on: off") == {"on": "off"}


def test_the_numbers_are_those_of_yaml_1_2():
    assert value("[12:30:00, 1_000, 2026-01-31, 0o17, 0x1F, 010, .5, 1., -1e3, +3]") == [
        "12:30:00", "1_000", "2026-01-31", 15, 31, 10, 0.5, 1.0, -1000.0, 3,
    ]  # fmt: skip


def test_what_is_quoted_is_text():
    assert value("""["1", '', "true", '<<', "null"]""") == ["1", "", "true", "<<", "null"]


@pytest.mark.parametrize("number", ["1e999", "-1e999", ".inf", "-.INF", ".nan", "9" * 30, "9" * 5000])
def test_a_number_that_json_cannot_carry_is_a_fault(number):
    assert len(faults(f"a: {number}")) == 1


def test_an_alias_stands_for_its_anchor():
    assert value("a: &x [1, {b: 2}]\nc: *x") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


def test_a_merge_key_takes_over_what_is_not_said():
    assert value("a: &x {b: 1, c: 2}\nd: &y {c: 9, e: 3}\nf: {c: 5, <<: [*x, *y]}")["f"] == {"b": 1, "c": 5, "e": 3}
    assert "give it an alias" in faults("a: {<<: 5}")[0]
    assert value("a: {'<<': 5}") == {"a": {"<<": 5}}


def test_a_billion_laughs_is_refused_before_it_is_expanded():
    text = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    assert "those behind aliases counted each time" in faults(text)[0]


def test_long_texts_cannot_be_multiplied_by_aliases():
    assert "expand to more than" in faults(f"a: &a {'x' * 500_000}\nb: [{', '.join(['*a'] * 20)}]")[0]


def test_depth_counts_through_aliases():
    text = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40
    assert faults(text) == [f"nested more than {MAX_DEPTH} levels deep"]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 1000, "? " * 1000, "a: " + "{a: " * 1000])
def test_deep_nesting_is_a_fault(text):
    assert len(faults(text)) == 1


def test_an_alias_cannot_stand_inside_its_own_anchor():
    assert "would contain itself" in faults("a: &a [*a]")[0]


def test_a_file_that_is_too_long_is_not_read():
    assert "at most" in faults("#" * (MAX_CHARACTERS + 1))[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", 'the key "a" stands here a second time (first in {earlier})'),
        ("1: 2", 'write "1" in quotes'),
        ("true: 2", 'write "true" in quotes'),
        ("?\n: 2", "the key is missing"),
        ("? [a]\n: 2", "a key is text"),
        ("a: {{ message }}", "{{ … }} and text that starts with { or [ need quotes"),
        ("a: !!python/object:os.system x", "leave out !!python/object:os.system"),
        ("a: !!str 5", "leave out !!str"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: *x", "no anchor &x above (known: none)"),
        ("a: &y 1\nb: *x", "(known: &y)"),
        ("cron: */5 * * * *", 'a text that starts with * needs quotes, or YAML takes it for an alias (cron: "*/5'),
        ("cron: * * * * *", "a text that starts with * needs quotes"),
        ("cron: @daily", "no value starts with @ in YAML: put it in quotes"),
        ("format: %H:%M", "no value starts with % in YAML"),
        ("a:\n\t- b", "use spaces"),
        ("a: b: c", 'quote a text that contains ": "'),
        ("a: [1, 2", 'this "[" is opened but never closed'),
        ("a: {b: 1", 'this "{" is opened but never closed'),
        ("a: 'b", "this quote is opened but never closed"),
        ("a:\n  b: 1\n c: 2", "indented differently"),
        ("a: }", "one bracket too many"),
        ('a: "\\q"', "no such escape"),
        ("a: - b", "a list begins on a line of its own"),
        ("a: \x01", "U+0001 cannot stand in a YAML file"),
        ('a: "\\ud800"', "half a character"),
        ('a: "\\UFFFFFFFF"', "the escape \\UFFFFFFFF in double quotes names no character: the last one is \\U0010FFFF"),
        (f"%YAML 1.{'9' * 5000}\n---\na: 1", "this number of a %YAML version is too long"),
        ("%YAML 2.0\n---\na: 1", "this is not YAML"),
    ],
)
def test_a_fault_says_what_to_do(text, says):
    assert says in faults(text)[0]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('a: 1\nb: "x\\UFFFFFFFF"', "\\UFFFFFFFF"),
        ('a: "\\U0010FFFF"\nb: "\\U00110000y"', "\\U00110000"),
        (f"%YAML {'9' * 5000}.1\n---\na: 1", "9"),
    ],
)
def test_a_fault_that_pyyaml_does_not_place_stands_where_it_is(text, where):
    (fault,) = read_tree(text).faults
    assert text[fault.span.start : fault.span.end] == where
    assert fault.span.start == text.index(where)


def test_reading_goes_on_after_a_fault_in_one_node():
    tree = read_tree("a: !x 1\nb: 1e999\n3: 4\nc: 5\nc: 6")
    assert tree.root is not None
    assert plain(tree.root) == {"a": 1, "b": None, "c": 5}
    assert [fault.keys for fault in tree.faults] == [("a",), ("b",), (), ("c",)]


def test_an_empty_text_is_no_tree():
    assert read_tree("# nothing\n").root is None
    assert read_tree("").root is None


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab:-#", max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(yaml_values)
def test_json_is_read_as_json(data):
    tree = read_tree(json.dumps(data))
    assert tree.faults == ()
    assert (tree.root and plain(tree.root)) == data


@given(st.text(alphabet="ab:-?*&!%@[]{}'\"\\|>#,~<. \n\t\r\0\ud800\ufeff\u2028é1é", max_size=40))
def test_any_text_is_a_tree_or_faults(text):
    tree = read_tree(text)
    for fault in tree.faults:
        assert 0 <= fault.span.start <= len(text) + 1
        assert "\n" not in fault.words("")


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ("a: refuse\t\n", {"a": "refuse"}),
        ("a: refuse \t # why\nb: 1\n", {"a": "refuse", "b": 1}),
        ("a:\tb\n", {"a": "b"}),
        ("a\t: b\n", {"a": "b"}),
        ("a: b\n\t\nc: d\n", {"a": "b", "c": "d"}),
        ("\t\na: 1\n\t", {"a": 1}),
        ("a:\n  b: c\n\t# why\nd: e\n", {"a": {"b": "c"}, "d": "e"}),
        ("a: [1,\t2,\n\t3]\n", {"a": [1, 2, 3]}),
        ("a: {\n\tb: c\t\n}\n", {"a": {"b": "c"}}),
        ("-\ta\n- b\t\n", ["a", "b"]),
        ("a: 'b'\t\nc: \"d\te\"\t\n", {"a": "b", "c": "d\te"}),
        ("a: b\tc d\n", {"a": "b\tc d"}),
        ("a: &x\tb\nc: *x\t\n", {"a": "b", "c": "b"}),
        ("a: |\t# why\n  b\tc\n", {"a": "b\tc\n"}),
        ("---\t\na: 1\n", {"a": 1}),
        ("a: b\n\t\n \t\n  c\n", {"a": "b\n\nc"}),
        ("a: b\n \tc\n", {"a": "b c"}),
    ],
)
def test_a_tab_that_indents_nothing_parts_what_stands_beside_it(text, is_read):
    assert value(text) == is_read


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a:\n\tb: c\n", 2, 1),
        ("a:\n  \tb: c\n", 2, 3),
        ("a: b\n\tc: d\n", 2, 1),
        ("-\ta: 1\n", 1, 4),
        ("-\t- a\n", 1, 3),
        ("- - \ta: 1\n", 1, 7),
    ],
)
def test_a_tab_that_indents_is_a_fault_at_its_place(text, line, column):
    tree = read_tree(text)
    (fault,) = tree.faults
    assert fault.words("") == "a tab cannot indent YAML: use spaces"
    problem = tree.documents[0].problem(fault.span.start, fault.span.end, "x")
    assert (problem.line, problem.column) == (line, column)


@pytest.mark.parametrize("char", ["\u0085", "\u2028", "\u2029"])
def test_what_ended_lines_in_older_yaml_is_a_character_like_others(char):
    texts = f"plain: x{char}y\nquoted: 'x{char}y'\n# {char} why: 5\nblock: |\n  x{char}y\n{char}key: z\n"
    assert value(texts) == {"plain": f"x{char}y", "quoted": f"x{char}y", "block": f"x{char}y\n", f"{char}key": "z"}
    tree = read_tree(f"a: {char}x\nb: \ue000\nb: 2\n")
    (fault,) = tree.faults
    assert tree.documents[0].problem(fault.span.start, fault.span.end, "x").line == 3


@given(st.text(alphabet="a:-#\t \n[]{},'\"|>&*!?", max_size=30))
def test_what_was_read_without_tabs_is_read_alike_by_the_scanner_for_tabs(text):
    without = text.replace("\t", " ")
    plainly, by_tabs = read_tree(f"{without}\n# "), read_tree(f"{without}\n#\t")
    assert (plainly.root is None) == (by_tabs.root is None)
    if plainly.root is not None and by_tabs.root is not None:
        assert plain(plainly.root) == plain(by_tabs.root)
