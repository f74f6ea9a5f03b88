"""What can be known of a template before it is rendered is told then, with the nearest name."""

import pytest

from signalpost.templates.check import MistakeKind, Names
from signalpost.templates.compiler import Compiler


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ mesage }}", 'nothing here is named "mesage"; did you mean "message"? (known: '),
        ("{{ mesage is defined }}", 'nothing here is named "mesage"'),
        ("{{ mesage | default(1) }}", 'nothing here is named "mesage"'),
        ("{{ rang(5) }}", 'no function named "rang"; did you mean "range"? (known: range, uuid)'),
        ("{{ message | uper }}", 'no filter "uper"; did you mean "upper"?'),
        ("{{ message is strng }}", 'no test "strng"; did you mean "string"?'),
        ("{{ [message] | map('uper') }}", 'no filter "uper"; did you mean "upper"?'),
        ("{{ [message] | select('od') }}", 'no test "od"; did you mean "odd"?'),
        ("{{ [message] | rejectattr('a', 'od') }}", 'no test "od"; did you mean "odd"?'),
        ("{{ now | datetime('%H', 'Europe/Londn') }}", 'no time zone "Europe/Londn"; did you mean "Europe/London"?'),
        ("{{ now | datetime(timezone='Berlin') }}", 'no time zone "Berlin"; did you mean "Europe/Berlin"?'),
        ("{{ 99999999999999999999 }}", "a whole number of more than 64 bits"),
        ("{{ message }", "unexpected '}'"),
        ("{{ message", "unexpected end of template, expected '}}'"),
        ("{{ message {% if message %}", "expected '}}', got '{'"),
        ("{% if message {{", "expected '%}', got '{'"),
        ("{% if %}{% endif %}", "expected an expression, got '%}'"),
        ("{% for x in data %}", "unexpected end of template"),
        ("{% loop %}", "encountered unknown tag 'loop'"),
        ("{{ message ! }}", "unexpected char '!' at 11"),
        ("{% include 'x' %}", "{% include %} has no place in a value"),
        ("{% for x in data %}{% endfor %}{{ x }}", 'nothing here is named "x"'),
        ("{% for x in data %}{% endfor %}{{ loop.index }}", 'nothing here is named "loop"'),
        ("{% macro m(a) %}{% endmacro %}{{ a }}", 'nothing here is named "a"'),
        ("{% with a = 1 %}{% endwith %}{{ a }}", 'nothing here is named "a"'),
    ],
)
def test_a_mistake_is_told(compiled, problems, template, text):
    compiled(template)
    assert len(problems) == 1
    assert problems[0][1].startswith(text)


@pytest.mark.parametrize(
    "template",
    [
        "{% for x in data %}{{ x }}{{ loop.index }}{% endfor %}",
        "{% for a, b in data | items %}{{ a }}{{ b }}{% else %}{% endfor %}",
        "{% set x = message %}{{ x }}",
        "{% set a, b = message %}{{ a }}{{ b }}",
        "{% set x %}{{ message }}{% endset %}{{ x }}",
        "{% if message %}{% set x = 1 %}{% endif %}{{ x }}",
        "{% with a = 1, b = message %}{{ a }}{{ b }}{% endwith %}",
        "{% macro m(a, b=1) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{{ caller() }}{% endmacro %}{{ m(1) }}",
        "{% call(user) message() %}{{ user }}{% endcall %}",
        "{% filter upper %}{{ message }}{% endfilter %}",
        "{{ [message] | map('upper') | select('string') | selectattr('x') | list }}",
        "{{ [message] | map(attribute='x') | selectattr('x', message) | list }}",
        "{{ range(5) }}{# {{ nonsense }} #}{% raw %}{{ nonsense }}{% endraw %}",
    ],
)
def test_what_a_template_defines_itself_is_known(compiled, problems, template):
    compiled(template)
    assert problems == []


def test_all_mistakes_of_a_template_are_told_by_line(compiled, problems):
    compiled("{{ b }}{{ a }}\n{{ message | uper }}\n{{ a }} {{ c() }}{% include 'x' %}")
    assert [text.partition(" (known")[0] for _, text in problems] == [
        'nothing here is named "a"',
        'nothing here is named "b"',
        'no filter "uper"; did you mean "upper"?',
        'no function named "c"',
        "{% include %} has no place in a value",
    ]


def test_globals_are_names_and_functions(compiled, problems):
    compiler = Compiler({"motto": "x", "weather": lambda: 5})
    compiled("{{ mottto }}{{ wether() }}", names={"message"}, compiler=compiler)
    assert [text for _, text in problems] == [
        'nothing here is named "mottto"; did you mean "motto"? (known: message, motto)',
        'no function named "wether"; did you mean "weather"? (known: range, uuid, weather)',
    ]


@pytest.mark.parametrize(
    "template",
    ["{{ client.idd }}", "{{ client['idd'] }}", "{% if client.idd %}{% endif %}", "{{ client.idd.x | default(1) }}"],
)
def test_an_attribute_that_a_name_cannot_have_is_told(compiled, problems, template):
    compiled(template, names=Names({"client"}, {"client": {"id", "path"}}))
    assert [text for _, text in problems] == ['client has no "idd"; did you mean "id"? (known: id, path)']


@pytest.mark.parametrize(
    "template",
    [
        "{{ client.id }}",
        "{{ client }}",
        "{{ client[message] }}",
        "{{ message.idd }}",
        "{% for client in message %}{{ client.idd }}{% endfor %}",
        "{% set client = message %}{{ client.idd }}",
        "{% macro m(client) %}{{ client.idd }}{% endmacro %}",
    ],
)
def test_what_may_have_an_attribute_is_left_alone(compiled, problems, template):
    compiled(template, names=Names({"client", "message"}, {"client": {"id", "path"}}))
    assert problems == []


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("{{ mesage }}", MistakeKind.MISSING),
        ("{{ rang(5) }}", MistakeKind.MISSING),
        ("{{ message | uper }}", MistakeKind.MISSING),
        ("{{ [message] | map('uper') }}", MistakeKind.MISSING),
        ("{{ message is strng }}", MistakeKind.WRONG),
        ("{{ [message] | select('od') }}", MistakeKind.WRONG),
        ("{{ message }", MistakeKind.WRONG),
    ],
)
def test_a_name_that_a_plugin_may_add_is_missing_and_all_else_is_wrong(compiler, template, kind):
    kinds = []
    compiler.compile(template, (), {"message"}, lambda *_, kind, **__: kinds.append(kind), None)
    assert kinds == [kind]
