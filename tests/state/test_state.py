"""The state: JSON that is changed a value at a time, counted, and never in place."""

import asyncio
import contextlib
import copy
import json
import math
import random
import threading
from enum import StrEnum

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from signalpost.errors import StateFullError
from signalpost.state.frozen import MAX_DEPTH
from signalpost.state.state import State
from signalpost.templates.compiler import Compiler

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=3)


class Recorded:
    """What a recorder has been told: how a file would stand."""

    def __init__(self):
        self.entries = {}

    def note(self, key, value):
        self.entries[key] = value

    def forget(self, key):
        del self.entries[key]


@given(VALUES)
def test_every_json_value_comes_back_equal_and_goes_out_as_the_same_json(value):
    state = State()
    state["x"] = value
    assert state["x"] == value
    assert orjson.dumps(state["x"]) == orjson.dumps(value)


@given(VALUES)
def test_what_is_read_is_made_plain_by_a_deep_copy(value):
    state = State({"x": [value]})
    plain = copy.deepcopy(state["x"])
    plain.append(1)
    assert plain == [value, 1]
    assert state["x"] == [value]


@pytest.mark.slow
@given(st.lists(st.tuples(PATHS, VALUES | st.just(...))))
def test_the_weight_is_that_of_a_state_made_at_once_and_a_recorder_has_the_same_entries(changes):
    recorded = Recorded()
    state = State(recorder=recorded)
    for path, value in changes:
        if value is ...:
            state.discard(path)
            continue
        try:
            state.put(path, value)
        except TypeError:
            assert len(path) > 1, "what stands on the way may be no mapping"
    assert state.weight == State(dict(state)).weight
    assert recorded.entries == dict(state)


@given(st.lists(st.tuples(PATHS, st.integers() | st.just(...)), max_size=12))
def test_paths_put_and_discard_as_they_would_in_plain_mappings(changes):
    state, model = State(), {}
    for path, value in changes:
        *way, last = path
        inner = model
        for name in way:
            if value is not ...:
                inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
            else:
                inner = inner.get(name) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            if value is not ...:
                return  # a number stands on the way: refused, and the model would have to undo what it made
            state.discard(path)
        elif value is ...:
            state.discard(path)
            inner.pop(last, None)
        elif -(2**63) <= value < 2**64:
            state.put(path, value)
            inner[last] = value
        else:
            return
    assert dict(state) == model


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["names"].append("c"),
        lambda state: state["names"].extend(["c"]),
        lambda state: state["names"].sort(),
        lambda state: state["names"].__setitem__(0, "c"),
        lambda state: state["names"].__delitem__(0),
        lambda state: state["votes"].update(tea=2),
        lambda state: state["votes"].__setitem__("tea", 2),
        lambda state: state["votes"].pop("tea"),
        lambda state: state["votes"].setdefault("cake", 2),
        lambda state: state["deep"]["list"][0].clear(),
    ],
)
def test_nothing_is_changed_in_place_and_the_refusal_says_how_it_is_changed(change):
    entries = {"names": ["a", "b"], "votes": {"tea": 1}, "deep": {"list": [{"x": 1}]}}
    state = State(entries)
    with pytest.raises(TypeError, match=r'is not changed in place.*state\.change\("names"'):
        change(state)
    assert state == entries


def test_adding_in_the_way_of_python_makes_a_new_value():
    state = State({"names": ["a"], "votes": {"tea": 1}})
    before = state["names"], state["votes"]
    state["names"] += ["b"]
    state["names"] *= 2
    state["votes"] |= {"cake": 2}
    assert state == {"names": ["a", "b", "a", "b"], "votes": {"tea": 1, "cake": 2}}
    assert before == (["a"], {"tea": 1})


def test_what_was_put_in_may_be_changed_afterwards_without_changing_the_state():
    names = ["a"]
    state = State()
    state["names"] = names
    names.append("b")
    assert state["names"] == ["a"]
    assert state.setdefault("more", names) == ["a", "b"]
    names.append("c")
    assert state["more"] == ["a", "b"]


class Colour(StrEnum):
    RED = "red"


def test_texts_and_tuples_of_classes_of_their_own_become_plain():
    state = State({"colour": Colour.RED, "html": Markup("<b>"), "pair": (1, 2)})
    assert [type(state["colour"]), type(state["html"])] == [str, str]
    assert state["pair"] == [1, 2]


def endless():
    value = []
    value.append(value)
    return value


def deep(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({1}, TypeError, "a value of type set is not JSON"),
        ([object()], TypeError, "a value of type object is not JSON"),
        ({1: "a"}, TypeError, "a mapping whose key 1 is not text"),
        (math.nan, ValueError, "nan is no number that JSON knows"),
        (2**64, ValueError, "does not fit into 64 bits"),
        ("\ud800", ValueError, "half a character"),
        ({"\ud800": 1}, ValueError, "half a character"),
        (endless(), ValueError, f"more than {MAX_DEPTH} lists"),
        (deep(MAX_DEPTH + 1), ValueError, f"more than {MAX_DEPTH} lists"),
    ],
)
def test_what_is_not_json_is_refused_with_its_key_and_leaves_all_as_it_was(value, error, text):
    state = State({"x": 1})
    with pytest.raises(error, match=text) as caught:
        state["x"] = value
    assert str(caught.value).startswith('state["x"]: ')
    assert state == {"x": 1}


