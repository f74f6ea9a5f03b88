from pathlib import Path

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError

MIB = 1024 * 1024
HEAD = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


@pytest.mark.parametrize(
    ("limits", "outbox"),
    [
        ("{}", MIB),
        ("{message: 64KiB}", MIB),
        ("{message: 4MiB}", 4 * MIB),
        ("{message: 4MiB, outbox: 64KiB}", 64 * 1024),
    ],
)
def test_an_outbox_holds_the_largest_message_unless_routes_yaml_says_otherwise(tmp_path: Path, limits, outbox):
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert config.limits.outbox == outbox


@pytest.mark.parametrize(("limits", "drain"), [("{}", 30), ("{drain: 0s}", 0), ("{drain: 0}", 0), ("{drain: 1m}", 60)])
def test_a_stop_takes_half_a_minute_at_most_unless_routes_yaml_says_otherwise(tmp_path: Path, limits, drain):
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert config.limits.drain == drain


@pytest.mark.parametrize(
    ("limits", "outbox"),
    [
        ("{message: 64KiB, outboxes: 256KiB}", 256 * 1024),
        ("{message: 4MiB, outboxes: 4MiB}", 4 * MIB),
        ("{message: 64KiB, outboxes: 2MiB}", MIB),
        ("{message: 64KiB, outboxes: 256KiB, outbox: 256KiB}", 256 * 1024),
    ],
)
def test_an_outbox_holds_no_more_than_all_of_them_together(tmp_path: Path, limits, outbox):
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert config.limits.outbox == outbox


TOO_SMALL = (
    "limits.outboxes: {} for all clients together is less than the largest message ({}), whose receivers would be "
    "dropped; allow at least {} here, or at most {} there"
)
TOO_LARGE = (
    "{} for one client is more than {} for all together (routes.yaml:{}, limits.outboxes): the client is dropped "
    "earlier, whatever its policy; allow less here, or more there"
)

INBOUND = (
    "limits.inbound: {} for all clients together is less than the largest message ({}), which could never arrive; "
    "allow at least {} here, or at most {} there"
)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (
            "{outboxes: 512KiB}",
            "4:20: " + TOO_SMALL.format("512KiB", "1MiB, unless limits.message says less", "1MiB", "512KiB"),
        ),
        (
            "{outboxes: 1MiB, message: 2MiB}",
            "4:20: " + TOO_SMALL.format("1MiB", "2MiB, as limits.message says", "2MiB", "1MiB"),
        ),
        ("{outboxes: 1MiB, outbox: 2MiB}", "4:34: limits.outbox: " + TOO_LARGE.format("2MiB", "1MiB", 4)),
        (
            "{inbound: 512KiB}",
            "4:19: " + INBOUND.format("512KiB", "1MiB, unless limits.message says less", "1MiB", "512KiB"),
        ),
        (
            "{inbound: 1MiB, message: 2MiB}",
            "4:19: " + INBOUND.format("1MiB", "2MiB, as limits.message says", "2MiB", "1MiB"),
        ),
        # From a size that cannot be read no other mistake follows.
        ("{inbound: 512KiB, message: 1 MB}", '4:36: limits.message: "1 MB" is not a size; did you mean "1MB"?'),
        ("{outboxes: 512KiB, message: 1 MB}", '4:37: limits.message: "1 MB" is not a size; did you mean "1MB"?'),
        ("{outboxes: 1 KB, outbox: 2MiB}", '4:20: limits.outboxes: "1 KB" is not a size; did you mean "1KB"?'),
    ],
)
def test_sizes_that_cannot_hold_beside_each_other_are_a_mistake(problems, limits, problem):
    (found,) = problems(f"limits: {limits}")
    assert found.startswith(problem)


def test_the_buffer_of_a_signal_must_fit_into_what_waits_for_all(problems):
    (found,) = problems("""
        signals:
          - {path: /a, slow: {policy: latest, buffer: 4MiB}}
          - {path: /b, slow: {buffer: 4194305}}
        limits: {outboxes: 4MiB}
    """)
    assert found == "7:31: signals[1].slow.buffer: " + TOO_LARGE.format("4194305B", "4MiB", 8)


@pytest.mark.parametrize(("limits", "head"), [("{}", 16_384), ("{head: 64KiB}", 65_536), ("{head: 4KiB}", 4_096)])
def test_a_head_has_sixteen_kibibytes_unless_routes_yaml_says_otherwise(tmp_path: Path, limits, head):
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert config.limits.head == head


@pytest.mark.parametrize("head", ["1KiB", "1MiB"])
def test_a_head_that_no_browser_could_send_or_that_anybody_could_flood_with_is_a_mistake(tmp_path: Path, head):
    with pytest.raises(ConfigError, match="allowed: 4KiB, which browsers need, to 256KiB"):
        parse_config(f"{HEAD}limits: {{head: {head}}}", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
