"""Bans and revocations, without a server: whom they refuse, when they end, and how many there may be."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from signalpost.auth.identity import GUEST, Identity
from signalpost.auth.revocations import BANNED, LONGEST_NAME, REVOKED, Kind, Revocations
from signalpost.errors import RevocationsFullError

USERS, TOKENS = ("ann", "bob", "t1"), ("t1", "t2")  # a token's id that is also a user's name
TIMES = st.sampled_from([1.0, 10.0, 100.0])


class Said:
    """What the model knows: every ban and revocation that was ever said, none of them joined to another."""

    def __init__(self, kind, name, before, until):
        self.kind, self.name, self.before, self.until = kind, name, before, until

    def refuses(self, identity, now):
        if now >= self.until:
            return False
        if self.kind is Kind.TOKEN:
            return identity.token_id == self.name
        if identity.user != self.name:
            return False
        return self.kind is Kind.BAN or identity.issued is None or identity.issued < self.before


class AnyOrder(RuleBasedStateMachine):
    """Bans, revocations and their ends in any order, while time passes."""

    def __init__(self, make_clock):
        super().__init__()
        self.clock = make_clock(1_000.0)
        self.revocations = Revocations(self.clock)
        self.said = []

    def say(self, kind, name, before, seconds):
        self.said.append(Said(kind, name, before, self.clock.now + seconds))

    @rule(user=st.sampled_from(USERS), seconds=TIMES)
    def ban(self, user, seconds):
        self.revocations.ban(user, seconds)
        self.say(Kind.BAN, user, 0.0, seconds)

    @rule(user=st.sampled_from(USERS), seconds=TIMES, ago=st.sampled_from([-5.0, 0.0, 50.0]))
    def revoke_tokens_of_a_user(self, user, seconds, ago):
        before = self.clock.now - ago
        self.revocations.revoke_user(user, before, seconds)
        self.say(Kind.USER, user, before, seconds)

    @rule(token=st.sampled_from(TOKENS), seconds=TIMES)
    def revoke_a_token(self, token, seconds):
        self.revocations.revoke_token(token, seconds)
        self.say(Kind.TOKEN, token, 0.0, seconds)

    @rule(kind=st.sampled_from(list(Kind)), name=st.sampled_from([*USERS, *TOKENS]))
    def lift(self, kind, name):
        meant = [each for each in self.said if (each.kind, each.name) == (kind, name)]
        there = any(self.clock.now < each.until for each in meant)
        assert self.revocations.lift(kind, name) is there
        self.said = [each for each in self.said if each not in meant]

    @rule(seconds=TIMES)
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def forget_ended(self):
        self.revocations.forget_ended()
        assert len(self.revocations) == len(
            {(each.kind, each.name) for each in self.said if self.clock.now < each.until}
        )

    @invariant()
    def they_refuse_just_whom_somebody_has_refused(self):
        now = self.clock.now
        for user in (None, *USERS, "nobody"):
            for token_id in ("", *TOKENS):
                for issued in (None, 900.0, now - 20.0, now):
                    identity = Identity(user, token_id=token_id, issued=issued)
                    refusal = self.revocations.refusal(identity, now)
                    told = [each.kind for each in self.said if each.refuses(identity, now)]
                    if not told:
                        assert refusal is None or self.joined(identity, now)
                    elif Kind.BAN in told:
                        assert refusal is BANNED
                    else:
                        assert refusal is REVOKED

    def joined(self, identity, now):
        """Return whether two revocations of one user refuse together what neither does alone."""
        meant = [each for each in self.said if each.kind is Kind.USER and each.name == identity.user]
        late = max((each.before for each in meant), default=-math.inf)
        return len(meant) > 1 and identity.issued < late and any(now < each.until for each in meant)


def test_in_any_order_nobody_gets_in_whom_a_ban_or_a_revocation_refuses_and_everybody_else_does(make_clock):
    run_state_machine_as_test(lambda: AnyOrder(make_clock), settings=settings(max_examples=100, stateful_step_count=30))


def test_a_ban_ends_by_itself_and_a_guest_never_notices_any(make_clock):
    clock = make_clock(0.0)
    revocations = Revocations(clock)
    revocations.ban("ann", 60.0)
    assert revocations.refusal(Identity("ann"), 59.9) is BANNED
    assert revocations.refusal(Identity("ann"), 60.0) is None
    assert revocations.refusal(GUEST, 1.0) is None


def test_a_token_that_was_issued_after_the_revocation_is_good(make_clock):
    revocations = Revocations(make_clock(500.0))
    revocations.revoke_user("ann")
    assert revocations.refusal(Identity("ann", issued=499.0), 501.0) is REVOKED
    assert revocations.refusal(Identity("ann"), 501.0) is REVOKED
    assert revocations.refusal(Identity("ann", issued=500.0), 501.0) is None


def test_a_second_ban_lengthens_the_first_and_never_shortens_it(make_clock):
    revocations = Revocations(make_clock(0.0))
    revocations.ban("ann", 100.0)
    revocations.ban("ann", 1.0)
    assert revocations.refusal(Identity("ann"), 99.0) is BANNED


def test_when_there_are_too_many_a_new_one_is_an_error_and_none_is_forgotten(make_clock):
    clock = make_clock(0.0)
    revocations = Revocations(clock, most=3)
    for name, seconds in (("a", 10.0), ("b", 20.0), ("c", 20.0)):
        revocations.ban(name, seconds)
    with pytest.raises(RevocationsFullError, match="there are 3 bans and revocations"):
        revocations.ban("d", 20.0)
    revocations.ban("c", 30.0)  # which is there already
    clock.advance(10.0)
    revocations.ban("d", 20.0)  # the first has ended
    assert [revocations.refusal(Identity(name), 11.0) for name in "abcd"] == [None, BANNED, BANNED, BANNED]


@given(st.lists(st.text(min_size=1, max_size=3), max_size=300))
def test_what_has_ended_does_not_gather(names):
    now = [0.0]
    revocations = Revocations(lambda: now[0])
    for name in names:
        now[0] += 2.0
        if "\ud800" <= name <= "\udfff":
            continue
        revocations.ban(name, 1.0)
        assert len(revocations) <= 64


@pytest.mark.parametrize(
    ("name", "seconds", "error", "text"),
    [
        ("", 1.0, ValueError, "has 1 to 1,024 characters, this one has 0"),
        ("x" * (LONGEST_NAME + 1), 1.0, ValueError, "this one has 1,025"),
        (5, 1.0, TypeError, "a name is a text, not 5"),
        ("\ud800", 1.0, ValueError, "no text that can be stored"),
        ("ann", 0.0, ValueError, "which is no time"),
        ("ann", -1.0, ValueError, "which is no time"),
        ("ann", math.inf, ValueError, "which is no time"),
        ("ann", math.nan, ValueError, "which is no time"),
    ],
)
def test_what_cannot_be_kept_is_an_error(make_clock, name, seconds, error, text):
    revocations = Revocations(make_clock(0.0))
    with pytest.raises(error, match=text):
        revocations.ban(name, seconds)
    assert len(revocations) == 0


@pytest.mark.parametrize("before", [-1.0, math.inf, math.nan])
def test_a_moment_that_is_none_is_an_error(make_clock, before):
    with pytest.raises(ValueError, match="is no moment"):
        Revocations(make_clock(0.0)).revoke_user("ann", before)
