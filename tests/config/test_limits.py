from pathlib import Path

import pytest

from signalpost.config import parse_config

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
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path)
    assert config.limits.outbox == outbox


@pytest.mark.parametrize(("limits", "drain"), [("{}", 30), ("{drain: 0s}", 0), ("{drain: 0}", 0), ("{drain: 1m}", 60)])
def test_a_stop_takes_half_a_minute_at_most_unless_routes_yaml_says_otherwise(tmp_path: Path, limits, drain):
    config = parse_config(f"{HEAD}limits: {limits}", file="routes.yaml", folder=tmp_path)
    assert config.limits.drain == drain
