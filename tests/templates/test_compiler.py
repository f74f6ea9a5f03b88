"""A value keeps its type, a text stays text, and what costs nothing is not computed."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.templates.check import MistakeKind, Names
from signalpost.templates.compiler import Compiler, is_template
from signalpost.templates.scope import Limits
from signalpost.templates.value import Computed, FailureKind, Fixed, TemplateFailedError

# What orjson reads: whole numbers of 64 bits, no half characters.
WORDS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=10,
)
TEMPTING = st.sampled_from(["[1,2]", "None", "{{ 7*7 }}", "{% if %}", "true", "1e5", "{# #}", "\n", "{{ message }}"])


def fresh(value, names=("message",)):
    """Compile a value that has no mistakes, apart from any fixture (Hypothesis calls a test many times)."""

    def problem(keys, text, **_):
        raise AssertionError(f"{keys}: {text}")

    return Compiler().compile(value, (), names, problem, lambda _keys, **_: "routes.yaml:1:1")


WHOLE = fresh("{{ message }}")
PICKED = fresh("{{ message['key'][0] }}")
BUILT = fresh('{{ {"a": [message]} }}')
MIXED = fresh("<{{ message }}>")


@given(JSON | TEMPTING)
def test_any_json_value_comes_out_as_it_went_in(value):
    assert WHOLE.render({"message": value}) is value
    assert PICKED.render({"message": {"key": [value]}}) is value


@pytest.mark.slow
@given(JSON | TEMPTING)
def test_inside_what_a_template_builds_any_json_value_is_equal(value):
    built = BUILT.render({"message": value})
    assert json.dumps(built) == json.dumps({"a": [value]})


@given(WORDS | TEMPTING)
def test_inside_a_text_a_text_stands_letter_for_letter(text):
    assert MIXED.render({"message": text}) == f"<{text}>"


@given(JSON.filter(lambda value: not isinstance(value, str)))
def test_inside_a_text_any_other_value_is_json(value):
    assert json.loads(MIXED.render({"message": value})[1:-1]) == value


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", "", "{# no comment #}", "}}", [1, {"a": []}], {}])
def test_a_value_without_templates_is_fixed(compiled, value):
    fixed = compiled(value)
    assert isinstance(fixed, Fixed)
    assert fixed.value is value


def test_names_are_those_that_are_used(compiled):
    value = compiled({"a": ["{{ message }}", 5], "b{{ path }}": "{% for x in data.list %}{{ x }}{% endfor %}"})
    assert isinstance(value, Computed)
    assert value.names == {"message", "path", "data"}


def test_lists_mappings_and_keys_are_rendered(render):
    value = {"a": ["{{ message }}", 5], "to {{ path }}": {"b": "{{ message }}!"}, "{{ message }}": None}
    assert render(value, message=1, path="/x") == {"a": [1, 5], "to /x": {"b": "1!"}, "1": None}


def test_what_is_fixed_inside_a_computed_value_is_not_copied(compiled):
    fixed = {"large": ["list"]}
    assert compiled(["{{ message }}", fixed]).render({"message": 1})[1] is fixed


@pytest.mark.parametrize(
    "text",
    ["{{ message }}", "  {{ message }}\n", "{{- message -}}", "{{ (message) }}", "{{ message }}{# why #}"],
)
def test_blanks_and_comments_around_an_expression_leave_it_whole(render, text):
    assert render(text, message=[1]) == [1]


@pytest.mark.parametrize("text", ["{{ message }}.", "{{ message }}{{ '' }}", "{% if 1 %}{{ message }}{% endif %}"])
def test_anything_more_around_an_expression_makes_a_text(render, text):
    assert render(text, message=1).rstrip(".") == "1"


def test_a_text_keeps_the_line_ends_that_yaml_gives_it(render):
    assert render("{{ message }}\n{{ message }}\n", message="x") == "x\nx\n"


def test_braces_are_written_as_jinja_has_them(render):
    assert render("{{ '{{' }} x {% raw %}{{ message }}{% endraw %}") == "{{ x {{ message }}"


def test_what_a_whole_expression_gives_is_plain_data(render):
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert render("{{ now }}", now=now) == "2026-11-24T12:00:00+00:00"
    assert render("{{ client.groups }}", client={"groups": frozenset("ba")}) == ["a", "b"]
    assert render("{{ {'at': [now], 5: (1, 2)} }}", now=now) == {"at": ["2026-11-24T12:00:00+00:00"], "5": [1, 2]}


@pytest.mark.parametrize("expression", ["data.mesage", "data.a.b.c", "data['mesage']", "data.list[3]", "data.text.x"])
@pytest.mark.parametrize("text", ["{{{{ {} }}}}", "x {{{{ {} }}}}", "{{% if {} %}}{{% endif %}}", "{{{{ [{}] }}}}"])
def test_what_is_undefined_fails_wherever_it_is_used(compiled, expression, text):
    with pytest.raises(TemplateFailedError) as failed:
        compiled({"key": [text.format(expression)]}).render({"data": {"message": 1, "list": [1], "text": "t"}})
    assert failed.value.kind is FailureKind.UNDEFINED
    assert failed.value.where == "routes.yaml:7:4"
    assert str(failed.value).startswith("routes.yaml:7:4: ")


def test_a_failure_names_the_nearest_key(compiled):
    with pytest.raises(TemplateFailedError, match=r'no key named "mesage"; did you mean "message"\? \(known: message'):
        compiled("{{ data.mesage }}").render({"data": {"message": 1}})


def test_what_is_undefined_can_be_tested_and_given_a_default(render):
    assert render("{{ data.a is defined }}", data={}) is False
    assert render("{{ data.a.b.c | default(5) }}", data={}) == 5
    assert render("{{ data.a._b['c'][0][1:] | default(5) }}", data={}) == 5
    assert render("{{ data.a | default('') ~ 'x' }}", data={"a": None}) == "nullx"


def test_a_condition_without_else_is_an_empty_text(render):
    assert render("{{ 'x' if data }}", data=[]) == ""
    assert render("<{{ 'x' if data }}>", data=[]) == "<>"


def test_a_failure_inside_several_lines_is_placed_at_its_line(compiled):
    text = "{% if 1 %}\n  one\n  {{ data.a }}\n{% endif %}"
    with pytest.raises(TemplateFailedError, match=r'^routes\.yaml:3:2: no key named "a"'):
        compiled(text).render({"data": {}})


def test_globals_and_filters_of_plugins_are_known(compiled, problems):
    def shout(text, mark="!"):
        return text.upper() + mark

    compiler = Compiler({"motto": "be brief", "double": lambda x: 2 * x}, {"shout": shout, "lower": shout})
    value = compiled("{{ motto | shout('?') }} {{ double(message) }} {{ motto | lower }}", compiler=compiler)
    assert problems == []
    assert value.names == {"message"}
    assert value.render({"message": 4}) == "BE BRIEF? 8 be brief"


def test_a_name_of_the_place_goes_before_a_global(compiled):
    value = compiled("{{ message }}", compiler=Compiler({"message": "global"}))
    assert value.render({"message": "local"}) == "local"


def test_a_failure_of_a_plugin_is_told_with_its_type(compiled):
    def broken(*_):
        raise LookupError("no\nweather")

    compiler = Compiler({"weather": broken}, {"broken": broken})
    with pytest.raises(TemplateFailedError, match=r": LookupError: no weather$") as failed:
        compiled("{{ weather() }}", compiler=compiler).render({})
    assert failed.value.kind is FailureKind.VALUE
    with pytest.raises(TemplateFailedError, match=r': the filter "broken" failed: LookupError: no weather$'):
        compiled("{{ 1 | broken }}", compiler=compiler).render({})


def test_limits_are_those_that_were_asked_for(compiled):
    compiler = Compiler(limits=Limits(characters=10))
    assert compiled("<{{ message }}>", compiler=compiler).render({"message": "12345678"}) == "<12345678>"
    with pytest.raises(TemplateFailedError, match="more than 10 characters"):
        compiled("<{{ message }}>", compiler=compiler).render({"message": "123456789"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<b>{{ message }}</b>", "<b>&lt;i&gt;</b>"),
        ("{{ message }}", "&lt;i&gt;"),
        ("{{ '<i>' }}{{ ['<'] }}", "&lt;i&gt;[&#34;&lt;&#34;]"),
        ("{{ none }}{{ true }}{{ message is string }}", "nulltruetrue"),
        ("{{ message | e }}", "&lt;i&gt;"),
        ("{{ message ~ '<' }}", "&lt;i&gt;&lt;"),
        ("{{ [message, '&'] | join('<br>') }}", "&lt;i&gt;&lt;br&gt;&amp;"),
        ("{% set x %}<b>{{ message }}</b>{% endset %}{{ x }}", "<b>&lt;i&gt;</b>"),
        ("{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}{{ b(message) }}", "<b>&lt;i&gt;</b>"),
        ("{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}{{ b(message) + message }}", "<b>&lt;i&gt;</b>&lt;i&gt;"),
        (
            "{% macro b() %}<b>{{ caller() }}</b>{% endmacro %}{% call b() %}{{ message }}{% endcall %}",
            "<b>&lt;i&gt;</b>",
        ),
        ("{% for x in [[message]] recursive %}<{{ loop(x) if x is not string else x }}>{% endfor %}", "<<&lt;i&gt;>>"),
        ("{% filter trim %} {{ message }}{% endfilter %}", "&lt;i&gt;"),
    ],
)
def test_inside_html_everything_is_escaped_once(compiled, problems, template, text):
    value = compiled(template, compiler=Compiler(escape=True))
    assert problems == []
    assert value.render({"message": "<i>"}) == text


def test_what_is_only_passed_on_has_no_limit(compiled):
    message = ["x" * 100] * 100
    compiler = Compiler(limits=Limits(characters=10))
    assert compiled("{{ message }}", compiler=compiler).render({"message": message}) is message
    assert compiled("{{ message | default(0) }}", compiler=compiler).render({"message": message}) == message


def test_every_mistake_is_told_at_its_text(compiled, problems):
    compiled({"a": "{{ mesage }}", "b": ["{{ message | uper }}{{ pth }}"], "{{ x": "{{ message }}"})
    assert [keys for keys, _ in problems] == [("do", 0, "a"), ("do", 0, "b", 0), ("do", 0, "b", 0), ("do", 0, "{{ x")]
    assert problems[0][1].startswith(
        'nothing here is named "mesage"; did you mean "message"? (known: client, clients, data,'
    )
    assert problems[1][1].startswith('nothing here is named "pth"; did you mean "path"?')
    assert problems[2][1] == 'no filter "uper"; did you mean "upper"?'


def test_a_mistake_is_told_with_the_part_that_is_wrong(compiler):
    told = []

    def problem(keys, text, *, of_key, part, kind):
        told.append((keys, text, of_key, part, kind))

    text = "{% if message %}\n  {{ message }\n{% endif %}"
    compiler.compile({"a": text, "{{ b }}": 1}, ("do",), {"message"}, problem, None)
    assert told == [
        (("do", "a"), "unexpected '}'", False, (2, "{{ message }"), MistakeKind.WRONG),
        (("do", "{{ b }}"), 'nothing here is named "b" (known: message)', True, (1, "b"), MistakeKind.MISSING),
    ]


def test_attributes_are_checked_where_all_are_known(compiled, problems):
    names = Names({"client", "data"}, {"client": {"id", "path"}})
    compiled("{{ client.idd }} {{ client['pth'] }} {{ client.id }} {{ data.idd }}", names=names)
    assert [text for _, text in problems] == [
        'client has no "idd"; did you mean "id"? (known: id, path)',
        'client has no "pth"; did you mean "path"? (known: id, path)',
    ]


@pytest.mark.parametrize(("text", "whether"), [("{{ x }}", True), ("{% x %}", True), ("{# x #}", False), ("x", False)])
def test_what_is_a_template_is_seen_by_its_braces(text, whether):
    assert is_template(text) is whether
