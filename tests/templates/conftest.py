"""Compiles a value as if it stood in a file, and gives what its templates give."""

import pytest

from signalpost.templates.compiler import Compiler

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