def test_the_levels_are_counted_through_what_is_in_the_state_already():
    state = State({"x": deep(MAX_DEPTH), "y": {"z": 1}})
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} lists"):
        state["x"] = [state["x"]]
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} lists"):
        state.put(("y", "z"), state["x"])


def test_a_key_is_text():
    state = State()
    with pytest.raises(TypeError, match="a key of state is text, not 7"):
        state[7] = 1
    assert (state.get(7), 7 in state) == (None, False)
    with pytest.raises(KeyError):
        del state[7]


@pytest.mark.parametrize("path", ["votes", (), ("votes", 7), (None,)])
def test_a_path_is_a_list_of_text(path):
    state = State()
    for change in (lambda: state.put(path, 1), lambda: state.discard(path)):
        with pytest.raises(TypeError, match="a path into state is a list of keys"):
            change()
    assert state == {}


def test_keys_that_start_with_an_underscore_hold_any_object_as_it_is_and_are_nobody_else_s_business():
    recorded = Recorded()
    state = State(limit=100, recorder=recorded)
    state["_boards"] = boards = [object() for _ in range(1000)]
    assert state["_boards"] is boards
    assert dict(state) == {"_boards": boards}
    assert (state.weight, recorded.entries, dict(state.view)) == (0, {}, {})
    del state["_boards"]
    assert "_boards" not in state
    assert len(state) == 0


def test_a_change_is_given_the_value_or_the_default_and_gives_the_new_one():
    state = State()
    assert state.change("names", lambda names: [*names, "a"], []) == ["a"]
    given = state.change("names", lambda names: [*names, "b"], [])
    assert given == ["a", "b"]
    with pytest.raises(TypeError, match="is not changed in place"):
        given.append("c")


def test_a_change_that_is_async_is_refused():
    async def later(value):
        return value

    state = State({"x": 1})
    with pytest.raises(TypeError, match="takes a plain def"):
        state.change("x", later)
    assert state == {"x": 1}


def test_a_change_that_fails_changes_nothing():
    state = State({"x": 1})
    with pytest.raises(ZeroDivisionError):
        state.change("x", lambda value: value / 0)
    assert state == {"x": 1}


def test_numbers_are_incremented_from_nothing_by_one_or_by_any_number():
    state = State()
    assert [state.increment("n"), state.increment("n", 4), state.increment("n", -0.5)] == [1, 5, 4.5]
    for key, by in (("text", 1), ("n", "1"), ("n", True)):
        state["text"] = "1"
        with pytest.raises(TypeError, match="only numbers are added"):
            state.increment(key, by)
    assert state["n"] == 4.5


def test_no_path_leads_through_what_is_no_mapping():
    state = State({"votes": {"tea": 3}})
    with pytest.raises(TypeError, match=r'state\["votes.tea"\] is no mapping, so nothing can be put at "ada" in it'):
        state.put(("votes", "tea", "ada"), 1)
    state.discard(("votes", "tea", "ada"))
    assert state == {"votes": {"tea": 3}}


def test_a_reader_keeps_the_value_that_it_has_while_others_put_into_it():
    state = State({"names": {"1": "ada"}})
    seen = []
    for name in state["names"].values():
        state.put(("names", "2"), "bob")
        seen.append(name)
    assert seen == ["ada"]
    assert state["names"] == {"1": "ada", "2": "bob"}


def test_a_full_state_takes_nothing_more_but_lets_values_shrink_and_go():
    state = State(limit=60)
    state["a"] = "x" * 30
    with pytest.raises(StateFullError, match=r'state holds 60B at most, and the new value of "b" would make it \d+B'):
        state["b"] = "x" * 30
    with pytest.raises(StateFullError):
        state.put(("c", "d"), "x" * 30)
    assert state == {"a": "x" * 30}
    state["a"] = "x"
    state["b"] = "x" * 30
    del state["b"]
    state["c"] = "x" * 30
    assert list(state) == ["a", "c"]


def test_a_state_that_is_fuller_than_its_limit_from_the_start_may_only_shrink():
    state = State({"a": "x" * 100, "b": 1}, limit=60)
    state["a"] = "x" * 99
    with pytest.raises(StateFullError):
        state["a"] = "x" * 100


def test_the_weight_is_about_the_length_of_the_json():
    value = {"names": ["ada", "bob"] * 50, "votes": {f"choice {n}": n for n in range(100)}, "ü": "ü" * 100}
    length = len(json.dumps(value, ensure_ascii=False).encode())
    assert State(value).weight == pytest.approx(length, rel=0.5)


