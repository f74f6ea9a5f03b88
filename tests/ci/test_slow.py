"""The README's command leaves the slow tests out, CI runs them behind it, and between the two no test is lost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci" / "run"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def collect():
    """Collect a folder that has tests of both kinds, as pytest is called with these arguments."""

    def collected(*arguments):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "tests/state", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if "::" in line]

    return collected


def test_the_default_run_and_the_slow_one_are_all_tests(collect):
    default, slow, everything = map(sorted, (collect(), collect("-m", "slow"), collect("-m", "")))
    assert default
    assert slow
    assert sorted(default + slow) == everything


@pytest.mark.skipif(not CI.is_file(), reason="an sdist leaves out .ci")
def test_ci_runs_the_command_of_the_readme_and_then_the_slow_tests():
    (command,) = re.findall(r"^(python3 -m venv \.venv .* \.venv/bin/pytest)$", README, re.MULTILINE)
    lines = CI.read_text(encoding="utf-8").splitlines()
    assert lines.index(command) < lines.index(".venv/bin/pytest -m slow")


def test_the_readme_says_how_the_slow_tests_are_run():
    assert "`.venv/bin/pytest -m slow`" in README
    assert "`.venv/bin/pytest -m ''`" in README
