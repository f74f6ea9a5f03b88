"""Shares of the state: what one client's messages put there has a bound, and what is gone counts no more."""

import random

import pytest

from signalpost.config.addresses import network_of
from signalpost.errors import StateFullError
from signalpost.state.shares import Holder
from signalpost.state.state import State
from signalpost.testing import serve

ADA, BOB = Holder("ada", "192.0.2.1"), Holder("bob", "192.0.2.2")


def held(state, who):
    return state._shares.held(who)


def fill(state, puts, *, empty=False):
    for path, value, holder in puts:
        state.put(path, value, holder)
        if empty:
            state.discard(path)


def test_a_client_fills_its_share_and_no_more_and_others_have_theirs():
    state = State(limit=100_000, share=1_000)
    with pytest.raises(StateFullError, match="what messages of one client have put into the state takes 1KB at most"):
        fill(state, (((("votes", f"k{number}"), 1, ADA)) for number in range(1_000)))
    assert 900 < held(state, "ada") <= 1_000
    before = state.weight
    with pytest.raises(StateFullError):
        state.put(("votes", "one more of them"), 1, ADA)
    assert state.weight == before
    state.put(("votes", "tea"), 1, BOB)
    state.put(("votes", "code"), "x" * 5_000)


def test_who_comes_again_and_again_from_one_address_fills_half_and_no_more():
    state = State(limit=10_000, share=1_000)
    clients = (Holder(f"client {number}", "192.0.2.1") for number in range(1_000))
    with pytest.raises(StateFullError, match="of all clients of one address have put into the state takes 5KB"):
        fill(state, (((f"k{number}",), "x" * 100, client) for number, client in enumerate(clients)))
    assert state.weight <= 5_000
    state.put(("votes",), "x" * 100, BOB)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.discard(("votes", "a")),
        lambda state: state.discard(("votes",)),
        lambda state: state.put(("votes", "a"), 1),
        lambda state: state.put(("votes", "a"), 1, BOB),
        lambda state: state.__setitem__("votes", 5),
        lambda state: state.put(("votes",), {}, BOB),
        lambda state: state.__delitem__("votes"),
    ],
)
def test_what_is_replaced_or_taken_out_by_whomever_counts_no_more(change):
    state = State(share=1_000)
    state["votes"] = {}
    state.put(("votes", "a"), "x" * 900, ADA)
    assert held(state, "ada") == held(state, "192.0.2.1") == 900 + 7
    change(state)
    assert held(state, "ada") == held(state, "192.0.2.1") == 0
    state["votes"] = {}
    state.put(("votes", "b"), "x" * 900, ADA)


def test_a_share_is_not_used_up_by_replacing_the_same_entry_for_ever():
    state = State(share=1_000)
    for number in range(10_000):
        state.put(("history",), ["x" * (number % 70)] * 10, (ADA, BOB)[number % 2])
    assert held(state, "ada") + held(state, "bob") < 1_000


def test_mappings_that_are_made_on_the_way_count_even_when_they_are_empty_again():
    state = State(limit=100_000, share=1_000)
    with pytest.raises(StateFullError):
        fill(state, (((f"{number:050}", "a"), 1, ADA) for number in range(1_000)), empty=True)
    assert state.weight <= 1_100


def test_what_counts_for_all_together_is_never_less_than_what_stands_there_by_them():
    rnd, state, holders = random.Random(3), State(share=10**9, limit=10**9), (ADA, BOB)
    for number in range(5_000):
        path = [rnd.choice("abc") for _ in range(rnd.randrange(1, 4))]
        if rnd.random() < 0.3:
            state.discard(path)
        else:
            value = rnd.choice([number, "x" * rnd.randrange(50), {}, {"a": {}}, [number]])
            if rnd.random() < 0.5:
                old = state.get(path[0])
                value = grown(old[1:] if isinstance(old, list) else old, str(number % 7)) if len(path) == 1 else value
            try:
                state.put(path, value, rnd.choice(holders))
            except TypeError:
                assert len(path) > 1, "what stands on the way is no mapping"
        assert held(state, "ada") + held(state, "bob") >= state.weight
        assert held(state, "ada") == held(state, "192.0.2.1")
    for key in list(state):
        del state[key]
    assert held(state, "ada") == held(state, "bob") == 0
    assert not state._shares._held


