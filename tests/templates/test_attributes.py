"""A template sees data: the keys of mappings, whatever they are called, and never a method that it was not given."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import pytest

from signalpost.templates.value import FailureKind, TemplateFailedError

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


class Pair(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Client:
    id: str
    _secret: str = "secret"

    @property
    def name(self):
        return self.id.upper()

    def close(self):
        raise AssertionError("called")


class Kept(Mapping):
    """A mapping that is no dict, as the state of a server is."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, key):
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


@pytest.mark.parametrize("wrap", [dict, Kept])
@pytest.mark.parametrize("key", ["items", "keys", "values", "get", "pop", "update", "copy", "_id", "__class__", "a b"])
def test_keys_of_a_mapping_are_what_the_client_sent(render, wrap, key):
    assert render(f"{{{{ data['{key}'] }}}}", data=wrap({key: 5})) == 5
    if key.isidentifier():
        assert render(f"{{{{ data.{key} }}}}", data=wrap({key: 5})) == 5
        assert render(f"{{{{ data.{key} is defined }}}}", data=wrap({})) is False


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("data.list[0]", 1),
        ("data.list[-1]", 3),
        ("data.list.1", 2),
        ("data.list[1:]", [2, 3]),
        ("data.text[6:]", "bob smith"),
        ("data.text[::-1][:3]", "hti"),
        ("data.text.split(' ')[1]", "bob"),
        ("data.text.startswith('/nick ')", True),
        ("data.text.removeprefix('/nick ').title()", "Bob Smith"),
        ("data.colour", "red"),
        ("data.colour.upper()", "RED"),
        ("data.pair.x", 1),
        ("data.pair[1]", 2),
        ("client.id", "c1"),
        ("client['id']", "c1"),
        ("client.name", "C1"),
        ("now.hour", 12),
        ("now.strftime('%H:%M')", "12:30"),
        ("now.date()", "2026-11-24"),
        ("now.date().year", 2026),
        ("now.time().minute", 30),
        ("now.timestamp() | int", 1795523400),
    ],
)
def test_values_show_what_is_written_down(render, expression, result):
    data = {"list": [1, 2, 3], "text": "/nick bob smith", "colour": Colour.RED, "pair": Pair(1, 2)}
    assert render(f"{{{{ {expression} }}}}", data=data, client=Client("c1"), now=NOW) == result


def test_a_dataclass_as_a_whole_is_what_it_shows(render):
    assert render("{{ client }}", client=Client("c1")) == {"id": "c1", "name": "C1"}
    assert render("{{ client | json }}", client=Client("c1")) == '{"id":"c1","name":"C1"}'


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("data.x", FailureKind.UNDEFINED, 'no key named "x" (known: list, text)'),
        ("data.get('x')", FailureKind.UNDEFINED, 'no key named "get" (known: list, text); a mapping shows no methods'),
        ("data[data.list]", FailureKind.UNDEFINED, "no key that is a list"),
        ("data.list.append(5)", FailureKind.UNDEFINED, 'a list has no "append"'),
        ("data.list[3]", FailureKind.UNDEFINED, "no item 3: the list has 1"),
        ("data.list[data]", FailureKind.UNDEFINED, "no item a mapping: the list has 1"),
        ("data.text[9]", FailureKind.UNDEFINED, "no item 9: the text has 2"),
        ("data.text.lenght", FailureKind.UNDEFINED, 'the text "hi" has no "lenght" (known: '),
        ("data.text.format(1)", FailureKind.FORBIDDEN, '"format" of a text is not for templates; most methods'),
        ("(5).real", FailureKind.UNDEFINED, 'the number 5 has no "real"'),
        ("(5)[0]", FailureKind.UNDEFINED, "the number 5 has no items"),
        ("none.x", FailureKind.UNDEFINED, 'nothing has no "x"'),
        ("client.close()", FailureKind.UNDEFINED, 'a Client has no "close" (known: id, name)'),
        ("client._secret", FailureKind.FORBIDDEN, '"_secret" is Python\'s own'),
        ("client[0]", FailureKind.UNDEFINED, "a Client has no items"),
        ("now.replace(year=1)", FailureKind.UNDEFINED, 'a datetime has no "replace" (known: date, day, '),
        ("now.date().hour", FailureKind.UNDEFINED, 'a date has no "hour" (known: day, isoformat, '),
        ("data.text()", FailureKind.FORBIDDEN, 'the text "hi" cannot be called'),
        ("data.x()", FailureKind.UNDEFINED, 'no key named "x" (known: list, text)'),
    ],
)
def test_what_is_not_shown_is_told(compiled, expression, kind, text):
    scope = {"data": {"list": [1], "text": "hi"}, "client": Client("c1"), "now": NOW}
    with pytest.raises(TemplateFailedError) as failed:
        compiled(f"{{{{ {expression} }}}}").render(scope)
    assert failed.value.kind is kind
    assert failed.value.text.startswith(text)


def test_a_loop_shows_what_jinja_says(render):
    template = "{% for x in data %}{{ loop.index }}/{{ loop.length }}{{ loop.cycle('a', 'b') }}{% endfor %}"
    assert render(template, data=[5, 6, 7]) == "1/3a2/3b3/3a"
    template = "{% for x in data if x > 5 %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}"
    assert render(template, data=[5, 6, 7]) == "1/2,2/2"
    template = "{% for x in data %}{{ x if loop.changed(x) else '-' }}{% endfor %}"
    assert render(template, data="aab") == "a-b"
    template = "{% for x in data recursive %}({{ loop(x) }}){% endfor %}"
    assert render(template, data=[[], [[]]]) == "()(())"


def test_a_failing_loop_names_what_it_was_given(compiled):
    with pytest.raises(TemplateFailedError, match="a loop goes through a list or mapping, not through the number 5"):
        compiled("{% for x in message %}{% endfor %}").render({"message": 5})
