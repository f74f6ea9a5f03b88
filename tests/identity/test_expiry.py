"""Who is watched until its identity ends: property tests with a clock of the test, and no sockets."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.identity import Identity
from signalpost.signals.expiry import NOTICE, Expiries

LEEWAY = 5.0


class Guest:
    """A conversation that notes what it is told."""

    def __init__(self):
        self.client = SimpleNamespace(identity=Identity("ann"))
        self.told = []
        self.expired = 0
        self.at_once = lambda: None  # what happens when it is told, or closed

    def expire_soon(self, seconds):
        self.told.append(seconds)
        self.at_once()

    def expire(self):
        self.expired += 1
        self.at_once()


class World:
    """Some guests, what watches them, and a clock."""

    def __init__(self, guests):
        self.now = 1_000_000.0
        self.expiries = Expiries(lambda: self.now)
        self.expiries.leeway = LEEWAY
        self.guests = [Guest() for _ in range(guests)]
        self.watched = {}  # guest: when its identity ends

    def watch(self, guest, lasts, renewed):
        expires = None if lasts is None else self.now + lasts
        guest.client.identity = Identity("ann", expires=expires)
        guest.told, guest.expired = [], 0
        self.expiries.watch(guest, renewed=renewed)
        self.watched.pop(guest, None)
        if expires is not None:
            self.watched[guest] = expires

    def forget(self, guest):
        self.expiries.forget(guest)
        self.watched.pop(guest, None)

    def pass_by(self, seconds):
        self.now += seconds
        self.expiries.look()
        for guest, expires in list(self.watched.items()):
            if self.now >= expires + LEEWAY + 1:  # whole seconds are waited for
                assert guest.expired == 1
            if guest.expired:
                assert self.now >= expires + LEEWAY
                del self.watched[guest]

    def check(self):
        for guest in self.guests:
            assert len(guest.told) <= 1
            assert guest.expired <= 1
            assert all(0 <= seconds <= NOTICE for seconds in guest.told)
        for guest, expires in self.watched.items():
            assert guest in self.expiries._at
            assert guest.told or self.now < expires + LEEWAY
        expiries = self.expiries
        assert len(expiries) == len(self.watched) == sum(map(len, expiries._due.values()))
        assert expiries._told <= set(self.watched)
        assert all(expiries._due.values())
        assert set(expiries._seconds) >= set(expiries._due)
        assert len(expiries._seconds) <= 64 + 2 * len(expiries._due) + 1
        assert expiries._timer is not None or not self.watched


GUESTS = 4
WHO = st.integers(0, GUESTS - 1)
LASTS = st.one_of(st.none(), st.integers(-4, 200), st.floats(-4, 200), st.integers(200, 10**9))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), WHO, LASTS, st.booleans()),
        st.tuples(st.just("forget"), WHO),
        st.tuples(st.just("pass"), st.one_of(st.integers(0, 100), st.floats(0, 100))),
    ),
    max_size=60,
)


@given(STEPS)
def test_nobody_is_forgotten_or_told_twice_and_nothing_is_left(steps):
    async def run():
        world = World(GUESTS)
        for kind, *what in steps:
            if kind == "watch":
                world.watch(world.guests[what[0]], *what[1:])
            elif kind == "forget":
                world.forget(world.guests[what[0]])
            else:
                world.pass_by(what[0])
            world.check()
        for guest in world.guests:
            world.forget(guest)
        assert not world.expiries._told
        world.expiries.stop()

    asyncio.run(run())


def act(world, lasts, acts):
    for what, other in acts:
        if what == "forget":
            world.forget(other)
        elif what == "watch":
            world.watch(other, lasts, False)
        else:
            raise RuntimeError("the network is gone")


@given(st.lists(st.tuples(WHO, st.sampled_from(["forget", "watch", "fail"]), WHO), max_size=12), st.integers(20, 80))
def test_what_happens_to_one_while_it_is_told_harms_no_other(plan, lasts):
    """Closing one client may end others, whoever is told may turn out to be gone, and a write may fail."""

    async def run():
        world = World(GUESTS)
        acts = {}
        for who, what, whom in plan:
            acts.setdefault(who, []).append((what, world.guests[whom]))
        for who, guest in enumerate(world.guests):
            guest.at_once = lambda who=who: act(world, lasts, acts.pop(who, ()))
            world.watch(guest, lasts, False)
        for _ in range(400):
            world.now += 1
            for _ in range(GUESTS + 1):  # the loop looks again at once if something failed
                with contextlib.suppress(RuntimeError):
                    world.expiries.look()
        for guest, expires in world.watched.items():
            assert world.now > expires + LEEWAY
            assert guest.expired == 1
        assert len(world.expiries) == 0
        assert not world.expiries._told
        world.expiries.stop()

    asyncio.run(run())


@pytest.mark.parametrize("lasts", [-4, 0, 1, 7, 59, 60, 61])
async def test_who_shows_the_same_token_again_and_again_is_told_ever_later(lasts):
    world = World(1)
    guest, renewals = world.guests[0], 0
    ends = world.now + lasts
    world.watch(guest, lasts, False)
    while world.now < ends + LEEWAY:
        world.expiries.look()
        if guest.told:
            renewals += 1
            world.watch(guest, ends - world.now, True)
        world.now += 0.25
    assert renewals <= 9
    world.expiries.look()
    assert guest.expired == 1
    world.expiries.stop()


async def test_those_who_come_and_go_one_after_the_other_wait_by_one_timer():
    world, timers = World(2), set()
    for _ in range(100):
        world.watch(world.guests[0], 1_000, False)
        timers.add(world.expiries._timer)
        world.forget(world.guests[0])
    assert len(timers) == 1
    world.watch(world.guests[0], NOTICE + 90, False)
    assert timers == {world.expiries._timer}
    world.watch(world.guests[1], NOTICE + 10, False)  # who is due before it fires is not kept waiting
    assert timers != {world.expiries._timer}
    assert world.expiries._fires <= asyncio.get_running_loop().time() + 10
    world.expiries.stop()


async def test_seconds_for_which_nobody_waits_are_let_go():
    world = World(1)
    for lasts in range(1_000, 100_000, 7):
        world.watch(world.guests[0], lasts, False)
    assert len(world.expiries._seconds) < 100
    assert len(world.expiries._due) == 1
    world.expiries.stop()