def grown(value, item):
    """Return a frozen value with one item more, as a template makes it: of the very parts that it had."""
    match value:
        case list():
            return [*value, item]
        case dict():
            return {**value, item: item}
        case _:
            return f"{value or ''}{item}"


@pytest.mark.parametrize("empty", [[], {}, "-"])
@pytest.mark.parametrize("made_by", [None, ADA])
def test_a_client_that_has_filled_a_value_keeps_nobody_from_adding_to_it(empty, made_by):
    state = State(limit=100_000, share=1_000)
    state.put(("names",), empty, made_by)
    with pytest.raises(StateFullError, match="of one client"):
        fill(state, ((("names",), grown(state["names"], f"{number:010}"), ADA) for number in range(1_000)))
    assert 900 < held(state, "ada") <= 1_000
    for number in range(10):
        state.put(("names",), grown(state["names"], f"hello {number}"), BOB)
    assert 70 <= held(state, "bob") < 300
    assert 900 < held(state, "ada") <= 1_000
    state.discard(("names",))
    assert held(state, "ada") == held(state, "bob") == 0


def test_what_plugins_have_put_into_a_list_counts_for_nobody_who_adds_to_it():
    state = State(limit=100_000, share=1_000)
    state["names"] = ["x" * 5_000]
    for name in ("tea", "coffee"):
        state.put(("names",), grown(state["names"], name), ADA)
    assert 10 < held(state, "ada") < 50


def test_a_list_of_the_last_few_loses_what_came_first_and_so_does_whose_it_was():
    state = State(limit=100_000, share=1_000)
    for number, holder in enumerate((ADA, ADA, BOB, BOB, BOB)):
        state.put(("last",), [*state.get("last", []), str(number) * 300][-3:], holder)
    assert held(state, "ada") < 20  # of the list itself
    assert 900 < held(state, "bob") <= 1_000


def test_a_value_of_which_nothing_is_left_counts_for_whoever_put_another_there():
    state = State(limit=100_000, share=1_000)
    state.put(("names",), ["x" * 800], ADA)
    state.put(("names",), ["y" * 800], BOB)
    assert held(state, "ada") == 0
    assert 800 < held(state, "bob") < 850


def test_a_mapping_that_is_put_there_anew_with_an_entry_more_leaves_the_others_to_those_who_put_them_there():
    state = State(limit=100_000, share=1_000)
    state.put(("votes", "a"), "x" * 900, ADA)
    state.put(("votes",), {**state["votes"], "b": "tea"}, BOB)
    assert 900 < held(state, "ada") <= 1_000
    assert 0 < held(state, "bob") < 50


def test_without_a_share_nothing_is_counted():
    state = State(limit=10_000)
    for number in range(100):
        state.put(("votes", f"k{number}"), "x" * 50, ADA)
    assert held(state, "ada") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:0db8:0000:0000"),
        ("2001:db8::2", "2001:0db8:0000:0000"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address, network):
    assert network_of(address) == network


SERVED = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
state: {limit: 100KB, share: 1KB}
signals: [{path: /, do: [{set: {"votes.{{ message }}": 1}}, {reply: {value: done}}]}]
"""


async def test_a_step_that_is_beyond_the_client_s_share_fails_and_another_client_s_does_not():
    async with serve(SERVED) as app, app.connect("/") as greedy, app.connect("/") as other:
        answers = []
        for number in range(100):
            await greedy.send(f"k{number}")
            answers.append(await greedy.receive())
        assert answers.count("done") in range(50, 70)
        assert "handler-failed" in answers[-1]
        await other.send("tea")
        assert await other.receive() == "done"
        await app.reload(SERVED.replace("share: 1KB", "share: 0"))
        await greedy.send("once more")
        assert await greedy.receive() == "done"
