"""The workflows of GitHub run what can be run by hand, on every Python that the package says it supports."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="an sdist leaves out .github")


def workflow(name):
    text = (WORKFLOWS / name).read_text(encoding="utf-8")
    # `on` is true to YAML 1.1, which PyYAML reads.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}


def commands(job):
    return [line.strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


def test_ci_runs_the_script_on_every_python_that_the_package_supports():
    (job,) = workflow("ci.yml")["jobs"].values()
    supported = [
        found[1] for each in PROJECT["classifiers"] if (found := re.search(r":: Python :: (3\.\d+)$", each)) is not None
    ]
    assert supported == ["3.11", "3.12", "3.13"]
    assert job["strategy"]["matrix"]["python"] == supported
    assert "${{ matrix.python }}" in job["container"]["image"]
    assert ".ci/run" in commands(job)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_ci_runs_for_every_change_and_before_a_release():
    assert {"push", "pull_request", "workflow_call"} <= set(workflow("ci.yml")["on"])
    release = workflow("release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    assert release["jobs"]["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert release["jobs"]["build"]["needs"] == "ci"


def test_a_release_is_built_checked_and_tried_before_it_is_made():
    jobs = workflow("release.yml")["jobs"]
    done = commands(jobs["build"])
    build, check, version = (
        next(number for number, line in enumerate(done) if text in line)
        for text in ("-m build", "twine check --strict", "bin/signalpost --version")
    )
    assert build < check < version
    assert (jobs["release"]["needs"], jobs["publish"]["needs"]) == ("build", "release")


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_a_workflow_may_only_read_unless_a_job_says_otherwise(name):
    assert workflow(name)["permissions"] == {"contents": "read"}
