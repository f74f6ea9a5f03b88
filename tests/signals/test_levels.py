"""Broadcast levels as a rule: what is let through reaches nobody whose signal wants less."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.model import Breadth, SignalConfig
from signalpost.delivery.target import ClientId, Target
from signalpost.paths import PathPattern
from signalpost.signals.levels import breadth_of, levels_of
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import SignalTable

ENDPOINT = frozenset({"live"})
PATHS = ("/a", "/b", "/rooms/<room>")
ORDER = list(Breadth)

LEVELS = st.sampled_from(Breadth)
SIGNALS = st.lists(st.tuples(st.none() | LEVELS, st.booleans()), min_size=1, max_size=3)
TARGETS = st.builds(
    Target,
    path=st.sampled_from([None, "/a", "/b", "/rooms/blue", "/elsewhere"]),
    groups=st.sampled_from([None, frozenset({"red"})]),
    client=st.sampled_from([None, ClientId("x")]),
)


def table_of(signals, *, undeclared):
    rules = [
        SignalRule(
            SignalConfig((), PathPattern.parse(path), broadest=level, from_elsewhere=is_open), f"owner {path}", ENDPOINT
        )
        for path, (level, is_open) in zip(PATHS, signals, strict=False)
    ]
    return SignalTable(rules, ENDPOINT, undeclared=ENDPOINT if undeclared else ())


def reached(table, target):
    """Return the signals whose clients a target may reach."""
    if target.path is None:
        return table.rules
    rule = table.rule_at(target.path)
    return () if rule is None or not rule.declared else (rule,)


def is_within(target, level):
    return ORDER.index(breadth_of(target)) >= ORDER.index(level)


@given(signals=SIGNALS, default=LEVELS, undeclared=st.booleans(), target=TARGETS)
def test_what_the_app_may_send_reaches_nobody_who_wants_less(signals, default, undeclared, target):
    table = table_of(signals, undeclared=undeclared)
    levels = levels_of(table, default)
    wanted = [rule.config.broadest or default for rule in reached(table, target)]
    if undeclared and (target.path is None or not wanted):
        wanted.append(default)
    if levels is None:
        assert set(wanted) <= {Breadth.EVERYONE}
        return
    refused = levels.excess(target)
    assert bool(refused) is any(not is_within(target, level) for level in wanted) or (not wanted and bool(refused))
    if target.client is not None:
        assert not refused


@given(signals=SIGNALS, default=LEVELS, target=TARGETS, sender=st.integers(0, 2))
def test_what_a_client_may_ask_for_reaches_nobody_who_wants_less_and_can_be_reached(signals, default, target, sender):
    table = table_of(signals, undeclared=False)
    levels = levels_of(table, default)
    if levels is None:
        return
    own = table.rules[min(sender, len(table.rules) - 1)]
    if levels.refusal(target, own) is None:
        for rule in reached(table, target):
            if target.path is not None or rule is own or rule.config.open_to_others:
                assert is_within(target, levels.of(rule))
