"""Compiles a value as if it stood in a file, and gives what its templates give; serves lists of actions."""

import logging

import httpx
import pytest

from signalpost.templates.compiler import Compiler
from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
BOTH = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
NAMES = frozenset({"message", "data", "path", "params", "client", "group", "now", "clients", "state", "settings"})


@pytest.fixture
def compiler():
    return Compiler()


@pytest.fixture
def problems():
    """The mistakes found so far, each with the keys of its place."""
    return []


@pytest.fixture
def compiled(compiler, problems):
    """Compile a value that stands at ``do[0]`` of a file."""

    def problem(keys, text, **_):
        problems.append((keys, text))

    def where(keys, *, part, **_):
        return f"routes.yaml:{part.line if part else 7}:{len(keys)}"

    def run(value, names=NAMES, compiler=compiler):
        return compiler.compile(value, ("do", 0), names, problem, where)

    return run


@pytest.fixture
def render(compiled, problems):
    """Render a value that has no mistakes."""

    def run(value, **scope):
        result = compiled(value)
        assert problems == []
        return result.render(scope)

    return run


@pytest.fixture
def live():
    """Serve signals, given as YAML."""
    return lambda signals, **options: serve(LIVE + signals, **options)


@pytest.fixture
def site():
    """Serve routes and signals, given as YAML."""
    return lambda text, **options: serve(BOTH + text, **options)


@pytest.fixture
def ask():
    """Send a request to an app."""

    async def send(app, path, method="POST", **options):
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            return await client.request(method, path, **options)

    return send


@pytest.fixture
def failures(caplog):
    """Give what the log says of failed steps."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
