"""Every filter does what Jinja2 says of it, on the values that JSON has."""

import time
from datetime import UTC, date, datetime
from types import MappingProxyType
from uuid import UUID

import pytest

from signalpost.templates.value import FailureKind, TemplateFailedError

PEOPLE = [{"name": "Ann", "age": 30}, {"name": "bob", "age": 20}, {"name": "Cid"}]
NOW = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)

GIVES = {
    "abs": ("-3 | abs", 3),
    "capitalize": ("'hELLO' | capitalize", "Hello"),
    "center": ("'x' | center(5)", "  x  "),
    "count": ("people | count", 3),
    "d": ("data.x | d(5)", 5),
    "datetime": ("now | datetime", "2026-07-01T12:30:00+00:00"),
    "default": ("data.x.y | default('none')", "none"),
    "dictsort": ("{'b': 1, 'A': 2} | dictsort", [["A", 2], ["b", 1]]),
    "e": ("'<&>' | e", "&lt;&amp;&gt;"),
    "escape": ("'\"' | escape", "&#34;"),
    "from_json": ("'{\"a\": [1]}' | from_json", {"a": [1]}),
    "hash": ("'abc' | hash", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    "number": ("1234567.891 | number(2)", "1,234,567.89"),
    "timestamp": ("now | timestamp", 1782909000),
    "filesizeformat": ("1500 | filesizeformat", "1.5 kB"),
    "first": ("people | first", PEOPLE[0]),
    "float": ("'1.5' | float", 1.5),
    "groupby": ("people[:2] | groupby('age') | map('first')", [20, 30]),
    "int": ("'42.7' | int", 42),
    "items": ("{'a': 1} | items", [["a", 1]]),
    "join": ("[1, none, 'x', true] | join(', ')", "1, null, x, true"),
    "json": ("people[2] | json", '{"name":"Cid"}'),
    "last": ("people | map(attribute='name') | last", "Cid"),
    "length": ("'four' | length", 4),
    "list": ("'ab' | list", ["a", "b"]),
    "lower": ("'ÄB' | lower", "äb"),
    "map": ("people | map(attribute='age', default=0)", [30, 20, 0]),
    "max": ("[1, 3, 2] | max", 3),
    "min": ("people | min(attribute='name')", PEOPLE[0]),
    "random": ("[7] | random", 7),
    "reject": ("[1, 2, 3] | reject('odd')", [2]),
    "rejectattr": ("people | rejectattr('name', 'eq', 'Ann') | map(attribute='name')", ["bob", "Cid"]),
    "replace": ("'aXbX' | replace('X', '-')", "a-b-"),
    "reverse": ("[1, 2] | reverse", [2, 1]),
    "round": ("2.567 | round(1)", 2.6),
    "select": ("[0, 1, ''] | select", [1]),
    "selectattr": ("people | selectattr('age', 'defined') | map(attribute='age')", [30, 20]),
    "sort": ("people | sort(attribute='name', reverse=true) | map(attribute='name')", ["Cid", "bob", "Ann"]),
    "string": ("none | string", "null"),
    "sum": ("people[:2] | sum(attribute='age')", 50),
    "title": ("'one two' | title", "One Two"),
    "trim": ("'  x ' | trim", "x"),
    "truncate": ("'one two three' | truncate(9, leeway=0)", "one..."),
    "unique": ("['a', 'A', 'b'] | unique", ["a", "b"]),
    "upper": ("5 | upper", "5"),
    "urlencode": ("'a b/ä' | urlencode", "a%20b/%C3%A4"),
    "wordcount": ("'one two' | wordcount", 2),
}


def test_every_filter_is_shown_here(compiler):
    assert set(compiler.filters) == set(GIVES)


@pytest.mark.parametrize(("expression", "result"), GIVES.values(), ids=GIVES)
def test_a_filter_gives(compiled, problems, expression, result):
    value = compiled(f"{{{{ {expression} }}}}", {"people", "data", "now"})
    assert problems == []
    assert value.render({"people": PEOPLE, "data": {}, "now": NOW}) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("'abc' | reverse", "cba"),
        ("'aaa' | replace('a', 'b', 2)", "bba"),
        ("'abc' | replace('', '-')", "-a-b-c-"),
        ("data | items", [["a", 1]]),
        ("data | urlencode", "a=1"),
        ("data | json", '{"a":1}'),
        ("'' | first | default('none')", "none"),
        ("[] | random | default('none')", "none"),
        ("[1.5, 2] | sum", 3.5),
        ("[] | sum", 0),
        ("'nan' | float(1)", 1),
        ("('9' * 101) | int(-1)", -1),
        ("('9' * 101) | float(-1)", -1),
        ("1 ~ 2.5 ~ [none]", "12.5[null]"),
        ("[[1, 2], [3]] | map('length')", [2, 1]),
        ("1.25 | round(1, 'floor')", 1.2),
    ],
)
def test_an_expression_with_filters_gives(render, expression, result):
    assert render(f"{{{{ {expression} }}}}", data=MappingProxyType({"a": 1})) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("now | datetime('%H:%M')", "12:30"),
        ("now | datetime('%H:%M', 'Europe/London')", "13:30"),
        ("now | datetime(timezone='Asia/Tokyo')", "2026-07-01T21:30:00+09:00"),
        ("0 | datetime", "1970-01-01T00:00:00+00:00"),
        ("'2026-07-01T12:30:00+02:00' | datetime(timezone='UTC')", "2026-07-01T10:30:00+00:00"),
        ("'2026-07-01' | datetime('%d.%m.%Y')", "01.07.2026"),
        ("'2026-07-01T12:30' | datetime", "2026-07-01T12:30:00+00:00"),
    ],
)
def test_datetime_takes_moments_seconds_and_text(render, expression, result):
    assert render(f"{{{{ {expression} }}}}", now=NOW) == result


