"""requirements.lock: what a release is installed with; and what CI makes of pip-audit's answer."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK, re.MULTILINE)
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("text", PROJECT["dependencies"])
def test_every_dependency_is_pinned_within_its_bounds(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_every_pin_has_a_hash_and_no_line_names_a_place_to_load_from():
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(PINS)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK
    assert not re.search(r"^\s*--(?!hash)", LOCK, re.MULTILINE)


@pytest.fixture
def audit(tmp_path):
    """Run CI's audit with a pip-audit that gives this answer."""

    def run(answer, code=0):
        (tmp_path / "pip_audit.py").write_text(f"import sys\nsys.stdout.write({answer!r})\nsys.exit({code})\n")
        return subprocess.run(
            [sys.executable, ROOT / "tests" / "ci" / "audit.py", "some.lock"],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(tmp_path)},
        )

    return run


def dependencies(*found):
    return json.dumps({"dependencies": found, "fixes": []})


def test_a_vulnerable_dependency_fails_and_is_named(audit):
    done = audit(dependencies({"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}), code=1)
    assert done.returncode == 1
    assert "a 1 is vulnerable: CVE-1" in done.stdout


def test_a_service_that_cannot_be_asked_is_told_of_and_fails_nothing(audit):
    done = audit("", code=1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "some.lock is not audited" in done.stdout


def test_what_the_service_does_not_know_is_counted(audit):
    done = audit(dependencies({"name": "a", "skip_reason": "x"}, {"name": "b", "version": "1", "vulns": []}))
    assert done.returncode == 0
    assert "1 of 2 are not audited" in done.stdout
    assert "1 audited, none known to be vulnerable" in done.stdout