def test_threads_that_increment_at_once_lose_no_count():
    state = State()
    started = threading.Barrier(8)

    def count():
        started.wait()
        for _ in range(500):
            state.increment("n")
            state.change("list", lambda items: [(items[0] + 1)], [0])

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (state["n"], state["list"]) == (4000, [4000])


async def test_tasks_that_change_between_awaits_lose_no_count():
    state = State()

    async def count():
        for _ in range(10):
            await asyncio.sleep(0)
            state.increment("n")

    await asyncio.gather(*(count() for _ in range(100)))
    assert state["n"] == 1000


@pytest.mark.parametrize(
    "template",
    [
        "{{ state.clear() }}",
        "{{ state.increment('n') }}",
        "{{ state.put(['n'], 2) }}",
        "{{ state.votes.update(tea=2) }}",
        "{{ state['_own'] }}",
        "{% set _ = state.votes.__setitem__('tea', 2) %}",
    ],
)
def test_a_template_can_change_nothing_and_does_not_see_objects(template):
    state = State({"n": 1, "votes": {"tea": 1}})
    state["_own"] = "secret"
    rendered = ""
    with contextlib.suppress(TemplateError, TypeError):
        rendered = ImmutableSandboxedEnvironment().from_string(template).render(state=state.view)
    assert rendered == ""
    assert state.view == {"n": 1, "votes": {"tea": 1}}


def test_the_view_follows_the_state():
    state = State()
    view = state.view
    state["weight"] = {"weight": 7}
    assert ImmutableSandboxedEnvironment().from_string("{{ state.weight.weight }}").render(state=view) == "7"


def test_changes_in_a_row_copy_a_mapping_once_and_readers_of_single_entries_never():
    state = State({"votes": {"tea": 1, "more": {"milk": 2}}})
    first = state["votes"]
    state.put(("votes", "coffee"), 1)
    copy = state._values["votes"]
    assert copy is not first
    for n in range(100):
        state.put(("votes", f"k{n}"), n)
        state.put(("votes", "more", f"k{n}"), n)
        state.discard(("votes", f"k{n - 1}"))
        assert state._values["votes"] is copy
    assert first == {"tea": 1, "more": {"milk": 2}}
    assert state["votes"] is copy
    state.put(("votes", "cocoa"), 1)
    assert "cocoa" not in copy


@pytest.mark.parametrize(
    ("template", "copies"),
    [
        ("{{ state.votes[message] }}", 0),
        ("{{ (state.votes[message] | default(0)) + 1 }}", 0),
        ("{{ state['votes'].more.milk }}", 0),
        ("x {{ state.votes.tea }}", 0),
        ("{% for x in [1] %}{{ state.votes.tea }}{% endfor %}", 0),
        ("{{ state.votes }}", 1),
        ("{{ state.votes.more }}", 1),
        ("{{ [state.votes.more] }}", 1),
        ("{% set votes = state.votes %}{{ votes.tea }}", 1),
        ("{{ state }}", 1),
    ],
)
def test_a_template_that_takes_one_entry_out_of_a_mapping_does_not_have_it_copied(template, copies):
    compiler, state = Compiler(), State({"votes": {"tea": 1, "more": {"milk": 2}}})
    value = compiler.compile(template, (), {"state", "message"}, lambda *_, **__: None, lambda *_, **__: "here")
    state.put(("votes", "more", "cocoa"), 1)
    before, more = state._values["votes"], state._values["votes"]["more"]
    seen = value.render({"state": state.view, "message": "tea"})
    kept = copy.deepcopy(seen)
    state.put(("votes", "more", "coffee"), 1)
    assert (state._values["votes"] is not before) == bool(copies)
    assert (state._values["votes"]["more"] is not more) == bool(copies)
    assert seen == kept


def test_what_a_reader_was_given_at_any_moment_stays_as_it_was():
    rnd, state, read = random.Random(7), State(), []
    for n in range(3_000):
        path = [rnd.choice("ab") for _ in range(rnd.randrange(1, 5))]
        with contextlib.suppress(TypeError):
            if rnd.random() < 0.2:
                state.discard(path)
            else:
                state.put(path, n)
        if rnd.random() < 0.3:
            key = rnd.choice("ab")
            source = rnd.choice([state, state.view])
            if key in source:
                read.append((source[key], copy.deepcopy(source[key])))
        assert state.weight == State(copy.deepcopy(state._values)).weight
    assert read
    assert all(value == then for value, then in read)


def test_an_entry_that_does_not_fit_leaves_a_mapping_that_is_changed_in_place_as_it_was():
    state = State(limit=60)
    state.put(("votes", "tea"), 1)
    state.put(("votes", "coffee"), 1)
    before = (copy.deepcopy(dict(state)), state.weight)
    for path in (("votes", "x" * 30), ("votes", "more", "x" * 30), ("more", "x" * 40)):
        with pytest.raises(StateFullError):
            state.put(path, 1)
        assert (dict(state), state.weight) == before
