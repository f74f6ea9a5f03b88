"""`slow` of a signal, and what all outboxes together may hold."""

import pytest

from signalpost.config.model import LatestBy, SlowConfig, SlowPolicy


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", SlowConfig(SlowPolicy.DISCONNECT, None)),
        (", slow: {}", SlowConfig(SlowPolicy.DISCONNECT, None)),
        (", slow: {policy: drop_oldest, buffer: 64KiB}", SlowConfig(SlowPolicy.DROP_OLDEST, 65_536)),
        (", slow: {policy: latest}", SlowConfig(SlowPolicy.LATEST, None)),
        (", slow: {policy: latest, key: user.id}", SlowConfig(LatestBy(("user", "id")), None)),
        (", slow: {buffer: 100}", SlowConfig(SlowPolicy.DISCONNECT, 100)),
        (", slow: {policy: disconnect}, format: raw", SlowConfig(SlowPolicy.DISCONNECT, None)),
    ],
)
def test_a_signal_says_what_becomes_of_its_slow_clients(config, said, read):
    assert config(f"signals: [{{path: /feed{said}}}]").signals[0].slow == read


@pytest.mark.parametrize(
    ("slow", "problem"),
    [
        ("{policy: drop_oldst}", 'did you mean "drop_oldest"?'),
        ("{polcy: latest}", 'did you mean "policy"?'),
        ("{buffer: 1 MB}", 'signals[0].slow.buffer: "1 MB" is not a size; did you mean "1MB"?'),
        ("{buffer: 0}", "signals[0].slow.buffer"),
        ("latest", "signals[0].slow"),
        ("{key: user}", "signals[0].slow.key: only the policy latest keeps the newest of each"),
        ("{policy: latest, key: a..b}", "signals[0].slow.key: it has an empty part"),
        ("{policy: latest, key: '{{ x }}'}", "signals[0].slow.key: it names a key of the value"),
        ("{policy: latest, kye: user}", 'did you mean "key"?'),
        ("{policy: latest, key: user}, format: raw", "so there is no key in them"),
    ],
)
def test_a_slip_is_shown_at_its_place_with_what_was_meant(problems, slow, problem):
    (found,) = problems(f"signals: [{{path: /feed, slow: {slow}}}]")
    assert problem in found


@pytest.mark.parametrize(("limits", "outboxes"), [("{}", None), ("{outboxes: 512MiB}", 512 * 2**20)])
def test_what_all_outboxes_may_hold_is_the_machines_business_unless_routes_yaml_says(config, limits, outboxes):
    assert config(f"limits: {limits}").limits.outboxes == outboxes
