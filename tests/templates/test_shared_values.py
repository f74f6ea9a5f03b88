"""Lists and mappings that stand in a value many times: they are weighed as what is sent, before anything goes through
them.
"""

import gc
from contextlib import suppress

import pytest

from signalpost.state.frozen import freeze
from signalpost.templates.scope import Scope
from signalpost.templates.value import FailureKind, TemplateFailedError

DOUBLES = "{% set a = [0] %}" + "{% set a = [a, a] %}" * 40
GROWN = {
    "list times number": "{{ [[0] * data.w] * data.h }}",
    "message times number": "{{ [message] * data.n }}",
    "mapping times number": "{{ [{'a': message}] * data.n }}",
    "state times number": "{{ [state.big] * data.n }}",
    "text in lists": "{{ [[data.text] * 6000] * 6000 }}",
    "doubled lists": DOUBLES + "{{ a }}",
    "doubled tuples": "{% set a = (0, 1) %}" + "{% set a = (a, a) %}" * 40 + "{{ a }}",
    "doubled mappings": "{% set a = {} %}" + "{% set a = {'a': a, 'b': a} %}" * 40 + "{{ a }}",
    "doubled by +": "{% set a = [message] %}" + "{% set a = a + [a] %}" * 40 + "{{ a }}",
    "compared": DOUBLES + "{{ a == a }}",
    "compared with its like": DOUBLES + "{% set b = [0] %}" + "{% set b = [b, b] %}" * 40 + "{{ a == b }}",
    "looked for": DOUBLES + "{{ a in [a] }}",
    "as a key": "{% set a = (0, 1) %}" + "{% set a = (a, a) %}" * 40 + "{{ {a: 1} }}",
    "inside a text": "x {{ [[0] * 6000] * 6000 }}",
    "as JSON": "{{ ([[0] * 6000] * 6000) | json }}",
    "joined": "{{ ([[0] * 6000] * 6000) | join }}",
    "sorted": "{{ ([[0] * 6000] * 6000) | sort }}",
    "as items": "{{ [data | items] * 60000 }}",
    "grouped": "{{ [([{'a': 1}] * 600) | groupby('a')] * 60000 }}",
    "mapped": "{{ ([message] * 60) | map('list') | list }}{{ [message] * 60000 }}",
    "arguments of a macro": "{% macro m(n) %}{{ m(n - 1, varargs, varargs) if n else varargs == 1 }}{% endmacro %}"
    "{{ m(30, 1) }}",
    "named arguments of a macro": "{% macro m(n) %}{{ m(n - 1, a=kwargs, b=kwargs) if n else kwargs }}{% endmacro %}"
    "{{ m(30, a=1) }}",
    "urlencoded": "{{ {'a': [[0] * 60000] * 10} | urlencode }}",
}


@pytest.fixture
def scope():
    return {
        "message": ["x" * 1000] * 900,
        "data": {"w": 6000, "h": 6000, "n": 60_000, "text": "x" * 1000},
        "state": {"big": freeze({f"key{n}": {"n": n, "text": "some text"} for n in range(20_000)})},
    }


@pytest.mark.slow
@pytest.mark.parametrize("template", GROWN.values(), ids=GROWN)
def test_a_value_that_is_short_in_memory_and_long_when_it_is_sent_is_refused(compiled, scope, template):
    with pytest.raises(TemplateFailedError) as failed:
        compiled(template).render(scope)
    assert failed.value.kind is FailureKind.SIZE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ [[0] * 1000] * 1023 }}", None),
        ("{{ [[0] * 1000] * 1048 }}", "it makes a value of more than 16,777,216 characters, all that stands in it"),
        ("{{ [message] * 18 }}", None),
        ("{{ [message] * 19 }}", "it makes a value of more than 16,777,216 characters, all that stands in it"),
    ],
)
def test_a_value_may_hold_so_much_and_no_more(compiled, scope, template, text):
    value = compiled(template)
    if text is None:
        value.render(scope)
    else:
        with pytest.raises(TemplateFailedError, match=text):
            value.render(scope)


@pytest.mark.parametrize("template", ["{{ state.big }}", "{{ state.big if true }}", "{{ state['big'] }}"])
def test_what_the_state_holds_is_passed_on_as_it_is(compiled, scope, template):
    assert compiled(template).render(scope) is scope["state"]["big"]


def test_a_list_around_what_the_state_holds_has_the_very_same_in_it(compiled, scope):
    assert compiled("{{ [state.big, 1] }}").render(scope)[0] is scope["state"]["big"]


def test_what_the_state_holds_is_written_into_a_text_as_json(compiled):
    scope = {"state": {"small": freeze({"a": [1, {"b": None}]})}}
    assert compiled("x {{ state.small }} {{ [state.small] }}").render(scope) == (
        'x {"a":[1,{"b":null}]} [{"a":[1,{"b":null}]}]'
    )


SERVED = """
signals:
  - {path: /times, do: [{reply: {value: "{{ [[0] * data.w] * data.h }}"}}]}
  - {path: /message, do: [{broadcast: {value: "{{ [message] * data.n }}"}}]}
  - {path: /log, do: [{log: "{{ [message] * data.n }}"}]}
  - {path: /set, do: [{set: {k: "{{ [message] * data.n }}"}}]}
  - {path: /grow, do: [{set: {k: ["{{ state.k | default(message) }}", "{{ state.k | default(message) }}"]}}]}
  - {path: /others}
"""
PLUGIN = """
from signalpost import signal

@signal("many")
async def many(event):
    event.broadcast([event.data.message] * 60_000)
"""


@pytest.mark.parametrize("path", ["/times", "/message", "/log", "/set", "/plugin"])
async def test_a_step_that_sends_too_much_fails_and_nobody_else_notices(live, failures, path):
    async with (
        live(SERVED + "  - {path: /plugin, handler: many}\n", plugins={"many": PLUGIN}) as app,
        app.connect(path) as greedy,
        app.connect("/others") as other,
    ):
        await greedy.send("x" * 900_000, w=6000, h=6000, n=60_000)
        assert (await greedy.receive_json())["error"]["code"] == "handler-failed"
        await other.send("hello")
        assert await other.receive() == "hello"
        assert len(failures()) == 1


async def test_a_state_that_doubles_itself_is_full_in_the_end(live, failures):
    async with live("state: {share: 0}" + SERVED) as app, app.connect("/grow") as greedy:
        for _ in range(40):
            await greedy.send("x" * 100)
        for _ in range(40 - 17):
            assert (await greedy.receive_json())["error"]["code"] == "handler-failed"
        assert app.server.node.state.weight <= app.server.node.state.limit
    assert "state holds 16MiB at most" in failures()[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        *GROWN.values(),
        "{{ message | list }}",
        "{{ [[0] * 100] * 100 }}",
        "{{ [message] | json }}",
        "{{ [nothing] | json }}",
        "{{ data.nothing }}",
        "x {{ [data.nothing] }}",
        "{{ [data.nothing] | join }}",
        "{{ {'a': data.w.b} | json }}",
        "{{ data.w / 0 }}",
    ],
)
def test_nothing_of_a_rendering_waits_for_the_collector(compiled, scope, template):
    """Else what a client has it weigh is held long after it is done."""
    value = compiled(template)
    gc.collect()
    gc.disable()
    try:
        with suppress(TemplateFailedError):
            value.render(scope)
        left = [each for each in gc.get_objects() if isinstance(each, Scope)]
        assert left == [] or "macro" in template  # which may call itself, and keeps itself then
        assert not any(each.vars or each.parent or each._weights for each in left)
    finally:
        gc.enable()
