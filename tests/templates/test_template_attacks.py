"""What was tried against templates, and how each attempt ends: within milliseconds, with words.

Those that write templates are trusted more than those that send messages; but a template handles what strangers send,
and one that someone has pasted must not take the server with it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from signalpost.templates.compiler import Compiler
from signalpost.templates.scope import Limits
from signalpost.templates.value import FailureKind, TemplateFailedError


@dataclass
class Weather:
    """What a plugin might keep in `state`."""

    degrees: int = 7
    _key: str = "secret"
    secrets: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        raise AssertionError("a template has called a method")


class Lock:
    """Likewise, but no dataclass."""

    holder = "someone"

    def acquire(self) -> None:
        raise AssertionError("a template has called a method")


@pytest.fixture
def scope():
    return {
        "message": "hi",
        "data": {"message": "hi", "text": "x" * 1000, "list": ["x" * 100] * 2000, "pairs": [[1, 2]] * 1000},
        "client": {"id": "c1", "path": "/", "groups": frozenset({"a"})},
        "now": datetime(2026, 11, 24, 12, tzinfo=UTC),
        "by": "a," * 100_000,
        "chars": "a" * 1000,
        "state": {"count": 1, "list": [1, 2], "weather": Weather(), "lock": Lock(), "type": Weather},
    }


PYTHON = {
    "class": "{{ message.__class__ }}",
    "class by subscript": '{{ message["__class__"] }}',
    "class of a number": "{{ (5).__class__ }}",
    "class of nothing": "{{ none.__class__ }}",
    "class of a list": "{{ state.list.__class__ }}",
    "class of an object": "{{ state.weather.__class__ }}",
    "class by map": '{{ [message] | map(attribute="__class__") | list }}',
    "class by sort": '{{ [message, message] | sort(attribute="__class__") }}',
    "class by groupby": '{{ [message] | groupby("__class__.__name__") }}',
    "class by selectattr": '{{ [message] | selectattr("__class__") | list }}',
    "class by join": '{{ [message] | join("", attribute="__class__") }}',
    "class by sum": '{{ [message] | sum(attribute="__class__") }}',
    "subclasses": '{{ "".__class__.__mro__[1].__subclasses__() }}',
    "format": '{{ "{0.__class__}".format(message) }}',
    "format_map": '{{ "{a.__class__}".format_map({"a": message}) }}',
    "format by map": '{{ ["{0.__class__}"] | map(attribute="format") | first }}',
    "encode": "{{ message.encode() }}",
    "translate": '{{ message.translate({104: "x"}) }}',
    "join": '{{ message.join(["a", "b"]) }}',
    "private field": "{{ state.weather._key }}",
    "globals of a function": "{{ range.__globals__ }}",
    "globals of a macro": "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "function of a macro": "{% macro m() %}{% endmacro %}{{ m._func }}",
    "loop's own": "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
    "loop's class": "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
    "method's own": "{{ message.upper.__self__ }}",
    "called mapping": "{{ data() }}",
    "called text": "{{ message() }}",
    "called class": "{{ state.type() }}",
}


@pytest.mark.parametrize("template", PYTHON.values(), ids=PYTHON)
def test_no_way_leads_to_python(compiled, scope, template):
    assert failure(compiled, template, scope) is FailureKind.FORBIDDEN


METHODS = {
    "mapping.update": '{{ state.update({"count": 2}) }}',
    "mapping.pop": '{{ state.pop("count") }}',
    "mapping.clear": "{{ state.clear() }}",
    "mapping.get": '{{ data.get("message") }}',
    "list.append": "{{ state.list.append(3) }}",
    "list.sort": "{{ state.list.sort() }}",
    "set.add": '{{ client.groups.add("b") }}',
    "object's method": "{{ state.weather.forget() }}",
    "object that is no dataclass": "{{ state.lock.holder }}",
    "its method": "{{ state.lock.acquire() }}",
    "date.replace": "{{ now.replace(year=1) }}",
    "date's class method": "{{ now.fromtimestamp(0) }}",
    "macro's fields": "{% macro m() %}{% endmacro %}{{ m.arguments }}",
}


@pytest.mark.parametrize("template", METHODS.values(), ids=METHODS)
def test_no_method_is_seen_and_nothing_changed(compiled, scope, template):
    assert failure(compiled, template, scope) is FailureKind.UNDEFINED
    assert scope["state"]["count"] == 1
    assert scope["state"]["list"] == [1, 2]


REFUSED = {
    "self": "{{ self }}",
    "self's own": "{{ self.__init__ }}",
    "cycler": "{{ cycler(1, 2) }}",
    "joiner": "{{ joiner() }}",
    "namespace": "{% set n = namespace(x=1) %}{% set n.x = 2 %}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "dict": "{{ dict(a=1) }}",
    "attribute of state": "{% set state.count = 2 %}",
    "attr": '{{ message | attr("__class__") }}',
    "attr by map": '{{ [message] | map("attr", "__class__") | list }}',
    "format": '{{ "%s" | format(message) }}',
    "safe": "{{ message | safe }}",
    "xmlattr": '{{ {"a": 1} | xmlattr }}',
    "pprint": "{{ data | pprint }}",
    "batch": '{{ [1] | batch(10**9, "x") | list }}',
    "slice": "{{ [1] | slice(10**9) | list }}",
    "indent": "{{ message | indent(10**9) }}",
    "wordwrap": "{{ message | wordwrap(1, wrapstring=data.text) }}",
    "callable": "{{ message is callable }}",
    "include": '{% include "/etc/passwd" %}',
    "import": '{% import "os" as os %}',
    "extends": '{% extends "x" %}',
    "block": "{% block x %}{% endblock %}",
    "autoescape": "{% autoescape true %}{% endautoescape %}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "nots": "{{ " + "not " * 5000 + "1 }}",
    "sums": "{{ " + "1 + " * 5000 + "1 }}",
    "blocks": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "loops": "{% for x in data %}" * 30 + "{% endfor %}" * 30,
    "digits": "{{ " + "9" * 100_000 + " }}",
    "half a character": '{{ "\\ud800" }}',
    "twice the same argument": "{% for x in data.list %}{{ range(1, _loop_vars=2) }}{% endfor %}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_what_can_be_known_is_refused_before_anything_runs(compiled, problems, template):
    compiled(template)
    assert problems
    assert all("\n" not in text for _, text in problems)


SIZE = {
    "text times number": "{{ 'a' * 10**9 }}",
    "number times text": "{{ 10**9 * 'a' }}",
    "list times number": "{{ [0] * 10**9 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "negative power": "{{ (-9) ** 9 ** 9 }}",
    "power by steps": "{{ 2 ** 32 * 2 ** 32 * 2 ** 32 }}",
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "longer range": "{{ range(2**63) }}",
    "centre": "{{ message | center(10**9) }}",
    "centre by map": "{{ data.list | map('center', 10**6) | list }}",
    "replace": "{{ (message * 10000) | replace('h', data.text) }}",
    "replace nothing": "{{ (data.text * 1000) | replace('', data.text) }}",
    "doubling by ~": "{% set a = data.text %}" + "{% set a = a ~ a %}" * 40,
    "doubling by +": "{% set a = data.text %}" + "{% set a = a + a %}" * 40,
    "doubling lists": "{% set a = data.list %}" + "{% set a = a + a %}" * 40,
    "doubling blocks": "{% set a = data.text %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "doubling macro": "{% macro d(s, n) %}{{ d(s ~ s, n - 1) if n else s }}{% endmacro %}{{ d(data.text, 30) }}",
    "many texts": "{% for i in range(60000) %}{% set a = data.text * 100 %}{% endfor %}",
    "much output": "{% for i in range(60000) %}{{ data.text }}{% endfor %}",
    "much output of a macro": "{% macro m() %}{{ data.text * 900 }}{% endmacro %}{{ m() }}{{ m() }}",
    "much output of a block": "{% set a %}{% for i in range(60000) %}{{ data.text }}{% endfor %}{% endset %}",
    "filter block": "{% filter upper %}{% for i in range(60000) %}{{ data.text }}{% endfor %}{% endfilter %}",
    "join": "{{ (data.list * 20) | join(data.text) }}",
    "list of a text": "{{ (data.text * 100) | list }}",
    "split": "{{ (' x' * 100000).split() }}",
    "escape": "{{ ('&' * 1000000) | escape }}",
    "urlencode": "{{ ('&' * 1000000) | urlencode }}",
    "json": "{{ [data.text * 900, data.text * 900] | json }}",
    "endless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "endless call": "{% macro m() %}{{ caller() if 0 }}{% call m() %}{% endcall %}{% endmacro %}"
    "{% call m() %}{% endcall %}",
    "macros in a ring": "{% macro a(f) %}{{ f(f) }}{% endmacro %}{{ a(a) }}",
    "endless recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "sorting by very much": "{{ data.list | sort(attribute=by) }}",
    "grouping by very much": "{{ data.list | groupby(by | replace(',', '.')) }}",
    "the largest of very much": "{{ data.list | max(attribute=by | replace(',', '.')) }}",
    "picking very deeply": "{{ data.list | selectattr(by | replace(',', '.'), 'defined') }}",
    "mapping to very much": "{{ data.list | map(attribute=by) }}",
    "adding up very much": "{{ data.list | sum(attribute=by) }}",
    "joining very much": "{{ data.list | join(attribute=by) }}",
    "long search": "{{ message.rfind(chars) }}",
    "long strip": "{{ message.strip(chars) }}",
    "long trim": "{{ message | trim(chars) }}",
    "digits of a text": "{{ ('9' * 99) | int }}",
    "digits of a float": "{{ 1e300 | int }}",
}


@pytest.mark.parametrize("template", SIZE.values(), ids=SIZE)
def test_nothing_grows_without_bound(compiled, scope, template):
    assert failure(compiled, template, scope, Compiler()) is FailureKind.SIZE


TIME = {
    "loops in loops": "{% for a in data.list %}{% for b in data.list %}{% for c in data.list %}{% endfor %}"
    "{% endfor %}{% endfor %}",
    "filtered loops": "{% for a in data.list %}{% for b in data.list if b %}{{ loop.length if not b }}{% endfor %}"
    "{% endfor %}",
    "loops that give nothing": "{% for a in data.list %}{% for b in data.list if false %}{% endfor %}{% endfor %}",
    "recursive loops": "{% for a in data.list recursive %}{{ loop(data.list) if loop.depth < 4 }}{% endfor %}",
    "calls": "{% for a in data.list %}{% for b in data.list %}{{ 'x' if b.startswith('y') }}{% endfor %}{% endfor %}",
    "quadratic filters": "{% for a in data.list %}{{ 'x' if data.list | select('in', data.list) | first == 1 }}"
    "{% endfor %}",
    "letters": "{% for a in data.list %}{% for b in data.text %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{% set a = m(n - 1) %}{% set a = m(n - 1) %}{% endif %}{% endmacro %}"
    "{{ m(30) }}",
}


@pytest.mark.parametrize("template", TIME.values(), ids=TIME)
def test_nothing_runs_for_ever(compiled, scope, template):
    short = Compiler(limits=Limits(seconds=0.01, made=1 << 40))
    assert failure(compiled, template, scope, short) is FailureKind.TIME


class Slow(dict):
    """A mapping that takes a millisecond of work to answer, as something in `state` might."""

    def __missing__(self, key):
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass
        return ""


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in data.pairs %}{{ slow.x }}{% endfor %}",
        "{% for a in data.pairs if true %}{{ slow.x }}{% endfor %}",
        "{% for a in data.pairs if true %}{{ loop.length if loop.first }}{{ slow.x }}{% endfor %}",
        "{% for a in [1] recursive %}{{ loop(data.pairs) if loop.depth == 1 else slow.x }}{% endfor %}",
        "{% macro m(n) %}{{ slow.x }}{{ m(n - 1) if n }}{% endmacro %}{{ m(30) }}",
    ],
)
def test_the_clock_is_looked_at_in_each_iteration_and_call(compiled, scope, template):
    short = Compiler(limits=Limits(seconds=0.005))
    assert failure(compiled, template, {**scope, "slow": Slow()}, short) is FailureKind.TIME


def test_time_in_which_the_server_did_something_else_does_not_count(compiled, scope):
    class Asleep(dict):
        def __missing__(self, key):
            time.sleep(0.03)
            return ""

    template = "{% for a in range(3) %}{{ asleep.x }}{% endfor %}"
    compiler = Compiler(limits=Limits(seconds=0.02))
    assert compiled(template, {"asleep"}, compiler).render({"asleep": Asleep()}) == ""


def test_macros_may_call_each_other_so_deep_and_no_deeper(compiled):
    template = "{% macro m(n) %}{{ m(n - 1) if n > 1 else 'x' }}{% endmacro %}{{ m(message) }}"
    value = compiled(template)
    assert value.render({"message": 32}) == "x"
    with pytest.raises(TemplateFailedError, match="macros and loops call each other more than 32 deep"):
        value.render({"message": 33})
    assert compiled("{% macro m() %}x{% endmacro %}" + "{{ m() }}" * 40).render({}) == "x" * 40


@pytest.mark.parametrize("template", ["{{ [message] }}", "{{ message == message2 }}"])
def test_values_may_be_nested_only_so_deep(compiled, template):
    message, message2 = [], []
    for _ in range(5000):
        message, message2 = [message], [message2]
    scope = {"message": message, "message2": message2}
    with pytest.raises(TemplateFailedError, match="it is nested too deeply") as failed:
        compiled(template, scope.keys()).render(scope)
    assert failed.value.kind is FailureKind.SIZE


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ range(65536) | length }}", None),
        ("{{ range(65537) | length }}", "it makes a list of more than 65,536 items"),
        ("{{ ('a' * 2 ** 20) | length }}", None),
        ("{{ ('a' * (2 ** 20 + 1)) | length }}", "it makes a text of more than 1,048,576 characters"),
        ("{% for i in range(15) %}{% set a = 'a' * 2 ** 20 %}{% endfor %}", None),
        ("{% for i in range(16) %}{% set a = 'a' * 2 ** 20 %}{% endfor %}", "it makes more than 16,777,216 characters"),
    ],
)
def test_limits_hold_to_the_last_character(compiled, template, text):
    value = compiled(template)
    if text is None:
        value.render({})
    else:
        with pytest.raises(TemplateFailedError, match=text):
            value.render({})


VALUES = {
    "format by %": '{{ "%s" % message }}',
    "width by %": '{{ "%1000000000d" % 5 }}',
    "infinite": "{{ 1e308 * 10 }}",
    "complex": "{{ (-8) ** 0.5 }}",
    "division by zero": "{{ 1 // 0 }}",
    "precision": "{{ 1.5 | round(10**9, 'ceil') }}",
    "format of a time": "{{ now.strftime('%Y' * 1000) }}",
    "path as time zone": "{{ now | datetime('%H', '../../etc/' ~ 'passwd') }}",
    "unhashable key": "{{ {data.list: 1} }}",
    "unhashable key, written out": "{{ {[]: 1} }}",
    "unhashable key, deep inside": "{{ message[{[]: 1}] }}",
    "unhashable key, inside a text": "x {{ {[]: 1} }}",
    "slice of a mapping": "{{ data[1:] }}",
    "slice of a number": "{{ (5)[1:] }}",
    "slice without end": "{{ message[::0] }}",
    "method as value": "{{ message.upper }}",
    "function as value": "{{ range }}",
    "object as value": "{{ state.lock }}",
    "object inside a text": "x {{ state.lock }}",
    "loop over a number": "{% for x in 5 %}{% endfor %}",
    "wrong arguments": "{{ message | truncate(1, 2, 3, 4, 5, 6) }}",
}


@pytest.mark.parametrize("template", VALUES.values(), ids=VALUES)
def test_what_does_not_fit_is_told(compiled, scope, template):
    assert failure(compiled, template, scope) is FailureKind.VALUE


def test_of_very_many_keys_that_a_client_sends_a_failure_looks_at_few(compiled):
    seen = []

    class Keys(dict):
        def __iter__(self):
            return (seen.append(key) or key for key in super().__iter__())

    with pytest.raises(TemplateFailedError) as failed:
        compiled("{{ data.mesage }}").render({"data": Keys.fromkeys(f"message{n}" for n in range(1000))})
    assert len(seen) <= 50
    assert len(failed.value.text) < 500


def test_a_text_that_grows_too_long_is_not_made_first(compiled):
    made = []

    class Large(Mapping):
        def __getitem__(self, key):
            made.append(key)
            return "y" * 400_000

        def __iter__(self):
            yield "x"

        def __len__(self):
            return 1

    value = compiled("{{ (data.list * 30) | join }}")
    with pytest.raises(TemplateFailedError, match="more than 1,048,576 characters"):
        value.render({"data": {"list": [Large()]}})
    assert 1 <= len(made) <= 4  # once to weigh it


def test_a_failure_after_a_failure_begins_anew(compiled, scope):
    value = compiled("{% for i in range(60000) %}{{ data.text }}{% endfor %}")
    for _ in range(3):
        with pytest.raises(TemplateFailedError):
            value.render(scope)
    assert value.render(scope | {"data": {"text": ""}}) == ""


def failure(compiled, template, scope, *compiler):
    """Render a template, and return the kind of its failure, which is one line at its place."""
    with pytest.raises(TemplateFailedError, match=r"^routes\.yaml:\d:2: [^\n]+$") as failed:
        compiled(template, *([scope.keys(), *compiler] if compiler else [])).render(scope)
    return failed.value.kind