@pytest.fixture
def in_new_york(monkeypatch):
    """Let the system's zone be that of New York."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("'2026-07-01T00:00:00Z' | datetime('%s')", "1782864000"),
        ("'2026-07-01T02:00:00+02:00' | datetime('at %s, %%s', 'Asia/Tokyo')", "at 1782864000, %s"),
        ("1782864000.75 | datetime('%-s')", "1782864000"),
        ("now.strftime('%s')", "1782909000"),
        ("now.strftime('%%%s')", "%1782909000"),
    ],
)
def test_seconds_since_1970_are_the_same_in_every_zone(render, expression, result):
    assert render(f"{{{{ {expression} }}}}", now=NOW) == result


@pytest.mark.parametrize("part", ["date", "time"])
def test_what_has_no_zone_has_no_seconds_since_1970(compiled, part):
    with pytest.raises(TemplateFailedError, match="%s is of a date and time with a zone"):
        compiled(f"{{{{ now.{part}().strftime('%s') }}}}").render({"now": NOW})


@pytest.mark.parametrize("value", ["soon", "9" * 200, True, None, [], 1e300, date(2026, 7, 1)])
def test_datetime_takes_nothing_else(compiled, value):
    with pytest.raises(TemplateFailedError, match="datetime takes a date and time, ISO 8601 text or Unix seconds"):
        compiled("{{ message | datetime }}").render({"message": value})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 5 | sort }}", "sort takes a list, not the number 5"),
        ("{{ none | map('upper') }}", "map takes a list, not nothing"),
        ("{{ [1] | items }}", "items takes a mapping, not a list"),
        ("{{ 'x' | dictsort }}", 'dictsort takes a mapping, not the text "x"'),
        ("{{ 'x' | truncate(1, 2, 3, 4, 5, 6) }}", "truncate() takes from"),
        ("{{ now | datetime('%H', message) }}", 'no time zone the text "Nowhere"'),
    ],
)
def test_what_a_filter_does_not_take_is_told(compiled, template, text):
    with pytest.raises(TemplateFailedError) as failed:
        compiled(template).render({"now": NOW, "message": "Nowhere"})
    assert failed.value.kind is FailureKind.VALUE
    assert failed.value.text.startswith(text)


def test_undefined_values_do_not_pass_through_filters(compiled, compiler):
    for name in sorted({*compiler.filters} - {"d", "default"}):
        arguments = {"map": "('upper')", "groupby": "('a')", "replace": "('a', 'b')"}.get(name, "")
        if name.endswith("attr"):
            arguments = "('a')"
        with pytest.raises(TemplateFailedError) as failed:
            compiled(f"{{{{ data.x | {name}{arguments} }}}}").render({"data": {}})
        assert failed.value.kind is FailureKind.UNDEFINED, name


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1234.5 | number(2, '.', ',')", "1.234,50"),
        ("1234.5 | number(1, '')", "1234.5"),
        ("-1234 | number", "-1,234"),
        ("0.5 | number(places=3)", "0.500"),
        ("0.5 | number", "1"),
        ("-1234.5 | number", "-1,235"),
        ("2.675 | number(2)", "2.68"),
        ("-0.001 | number(2)", "0.00"),
        ("9007199254740993 | number", "9,007,199,254,740,993"),
        ("18446744073709551615 | number(1)", "18,446,744,073,709,551,615.0"),
        ("1e21 | number", "1,000,000,000,000,000,000,000"),
        ("'2026-07-01T00:00:00.25Z' | timestamp", 1782864000.25),
        ("'2026-07-01T02:00:00+02:00' | timestamp", 1782864000),
        ("12.5 | timestamp", 12.5),
        ("'abc' | hash('key')", "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab"),
        ("{'a': 1} | hash == '{\"a\":1}' | hash", True),
        ("'[1, \"{{ x }}\"]' | from_json", [1, "{{ x }}"]),
        ("'null' | from_json", None),
    ],
)
def test_numbers_moments_digests_and_json(render, expression, result):
    assert render(f"{{{{ {expression} }}}}", now=NOW) == result


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ '1' | number }}", 'number takes a number, not the text "1"'),
        ("{{ 1 | number(99) }}", "number takes up to 15 places, not the number 99"),
        ("{{ 1 | number(1, 'x' * 50) }}", "what parts the thousands has at most 10 characters"),
        ("{{ 'soon' | timestamp }}", "timestamp takes a date and time, ISO 8601 text or Unix seconds, not"),
        ("{{ 'a' | hash('') }}", "the key of hash must not be empty"),
        ("{{ '[1,' | from_json }}", "from_json takes a text of JSON: "),
        ("{{ ('[' * 200000 ~ ']' * 200000) | from_json }}", "from_json"),
    ],
)
def test_what_filters_of_numbers_moments_digests_and_json_do_not_take_is_told(compiled, template, text):
    with pytest.raises(TemplateFailedError) as failed:
        compiled(template).render({})
    assert failed.value.text.startswith(text)


def test_each_uuid_is_another(render):
    made = render("{{ [uuid(), uuid()] }}")
    assert made[0] != made[1]
    assert all(UUID(each).version == 4 for each in made)
