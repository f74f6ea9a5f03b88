"""The ledger of a path: applying its differences to the whole gives the users, at any time."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.signals.ledger import MOST_NAMED, Ledger

USERS = "abcde"
INFOS = st.sampled_from([None, "x", 1, {"name": "Ann"}, {"name": "Bob"}, ["x"]])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(USERS), INFOS),
        st.tuples(st.just("leave"), st.sampled_from(USERS), st.integers(0, 3)),
        st.tuples(st.just("pass"), st.integers(1, 3), st.none()),
        st.tuples(st.just("tell"), st.none(), st.none()),
        st.tuples(st.just("come"), st.none(), st.none()),
        st.tuples(st.just("most"), st.integers(0, 6), st.none()),
    ),
    max_size=60,
)


class Reader:
    """What a client knows of the users: of the whole that it was told, and of each difference since."""

    def __init__(self, whole):
        self.version = whole["version"]
        self.count = whole["count"]
        self.users = dict(whole["users"]) if "users" in whole else None

    def read(self, difference):
        assert difference["version"] == self.version + 1
        self.version, self.count = difference["version"], difference["count"]
        if "users" in difference:
            assert difference.keys() == {"version", "count", "users"}
            self.users = dict(difference["users"])
        elif "joined" in difference:
            assert difference.keys() == {"version", "count", "joined", "left"}
            assert not difference["joined"].keys() & set(difference["left"])
            if self.users is not None:
                self.users |= difference["joined"]
                for user in difference["left"]:
                    self.users.pop(user, None)
        else:
            assert difference.keys() == {"version", "count"}
            self.users = None


class Model:
    """Who is present, in the plainest way: by user the info, the connections, and the end of the time to come back."""

    def __init__(self):
        self.now = 0
        self.users = {}

    def enter(self, user, info):
        _, n, _ = self.users.get(user, (None, 0, None))
        self.users[user] = (info, n + 1, None)

    def leave(self, user, grace):
        info, n, _ = self.users[user]
        self.users[user] = (info, n - 1, self.now + grace if n == 1 else None)

    def expire(self):
        self.users = {user: told for user, told in self.users.items() if told[2] is None or told[2] > self.now}


def check(reader, model, ledger):
    assert reader.count == len(model.users)
    if len(model.users) > ledger.most:
        assert reader.users is None
        return
    assert reader.users is not None
    assert reader.users.keys() == model.users.keys()
    for user, (info, n, _) in model.users.items():
        told = reader.users[user]
        assert told["info"] == info
        assert told["n"] == max(1, n)  # who may come back was never away


class TestModel:
    @settings(max_examples=500)
    @given(STEPS)
    def test_the_whole_and_the_differences_since_give_the_users_at_any_time(self, steps):
        ledger, model, readers, grace = Ledger(6), Model(), [], 2
        readers.append(Reader(ledger.whole()))
        for kind, what, more in steps:
            if kind == "enter":
                model.enter(what, more)
                ledger.enter(what, more)
            elif kind == "leave" and model.users.get(what, (0, 0, 0))[1]:
                model.leave(what, grace)
                ledger.leave(what, model.now + grace)
            elif kind == "pass":
                model.now += what
                model.expire()
                ledger.expire(model.now)
            elif kind == "most":
                ledger.most = what
                model.enter("z", None)  # as a client that comes brings another plan's number
                ledger.enter("z", None)
            elif kind == "come":
                readers.append(Reader(ledger.whole()))
            elif kind == "tell":
                told = ledger.difference()
                assert not ledger.changed
                for reader in readers if told is not None else ():
                    reader.read(told)
                for reader in readers:
                    check(reader, model, ledger)
            assert len(ledger) == len(model.users)
            assert {user: (each.info, each.n, each.until) for user, each in ledger} == model.users
            ends = [end for _, _, end in model.users.values() if end is not None]
            assert ledger.next_end == (min(ends) if ends else None)

    @given(STEPS)
    def test_a_reader_of_json_reads_the_same(self, steps):
        ledger = Ledger(6)
        for kind, user, info in steps:
            if kind == "enter":
                ledger.enter(user, info)
        whole = ledger.whole()
        assert orjson.loads(orjson.dumps(whole)) == whole


class TestGrace:
    def told(self, *users):
        ledger = Ledger(100)
        for user in users:
            ledger.enter(user, None)
        ledger.difference()
        return ledger

    def test_who_is_back_in_time_makes_no_difference_at_all(self):
        ledger = self.told("a", "b")
        ledger.leave("a", 5.0)
        assert ledger.difference() is None
        ledger.expire(4.9)
        ledger.enter("a", None)
        ledger.expire(100.0)
        assert ledger.difference() is None
        assert ledger.version == 1
        assert ledger.next_end is None

    def test_who_may_come_back_counts_as_one_connection(self):
        ledger = self.told("a")
        ledger.leave("a", 5.0)
        assert ledger.whole() == {"version": 1, "count": 1, "users": {"a": {"n": 1, "info": None}}}

    def test_who_is_not_back_in_time_has_left(self):
        ledger = self.told("a", "b")
        ledger.leave("a", 5.0)
        ledger.expire(5.0)
        assert ledger.difference() == {"version": 2, "count": 1, "joined": {}, "left": ["a"]}
        ledger.enter("a", 7)
        assert ledger.difference()["joined"] == {"a": {"n": 1, "info": 7}}

    def test_who_leaves_and_comes_between_two_differences_has_not_left(self):
        ledger = self.told("a")
        ledger.leave("a", 0.0)
        ledger.expire(0.0)
        ledger.enter("a", 1)
        assert ledger.difference() == {
            "version": 2,
            "count": 1,
            "joined": {"a": {"n": 1, "info": 1}},
            "left": [],
        }

    def test_who_is_back_with_another_info_is_told(self):
        ledger = self.told("a")
        ledger.leave("a", 5.0)
        ledger.enter("a", "new")
        assert ledger.difference()["joined"] == {"a": {"n": 1, "info": "new"}}

    def test_a_second_connection_is_told_and_its_end_as_well(self):
        ledger = self.told("a")
        ledger.enter("a", None)
        assert ledger.difference()["joined"] == {"a": {"n": 2, "info": None}}
        ledger.leave("a", 5.0)
        assert ledger.difference() == {"version": 3, "count": 1, "joined": {"a": {"n": 1, "info": None}}, "left": []}
        ledger.expire(100.0)
        assert len(ledger) == 1

    def test_who_was_told_while_away_and_is_back_is_told_right(self):
        ledger = Ledger(100)
        ledger.enter("a", None)
        ledger.leave("a", 5.0)
        reader = Reader({"version": 0, "count": 0, "users": {}})
        reader.read(ledger.difference())
        ledger.enter("a", None)
        assert ledger.difference() is None
        assert reader.users == ledger.whole()["users"]

    def test_a_user_that_is_unknown_leaves_without_a_trace(self):
        ledger = Ledger(1)
        ledger.leave("nobody", 1.0)
        assert (len(ledger), ledger.changed, ledger.next_end) == (0, False, None)

    def test_a_gone_users_bytes_are_free_again(self):
        ledger = Ledger(10_000)
        for number in range(1_000):
            ledger.enter(f"u{number}", "x" * 1_000)
        assert not ledger.tells_names
        for number in range(1_000):
            ledger.enter(f"u{number}", None)
        assert ledger.tells_names
        for number in range(1_000):
            ledger.leave(f"u{number}", 0.0)
            ledger.leave(f"u{number}", 0.0)
        ledger.expire(0.0)
        assert (len(ledger), ledger._size) == (0, 0)


class TestMost:
    def test_above_most_only_the_count_is_told_and_below_it_all_names_once_more(self):
        ledger = Ledger(2)
        for user in "ab":
            ledger.enter(user, None)
        assert "joined" in ledger.difference()
        ledger.enter("c", None)
        assert ledger.difference() == {"version": 2, "count": 3}
        assert ledger.whole() == {"version": 2, "count": 3}
        ledger.enter("d", None)
        assert ledger.difference() == {"version": 3, "count": 4}
        for user in "dc":
            ledger.leave(user, 0.0)
            ledger.expire(0.0)
        nobody = {"n": 1, "info": None}
        assert ledger.difference() == {"version": 4, "count": 2, "users": {"a": nobody, "b": nobody}}
        ledger.enter("a", None)
        assert ledger.difference()["joined"] == {"a": {"n": 2, "info": None}}

    def test_who_came_when_they_were_too_many_reads_all_names_when_they_are_fewer_by_the_next_difference(self):
        ledger = Ledger(2)
        for user in "ab":
            ledger.enter(user, None)
        ledger.difference()
        ledger.enter("c", None)
        reader = Reader(ledger.whole())
        assert reader.users is None
        ledger.leave("a", 0.0)
        ledger.expire(0.0)
        reader.read(ledger.difference())
        assert reader.users == ledger.whole()["users"]

    def test_a_count_that_has_not_changed_is_not_told(self):
        ledger = Ledger(1)
        for user in "abc":
            ledger.enter(user, None)
        ledger.difference()
        ledger.enter("d", None)
        ledger.leave("a", 0.0)
        ledger.expire(0.0)
        ledger.enter("b", None)
        assert ledger.changed
        assert ledger.difference() is None
        assert ledger.version == 1

    def test_with_most_0_no_name_is_ever_told(self):
        ledger = Ledger(0)
        assert ledger.whole() == {"version": 0, "count": 0, "users": {}}
        ledger.enter("a", "secret")
        assert ledger.difference() == {"version": 1, "count": 1}
        assert ledger.whole() == {"version": 1, "count": 1}

    def test_names_and_infos_of_more_than_256_kib_are_not_told(self):
        ledger = Ledger(10_000)
        for number in range(MOST_NAMED // 1_000 + 1):
            ledger.enter(f"{number:04}", "x" * 994)
        assert ledger.difference().keys() == {"version", "count"}
        ledger.leave("0000", 0.0)
        ledger.expire(0.0)
        assert ledger.difference().keys() == {"version", "count", "users"}
