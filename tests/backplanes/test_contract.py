"""What every backplane does: each test runs with the one in memory and with a real Redis."""

import asyncio
import re
from itertools import accumulate

import pytest

from signalpost.backplanes.backplane import AwayError, Keep, Kept, Once, Slice, Top, chained
from signalpost.history.position import epoch_after, precedes

UNKNOWN = Top("", 0, 0)


async def settled(*nodes):
    """Return when everything that was published has arrived at these nodes."""
    for backplane, ear in nodes:
        mark = (f"end {id(ear)}", b"%d" % len(ear.log))
        await backplane.follow(mark[:1])
        await backplane.publish(*mark)
        async with asyncio.timeout(30):
            while mark not in ear.log:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
        ear.log.remove(mark)


async def eventually(ask, is_right):
    """Ask again and again, until an answer is right; return that."""
    async with asyncio.timeout(30):
        while not is_right(answer := await ask()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    return answer


def ids(*found):
    """Return the ids of the first entries of a channel, with 0 before them."""
    return list(accumulate(found, chained, initial=0))


IDS = ids(*range(101, 120))
"""Of entries of one `keeper`, by their offsets."""


def keeper(backplane, keep, publisher="n1"):
    """Return a function that keeps bodies, numbered by itself, with numbers that say so: 101, 102 …"""
    numbers = iter(range(1, 10_000))

    def put(channel, body, once=None):
        number = next(numbers)
        return backplane.keep(channel, body, 100 + number, publisher, number, keep, once)

    return put


# Live


async def test_a_body_is_heard_by_all_who_follow_its_channel_and_nobody_else(rig):
    a, b, c = await rig.node("x"), await rig.node("x", "y"), await rig.node("y")
    assert await a[0].publish("x", b"1") == 2
    assert await a[0].publish("y", b"2") == 2
    assert await a[0].publish("z", b"3") == 0
    await settled(a, b, c)
    assert [ear.bodies for _, ear in (a, b, c)] == [[b"1"], [b"1", b"2"], [b"2"]]


async def test_bodies_of_one_node_are_heard_in_the_order_of_its_calls_kept_or_not(rig, all_kept):
    a, b = await rig.node(), await rig.node("x")
    put = keeper(a[0], all_kept)
    for number in range(50):
        a[0].publish("x", b"live %d" % number)
        put("x", b"kept %d" % number)
    await settled(a, b)
    assert b[1].bodies == [word % number for number in range(50) for word in (b"live %d", b"kept %d")]


@pytest.mark.parametrize("body", [b"", b"\0\1\r\n$-1\r\n", bytes(range(256)), b"x" * 1_000_000], ids=len)
async def test_a_body_may_be_any_bytes(rig, all_kept, body):
    a = await rig.node("x")
    await a[0].publish("x", body)
    await keeper(a[0], all_kept)("x", body)
    await settled(a)
    assert a[1].bodies == [body, body]
    assert (await a[0].read("x", None, 9)).items[0].body == body


async def test_a_channel_may_be_any_text(rig, all_kept):
    channels = ["p:/", "g:ü €", "u:{a}b", "a b\r\nc", "", "n:\ud800", "*", "x" * 5_000]
    a = await rig.node(*channels)
    put = keeper(a[0], all_kept)
    for channel in channels:
        assert await a[0].publish(channel, channel.encode("utf-8", "replace")) == 1
        assert (await put(channel, b"kept", Once(channel, 60))).offset == 1
    await settled(a)
    assert [entry[0] for entry in a[1].log[1:]] == [channel for channel in channels for _ in range(2)]


async def test_thousands_of_channels_are_followed_at_once_and_all_of_them_are_heard(rig):
    channels = [f"p:/{number}" for number in range(5_000)]
    a, b = await rig.node(), await rig.node()
    await b[0].follow(channels)
    heard = [a[0].publish(channel, channel.encode()) for channel in channels]
    assert await asyncio.gather(*heard) == [1] * len(channels)
    await settled(b)
    assert b[1].bodies == [channel.encode() for channel in channels]


async def test_the_future_of_a_follow_waits_for_a_follow_that_is_under_way(rig):
    a, b = await rig.node(), await rig.node()
    b[0].follow(["x", "y"])
    await b[0].follow(["y"])
    assert await a[0].publish("y", b"1") == 1
    await b[0].follow([])


async def test_what_is_left_is_not_heard_and_what_is_followed_again_is(rig):
    a, b = await rig.node(), await rig.node("x", "y", "z")
    b[0].unfollow(["x", "y"])
    b[0].follow(["y"])
    await b[0].follow(["w"])
    b[0].unfollow(["w"])
    b[0].follow(["w"])
    b[0].unfollow(["never followed", "w"])
    await b[0].follow(["v"])
    assert [await a[0].publish(channel, channel.encode()) for channel in "vwxyz"] == [1, 0, 0, 1, 1]
    await settled(b)
    assert b[1].bodies == [b"v", b"y", b"z"]


async def test_a_channel_is_heard_that_is_followed_again_while_it_is_being_left(rig):
    a = await rig.node("x")
    rig.stall()
    a[0].unfollow(["x"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    heard = a[0].follow(["x"])
    rig.resume()
    await heard
    assert await a[0].publish("x", b"1") == 1
    await settled(a)
    assert a[1].bodies == [b"1"]


async def test_a_channel_that_is_left_before_it_is_heard_keeps_nobody_waiting(rig):
    a = await rig.node()
    first = a[0].follow(["x"])
    second = a[0].follow(["x", "y"])
    a[0].unfollow(["x"])
    await first
    await second
    await a[0].follow(["z"])
    assert [await a[0].publish(channel, b"") for channel in "xyz"] == [0, 1, 1]


async def test_answers_come_in_the_order_of_the_calls(rig, all_kept):
    a = await rig.node("x")
    order = []
    put = keeper(a[0], all_kept)
    for number in range(20):
        calls = (a[0].publish("x", b""), put("x", b""), a[0].tops(["x", "y"]), a[0].get("t"), a[0].now())
        for place, call in enumerate(calls):
            call.add_done_callback(lambda _, at=(number, place): order.append(at))
    await a[0].read("x", None, 1)
    assert order == sorted(order)
    assert len(order) == 100


# Kept


async def test_what_is_kept_has_one_epoch_and_offsets_from_1_on_all_nodes_and_a_chain_of_ids(rig, all_kept):
    a, b = await rig.node("x"), await rig.node("x")
    first, second = keeper(a[0], all_kept, "n1"), keeper(b[0], all_kept, "n2")
    kept = [await first("x", b"1"), await second("x", b"2"), await first("x", b"3"), await second("y", b"4")]
    epoch = kept[0].epoch
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{6}", epoch)
    one, two, three = ids(101, 101, 102)[1:]
    assert kept[:3] == [Kept(epoch, at, found, 2, again=False) for at, found in enumerate((one, two, three), 1)]
    assert kept[3].offset == 1
    assert kept[3].epoch != epoch
    assert kept[3].nodes == 0
    await settled(a, b)
    chain = [(1, one, 0, b"1"), (2, two, one, b"2"), (3, three, two, b"3")]
    for _, ear in (a, b):
        assert ear.log[1:] == [("x", Top(epoch, at, found), previous, body) for at, found, previous, body in chain]


async def test_a_value_has_another_id_where_another_one_was_before_it(rig, all_kept):
    a = await rig.node()
    for channel, values in (("x", (1, 2, 9)), ("y", (1, 3, 9)), ("z", (1, 2, 9))):
        for number, found in enumerate(values, 1):
            await a[0].keep(channel, b"", found, "n1", number, all_kept)
    x, y, z = await a[0].tops("xyz")
    assert x.id == z.id != y.id


async def test_a_number_of_a_publisher_is_kept_once(rig, all_kept):
    a, b = await rig.node("x"), await rig.node("x")

    def keep(node, number, publisher="n1"):
        return node[0].keep("x", b"%d" % number, 100 + number, publisher, number, all_kept)

    first = [await keep(a, number) for number in (3, 5, 8)]
    repeats = [await keep(b, number) for number in (8, 3, 5, 8)]
    assert repeats == [first[at]._replace(nodes=0, again=True) for at in (2, 0, 1, 2)]
    assert (await keep(a, 5, "n2")).again is False
    assert (await keep(a, 9)).offset == 5
    await settled(a, b)
    assert [ear.bodies for _, ear in (a, b)] == [[b"3", b"5", b"8", b"5", b"9"]] * 2


async def test_numbers_count_for_each_channel(rig, all_kept):
    a = await rig.node()
    assert [(await a[0].keep(channel, b"", 1, "n1", 7, all_kept)).again for channel in "xyx"] == [False, False, True]


async def test_a_number_long_ago_has_its_offset_still(rig, all_kept):
    a = await rig.node()
    put = keeper(a[0], all_kept)
    kept = await asyncio.gather(*(put("x", b"") for _ in range(350)))
    for number in (3, 120, 349):
        repeat = a[0].keep("x", b"", 100 + number, "n1", number, all_kept)
        assert await repeat == kept[number - 1]._replace(again=True)


async def test_a_repeat_whose_entry_is_no_longer_kept_is_one_still_and_has_no_offset(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(2, 60, 600))
    first = [await put("x", b"") for _ in range(5)]
    assert await a[0].keep("x", b"", 101, "n1", 1, Keep(2, 60, 600)) == Kept(first[0].epoch, 0, 0, 0, again=True)
    assert (await a[0].tops(["x"]))[0].offset == 5


async def test_a_message_with_once_is_kept_once_whoever_publishes_it(rig, all_kept):
    a, b = await rig.node("x"), await rig.node("x")
    first, second = keeper(a[0], all_kept, "n1"), keeper(b[0], all_kept, "n2")
    kept = await first("x", b"1", Once("u1 5b1e", 60))
    again = kept._replace(nodes=0, again=True)
    assert await second("x", b"1", Once("u1 5b1e", 60)) == again
    assert await first("x", b"1", Once("u1 5b1e", 60)) == again
    assert await first("x", b"2", Once("u2 5b1e", 60)) == Kept(kept.epoch, 2, ids(101, 103)[2], 2, again=False)
    assert (await first("y", b"3", Once("u1 5b1e", 60))).again is False
    assert (await second("x", b"4")).offset == 3
    await settled(a, b)
    assert [ear.bodies for _, ear in (a, b)] == [[b"1", b"2", b"4"]] * 2


async def test_the_number_of_a_repeat_counts_as_seen(rig, all_kept):
    a = await rig.node()
    first = await a[0].keep("x", b"", 1, "n1", 1, all_kept, Once("k", 60))
    again = first._replace(nodes=0, again=True)
    together = [a[0].keep("x", b"", 2, "n2", number, all_kept, Once("k", 60)) for number in (1, 2)]
    assert await asyncio.gather(*together) == [again, again]
    assert await a[0].keep("x", b"", 2, "n2", 2, all_kept) == again


async def test_a_repeat_is_forgotten_when_its_time_is_over(rig, all_kept):
    a = await rig.node()
    put = keeper(a[0], all_kept)
    together = [put("x", b"", Once("k", 0.05)) for _ in range(2)]
    assert [kept.again for kept in await asyncio.gather(*together)] == [False, True]
    await eventually(lambda: put("x", b"", Once("k", 0.05)), lambda kept: not kept.again)
    assert (await a[0].tops(["x"]))[0].offset == 2


async def test_entries_are_read_from_an_offset_to_the_top_and_of_many_the_newest(rig, all_kept):
    a = await rig.node()
    put = keeper(a[0], all_kept)
    epoch = [await put("x", b"%d" % number) for number in range(1, 11)][-1].epoch

    async def read(after, most):
        top, before, items = await a[0].read("x", after, most)
        assert top == Top(epoch, 10, IDS[10])
        assert [item.id for item in items] == [IDS[item.offset] for item in items]
        assert [item.body for item in items] == [b"%d" % item.offset for item in items]
        assert all(0 <= item.age < 60 for item in items)
        return before, [item.offset for item in items]

    assert await read(7, 100) == (IDS[7], [8, 9, 10])
    assert await read(7, 2) == (IDS[8], [9, 10])
    assert await read(None, 3) == (IDS[7], [8, 9, 10])
    assert await read(None, 100) == (0, list(range(1, 11)))
    assert await read(0, 100) == (0, list(range(1, 11)))
    assert await read(10, 100) == (IDS[10], [])
    assert await read(99, 100) == (IDS[10], [])
    assert await read(None, 0) == (IDS[10], [])


async def test_only_the_newest_entries_are_kept(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(3, 60, 600))
    epoch = [await put("x", b"%d" % number) for number in range(1, 6)][-1].epoch
    top, before, items = await a[0].read("x", 0, 100)
    assert (top, before, [item.offset for item in items]) == (Top(epoch, 5, IDS[5]), IDS[2], [3, 4, 5])
    await keeper(a[0], Keep(1, 60, 600), "n2")("x", b"6")
    assert [item.offset for item in (await a[0].read("x", 0, 100)).items] == [6]


async def test_entries_end_when_their_time_is_over_and_the_top_outlives_them(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(10, 0.05, 60))
    kept = [await put("x", b"") for _ in range(2)][-1]
    top = Top(kept.epoch, 2, IDS[2])
    slice_ = await eventually(lambda: a[0].read("x", None, 10), lambda found: not found.items)
    assert Slice(*slice_[:2], tuple(slice_.items)) == Slice(top, IDS[2], ())
    assert await put("x", b"") == Kept(kept.epoch, 3, IDS[3], 0, again=False)
    assert await put("x", b"") == Kept(kept.epoch, 4, IDS[4], 0, again=False)


async def test_an_old_entry_ends_while_newer_ones_come(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(100_000, 0.2, 60))
    ids = [(await put("x", b"")).id]

    async def newest():
        ids.append((await put("x", b"")).id)
        found = await a[0].read("x", None, 100_000)
        assert all(item.age < 0.2 for item in found.items)
        return found

    found = await eventually(newest, lambda found: found.items and found.items[0].offset > 1)
    assert found.before == ids[found.items[0].offset - 2]
    assert [item.offset for item in found.items] == list(range(found.items[0].offset, found.top.offset + 1))


async def test_a_channel_is_forgotten_when_the_time_of_its_top_is_over_and_begins_anew(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(10, 0.02, 0.02))
    first = await put("x", b"")
    await eventually(lambda: a[0].tops(["x"]), lambda tops: tops[0] == UNKNOWN)
    second = await put("x", b"")
    assert second.epoch != first.epoch
    assert second.offset == 1


async def test_nothing_is_known_of_an_unknown_channel(rig):
    a = await rig.node()
    slice_ = await a[0].read("x", 5, 10)
    assert Slice(*slice_[:2], tuple(slice_.items)) == Slice(UNKNOWN, 0, ())
    assert list(await a[0].tops(["x", "y"])) == [UNKNOWN, UNKNOWN]
    assert list(await a[0].tops([])) == []
    assert await a[0].end_epoch("x", "abcdef", 60) == UNKNOWN


async def test_one_of_those_who_end_an_epoch_wins_and_all_get_the_same_new_one(rig, all_kept):
    a, b = await rig.node(), await rig.node()
    put = keeper(a[0], all_kept)
    old = [await put("x", b"") for _ in range(3)][-1]
    ends = [a[0].end_epoch("x", old.epoch, 60), b[0].end_epoch("x", old.epoch, 60), a[0].end_epoch("x", old.epoch, 60)]
    new = {*await asyncio.gather(*ends)}
    (top,) = new
    assert top == Top(top.epoch, 3, IDS[3])
    assert top.epoch != old.epoch
    assert await a[0].end_epoch("x", old.epoch, 60) == top
    slice_ = await b[0].read("x", None, 10)
    assert (slice_.top, slice_.before, [item.id for item in slice_.items]) == (top, 0, IDS[1:4])
    assert await put("x", b"") == Kept(top.epoch, 4, IDS[4], 0, again=False)


async def test_a_new_epoch_is_behind_the_one_that_ends_and_any_that_is_known(rig, all_kept):
    a = (await rig.node())[0]
    first = (await keeper(a, all_kept)("x", b"")).epoch
    second = (await a.end_epoch("x", first, 60)).epoch
    assert precedes(first, second)
    known = epoch_after(epoch_after(second))
    assert precedes(known, (await a.end_epoch("x", second, 60, known)).epoch)
    assert precedes(known, (await a.end_epoch("y", "", 60, known)).epoch)


async def test_an_unknown_channel_begins_for_all_by_the_end_of_no_epoch(rig, all_kept):
    a, b = await rig.node(), await rig.node()
    begun = await asyncio.gather(a[0].end_epoch("x", "", 60), b[0].end_epoch("x", "", 60))
    assert begun[0] == begun[1] == Top(begun[0].epoch, 0, 0)
    assert len(begun[0].epoch) == 6
    slice_ = await b[0].read("x", None, 10)
    assert (slice_.top, slice_.before, list(slice_.items)) == (begun[0], 0, [])
    assert await keeper(a[0], all_kept)("x", b"") == Kept(begun[0].epoch, 1, IDS[1], 0, again=False)


async def test_a_channel_that_began_without_an_entry_is_forgotten_in_its_time(rig):
    a = await rig.node()
    await a[0].end_epoch("x", "", 0.02)
    await eventually(lambda: a[0].tops(["x"]), lambda tops: tops[0] == UNKNOWN)


async def test_entries_of_a_new_epoch_end_too_when_their_time_is_over(rig):
    a = await rig.node()
    put = keeper(a[0], Keep(10, 0.1, 60))
    kept = await put("x", b"")
    await a[0].end_epoch("x", kept.epoch, 60)
    await put("x", b"")
    await eventually(lambda: a[0].read("x", None, 10), lambda found: not found.items)


async def test_a_repeat_is_one_in_the_next_epoch_too(rig, all_kept):
    a = await rig.node()
    first = await a[0].keep("x", b"", 1, "n1", 1, all_kept)
    second = await a[0].keep("x", b"", 2, "n1", 2, all_kept, Once("k", 60))
    await a[0].end_epoch("x", first.epoch, 60)
    again = second._replace(again=True)
    assert await a[0].keep("x", b"", 2, "n1", 2, all_kept) == again
    assert await a[0].keep("x", b"", 9, "n2", 1, all_kept, Once("k", 60)) == again
    assert (await a[0].keep("x", b"", 1, "n1", 1, all_kept)).again is True
    assert (await a[0].tops(["x"]))[0].offset == 2


# Shared


async def test_a_lease_is_one_owners_who_may_extend_it_and_give_it_back(rig):
    a, b = await rig.node(), await rig.node()
    assert await a[0].lease("job", "n1", 60) is True
    assert await b[0].lease("job", "n2", 60) is False
    assert await b[0].lease("other job", "n2", 60) is True
    assert await a[0].lease("job", "n1", 60) is True
    assert await b[0].release("job", "n2") is False
    assert await b[0].lease("job", "n2", 60) is False
    assert await a[0].release("job", "n1") is True
    assert await a[0].release("job", "n1") is False
    assert await b[0].lease("job", "n2", 60) is True


async def test_who_takes_a_lease_is_told_who_has_it(rig):
    a, b = await rig.node(), await rig.node()
    assert await a[0].take("job", "n1", 60) == "n1"
    assert await b[0].take("job", "n2", 60) == "n1"
    assert await b[0].lease("job", "n2", 60) is False
    assert await a[0].take("job", "n1", 60) == "n1"
    assert await a[0].release("job", "n1") is True
    assert await b[0].take("job", "n2", 60) == "n2"
    assert await a[0].lease("job", "n1", 60) is False


async def test_a_lease_is_free_when_its_time_is_over(rig):
    a = await rig.node()
    await a[0].lease("job", "n1", 0.02)
    await eventually(lambda: a[0].lease("job", "n2", 60), bool)
    assert await a[0].release("job", "n1") is False


async def test_fields_of_a_table_are_set_and_removed_and_no_other_is_touched(rig):
    a, b = await rig.node(), await rig.node()
    await a[0].put("t", {"a": b"1", "ü": b"\0", "": b""})
    await b[0].put("t", {"a": None, "b": b"2", "never there": None})
    assert await a[0].get("t") == {"ü": b"\0", "": b"", "b": b"2"}
    assert await a[0].get("u") == {}
    await a[0].drop("t")
    await a[0].drop("u")
    assert await b[0].get("t") == {}
    await a[0].put("t", {})
    assert await a[0].get("t") == {}


async def test_a_table_may_have_very_many_fields(rig):
    a = await rig.node()
    many = {str(number): b"%d" % number for number in range(10_000)}
    await a[0].put("t", {**many, "kept": b""}, 60)
    assert len(await a[0].get("t")) == 10_001
    await a[0].put("t", dict.fromkeys(many))
    assert await a[0].get("t") == {"kept": b""}


async def test_a_table_ends_as_a_whole_and_the_last_call_says_when(rig):
    a = await rig.node()
    a[0].put("t", {"a": b"1"}, 60)
    a[0].put("lasts", {"a": b"1"}, 0.02)
    a[0].put("lasts", {"b": b"2"})
    a[0].put("t", {"b": b"2"}, 0.02)
    await eventually(lambda: a[0].get("t"), lambda fields: not fields)
    assert await a[0].get("lasts") == {"a": b"1", "b": b"2"}


async def test_the_clock_of_the_backplane_goes(rig):
    a = await rig.node()
    first = await a[0].now()
    await eventually(a[0].now, lambda now: now > first)
    assert first > 1_700_000_000


# Lost, and connected again


async def test_a_lost_connection_is_told_made_again_and_hears_what_is_followed(rig, until):
    a, b = await rig.node("x", "y"), await rig.node()
    a[0].unfollow(["y"])
    await a[0].follow(["z"])
    rig.cut()
    await until(lambda: a[1].turns == b[1].turns == ["connected", "lost", "connected"])
    assert a[0].connected
    assert [await b[0].publish(channel, channel.encode()) for channel in "xyz"] == [1, 0, 1]
    await settled(a)
    assert a[1].bodies == [b"x", b"z"]


async def test_what_is_asked_for_while_the_backplane_is_away_fails_at_once(rig, all_kept, until):
    a = await rig.node()
    rig.down()
    try:
        await until(lambda: a[1].turns == ["connected", "lost"])
        assert not a[0].connected
        calls = (
            a[0].publish("x", b""),
            a[0].follow(["x"]),
            a[0].keep("x", b"", 1, "n1", 1, all_kept),
            a[0].read("x", None, 1),
            a[0].tops(["x"]),
            a[0].end_epoch("x", "abcdef", 60),
            a[0].lease("l", "o", 1),
            a[0].release("l", "o"),
            a[0].put("t", {}),
            a[0].get("t"),
            a[0].drop("t"),
            a[0].now(),
        )
        assert all(call.done() for call in calls)
        for call in calls:
            with pytest.raises(AwayError, match="away"):
                await call
        a[0].unfollow(["y"])
        a[0].reconnect()
    finally:
        rig.up()
    await until(lambda: a[0].connected)
    assert await a[0].publish("x", b"") == 1


async def test_what_is_under_way_when_the_connection_is_lost_fails(rig, until):
    a = await rig.node()
    rig.stall()
    calls = [a[0].publish("x", b""), a[0].now(), a[0].follow(["x"]), a[0].tops(["x", "y"])]
    await asyncio.sleep(0)
    rig.down()
    results = await asyncio.gather(*calls, return_exceptions=True)
    rig.up()
    assert [type(result) for result in results] == [AwayError] * 4
    await until(lambda: a[0].connected)


async def test_a_backplane_starts_while_its_server_is_down_and_is_connected_later(rig, until):
    b = await rig.node()
    rig.down()
    await until(lambda: not b[0].connected)
    a, ear = await rig.node()
    try:
        assert ear.turns == ["lost"]
        with pytest.raises(AwayError):
            await a.follow(["x"])
    finally:
        rig.up()
    await until(lambda: a.connected and b[0].connected)
    assert ear.turns == ["lost", "connected"]
    assert await b[0].publish("x", b"1") == 1


async def test_a_node_that_seems_deaf_connects_again_and_hears(rig, until):
    a, b = await rig.node("x"), await rig.node("x")
    answered = a[0].now()
    await asyncio.sleep(0)
    a[0].reconnect()
    assert not a[0].connected
    assert await answered > 0
    await until(lambda: a[0].connected)
    assert a[1].turns == ["connected", "lost", "connected"]
    assert b[1].turns == ["connected"]
    assert await b[0].publish("x", b"1") == 2
    await settled(a)
    assert a[1].bodies == [b"1"]


async def test_a_wiped_backplane_begins_anew_and_stays_connected(rig, all_kept):
    a = await rig.node("x")
    put = keeper(a[0], all_kept)
    first = [await put("x", b"1") for _ in range(2)][-1]
    await a[0].put("t", {"a": b"1"})
    rig.wipe()
    assert list(await a[0].tops(["x"])) == [UNKNOWN]
    assert await a[0].get("t") == {}
    again = await put("x", b"2")
    assert again.offset == 1
    assert again.epoch != first.epoch
    assert a[1].turns == ["connected"]


async def test_a_stop_has_what_was_asked_for_answered_and_says_nothing(rig):
    a, b = await rig.node("x"), await rig.node("x")
    asked = a[0].publish("x", b"1")
    await a[0].stop()
    assert await asked == 2
    with pytest.raises(AwayError):
        await a[0].publish("x", b"2")
    await settled(b)
    assert b[1].bodies == [b"1"]
    assert a[1].turns == ["connected"]
    assert not a[0].connected
    await a[0].stop()


async def test_a_call_may_be_cancelled_and_the_next_is_answered(rig):
    a = await rig.node("x")
    for call in (a[0].publish("x", b"1"), a[0].now(), a[0].tops(["x", "y"]), a[0].follow(["y"])):
        call.cancel()
    assert await a[0].publish("x", b"2") == 1
    await settled(a)
    assert a[1].bodies == [b"1", b"2"]
