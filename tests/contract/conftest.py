"""Judges of what `types` and `asyncapi` print: the TypeScript compiler, and AsyncAPI's own parser, both from npm."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from signalpost.cli.new import create_app, starters
from signalpost.testing import load_app

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = HERE / "node_modules"
REMEDY = f"npm install --prefix {HERE.relative_to(ROOT)}"
STRICT = ("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUnusedLocals", "--target", "es2022")


def _needed(name):
    """Skip without a package of npm. Where tests run for everybody, it must be there."""
    missing = "node is not installed" if shutil.which("node") is None else f"{name} is not installed"
    if missing.startswith("node") or not (MODULES / name).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing}; {REMEDY}")


@pytest.fixture(scope="session")
def apps(tmp_path_factory):
    """Make the demo and each app of the cookbook, with their plugins and secrets; return their files by name."""
    folder = tmp_path_factory.mktemp("apps")
    for name in starters():
        create_app(folder / name, name)
    return {name: folder / name / "routes.yaml" for name in starters()}


@pytest.fixture
def load(tmp_path):
    """Load an app from the text of its routes.yaml."""
    home = tmp_path / "app"
    home.mkdir()
    return lambda text: load_app(text, home)


@pytest.fixture(scope="session")
def compiler():
    _needed("typescript")
    return ("node", str(MODULES / "typescript" / "bin" / "tsc"))


@pytest.fixture
def tsc(compiler, tmp_path):
    """Compile files, given by name; return the errors as (file, line, what is said)."""

    def compile_(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.ts").write_text(text, encoding="utf-8")
        named = [f"{name}.ts" for name in files]
        done = subprocess.run(
            [*compiler, *STRICT, "--module", "es2022", "--moduleResolution", "bundler", "--pretty", "false", *named],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.findall(r"^(\w+)\.ts\((\d+),\d+\): error (.*)$", done.stdout, re.MULTILINE)
        assert (done.returncode == 0) is (not found), done.stdout + done.stderr
        return [(file, int(line), text) for file, line, text in found]

    return compile_


@pytest.fixture(scope="session")
def parse():
    """Give documents to AsyncAPI's parser; return what it says of each, and whether it accepts it."""
    _needed("@asyncapi/parser")

    def run(*texts):
        done = subprocess.run(
            ["node", HERE / "parse.mjs"], input=json.dumps(texts), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
