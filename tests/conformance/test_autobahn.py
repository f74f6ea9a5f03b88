"""The runner's own checks, and what its last run found: the suite itself needs Python 2.7 and half an hour."""

import importlib
import json
from pathlib import Path

import pytest

from signalpost.testing import load_app

HERE = Path(__file__).parent
(RESULTS,) = (HERE / "results").iterdir()


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("autobahn")


def index(**cases):
    """Give an index.json of the suite; names are the cases' numbers, with underscores."""
    rows = {
        number[1:].replace("_", "."): {"behavior": behavior, "behaviorClose": close, "duration": 1}
        for number, (behavior, close) in cases.items()
    }
    return json.dumps({"signalpost": rows})


def test_the_last_run_is_of_all_517_cases_and_each_passed_strictly(runner):
    saved = RESULTS.read_text(encoding="utf-8")
    verdicts = runner.read_saved(saved)
    assert runner.written(runner.in_order(verdicts)) == saved
    text, fine = runner.table(verdicts, list(runner.GROUPS))
    assert fine
    assert "| all | | 517 | 517 | 3 |" in text
    assert text in (HERE / "README.md").read_text(encoding="utf-8")


def test_cases_stand_in_the_order_of_their_numbers(runner):
    ok = ("OK", "OK")
    assert list(runner.read_index(index(_7_10=ok, _7_9_1=ok, _10_1_1=ok))) == ["7.9.1", "7.10", "10.1.1"]


@pytest.mark.parametrize(
    ("behavior", "close", "strict", "words"),
    [
        ("OK", "OK", True, "OK"),
        ("INFORMATIONAL", "INFORMATIONAL", True, "INFORMATIONAL"),
        ("OK", "INFORMATIONAL", True, "OK, closed: INFORMATIONAL"),
        ("NON-STRICT", "OK", False, "NON-STRICT, closed: OK"),
        ("OK", "WRONG CODE", False, "OK, closed: WRONG CODE"),
        ("OK", "UNCLEAN", False, "OK, closed: UNCLEAN"),
        ("OK", "FAILED BY CLIENT", False, "OK, closed: FAILED BY CLIENT"),
        ("UNIMPLEMENTED", "OK", False, "UNIMPLEMENTED, closed: OK"),
        ("FAILED", "FAILED", False, "FAILED"),
        ("OK", "A word of the future", False, "OK, closed: A word of the future"),
    ],
)
def test_only_what_is_in_order_passes_and_the_rest_is_named(runner, behavior, close, strict, words):
    verdicts = runner.read_index(index(_10_1_1=(behavior, close)))
    text, fine = runner.table(verdicts, ["10"])
    assert fine is strict
    assert str(verdicts["10.1.1"]) == words
    assert (f"10.1.1: {words}" in text) is not strict


def test_cases_that_did_not_run_are_missed(runner):
    text, fine = runner.table(runner.read_index(index(_3_1=("OK", "OK"))), ["3"])
    assert not fine
    assert text.endswith("1 cases ran of 7")
    text, fine = runner.table(runner.read_index("{}"), ["3"])
    assert not fine
    assert text.endswith("0 cases ran of 7")


def test_the_app_is_sound_and_listens_where_the_suite_is_sent(runner, tmp_path):
    plan = load_app(runner.ROUTES.read_text(encoding="utf-8"), tmp_path)
    urls = {each.name: f"{each.scheme.value}://{each.address}:{each.port}" for each in plan.config.endpoints}
    assert urls == runner.URLS
