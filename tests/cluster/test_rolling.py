"""Nodes restarted one after the other behind HAProxy: nobody misses anything, and nobody is disturbed twice."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

import redisserver
import rollingrestart

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 160
RATE = 100  # messages a second


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Restart all nodes once."""
    for name in ("haproxy", "node"):
        try:
            rollingrestart.program(name)
        except FileNotFoundError as missing:
            pytest.fail(str(missing)) if os.environ.get("CI") else pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("rolling")
    (folder / "app").mkdir()
    with redisserver.RedisServer(folder) as redis:
        return rollingrestart.roll(folder / "app", redis.url, CLIENTS, RATE)


def test_in_a_rolling_restart_no_value_is_missing_and_none_comes_twice(outcome):
    assert len(outcome.clients) == CLIENTS
    assert outcome.published > 0
    assert {"missing": outcome.total("missing"), "unread": outcome.unread(), "doubled": outcome.total("doubled")} == {
        "missing": 0,
        "unread": 0,
        "doubled": 0,
    }
    assert outcome.total("gaps") == 0


def test_in_a_rolling_restart_each_node_s_clients_come_back_once_and_never_to_the_one_that_stops(outcome):
    assert len(outcome.left()) == len(rollingrestart.NODES)
    assert outcome.came_again() == []


def test_in_a_rolling_restart_clients_come_back_when_they_are_asked_to_and_nobody_is_refused(outcome):
    for client in outcome.clients:
        assert client["byes"] == client["ends"].count(1012) == len(client["nodes"]) - 1
    assert outcome.refused == 0
