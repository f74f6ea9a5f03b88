"""Connections that are waited for: who goes when they are too many."""

import pytest

from signalpost.config.addresses import network_of
from signalpost.http.crowd import Crowd


class Member:
    def __init__(self, name, gone):
        self.name = name
        self.gone = gone

    def evict(self):
        self.gone.append(self.name)


class World:
    def __init__(self, most):
        self.calls = []
        self.gone = []
        self.members = {}
        self.most = most
        self.crowd = Crowd(lambda: self.most, self.calls.append)

    def add(self, host, *numbers):
        for number in numbers:
            name = f"{host}/{number}"
            self.members[name] = Member(name, self.gone)
            self.crowd.add(self.members[name], host)

    def remove(self, name):
        self.crowd.remove(self.members[name])

    def turn(self):
        calls, self.calls[:] = self.calls[:], []
        for call in calls:
            call()
        gone, self.gone[:] = self.gone[:], []
        return gone


@pytest.fixture
def world():
    return World(6)


def test_the_oldest_of_the_address_that_has_the_most_goes_first(world):
    world.add("honest", 1, 2)
    world.add("hostile", *range(1, 8))
    world.crowd.shrink()
    assert world.gone == ["hostile/1", "hostile/2", "hostile/3"]
    assert len(world.crowd) == 6


def test_of_addresses_that_have_as_many_each_loses_some(world):
    world.add("a", *range(1, 5))
    world.add("b", *range(1, 5))
    world.crowd.shrink()
    assert sorted(world.gone) == ["a/1", "b/1"]


def test_who_has_spoken_by_the_next_look_at_the_sockets_is_not_ended(world):
    world.add("proxy", *range(1, 10))
    assert world.turn() == []
    for number in (1, 2, 3):
        world.remove(f"proxy/{number}")
    assert world.turn() == []
    assert len(world.crowd) == 6


def test_connections_that_are_too_many_are_ended_after_the_next_look(world):
    world.add("hostile", *range(1, 10))
    assert world.turn() == []
    assert world.turn() == ["hostile/1", "hostile/2", "hostile/3"]
    assert not world.calls


def test_a_bound_that_has_shrunk_counts_from_the_next_one_on(world):
    world.add("a", *range(1, 6))
    world.most = 2
    world.add("a", 6)
    world.turn()
    assert world.turn() == ["a/1", "a/2", "a/3", "a/4"]


def test_who_is_there_already_stays_as_old_as_it_is(world):
    world.add("a", *range(1, 8))
    world.crowd.add(world.members["a/1"], "a")
    world.crowd.shrink()
    assert world.gone == ["a/1"]


def test_nothing_is_left_of_connections_that_are_gone(world):
    world.add("a", 1, 2, 3)
    world.add("b", 1)
    for name in ("a/2", "b/1", "a/1", "a/3", "a/3"):
        world.remove(name)
    assert len(world.crowd) == 0
    assert not world.crowd._members
    assert not world.crowd._sizes
    assert world.crowd._largest == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
        (":no address", ":no other", False),
    ],
)
def test_an_address_is_that_of_one_machine_or_one_household(one, other, same):
    assert (network_of(one) == network_of(other)) is same
