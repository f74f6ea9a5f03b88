"""No hook without a test: each one, with each of its arguments, is implemented by a plugin of some test."""

import inspect
import re
from pathlib import Path

import pluggy
import pytest

from signalpost.plugins import hookspecs

TESTS = Path(__file__).parents[1]

ARGUMENTS = {
    name: list(inspect.signature(function).parameters)
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
    if pluggy.PluginManager(hookspecs.PROJECT).parse_hookspec_opts(hookspecs, name) is not None
}
# The plugins of tests are texts, so their hooks are found as texts; a misspelt hook or an unmarked one does not count.
IMPLEMENTATION = re.compile(
    r"^[ \t]*@hookimpl(?:\((?P<options>[^\n]*)\))?\n[ \t]*(?:async )?def (?P<function>\w+)\((?P<arguments>[^)]*)\)",
    re.MULTILINE,
)


def implementations(text):
    """Return the names of hooks that plugins in this text implement, each with the arguments that are asked for."""
    for found in IMPLEMENTATION.finditer(text):
        named = re.search(r"specname=[\"'](\w+)", found["options"] or "")
        yield named[1] if named else found["function"], set(re.findall(r"\w+", found["arguments"]))


@pytest.fixture(scope="module")
def implemented():
    asked = {}
    for module in TESTS.rglob("test_*.py"):
        if module == Path(__file__):
            continue
        for hook, arguments in implementations(module.read_text(encoding="utf-8")):
            asked[hook] = asked.get(hook, set()) | arguments
    return asked


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_every_hook_is_implemented_by_a_test_that_asks_for_each_of_its_arguments(implemented, hook):
    assert hook in implemented, f"no test implements the hook {hook}"
    missing = set(ARGUMENTS[hook]) - implemented[hook]
    assert not missing, f"no test that implements the hook {hook} asks for {sorted(missing)}"


def test_a_hook_is_found_however_it_is_marked():
    text = """
        @hookimpl
        async def startup(context): ...
        @hookimpl(trylast=True)
        def shutdown(context): ...
        @hookimpl(specname="on_error")
        def failed(error, what): ...
        def exclusive(): ...
    """
    assert list(implementations(text)) == [
        ("startup", {"context"}),
        ("shutdown", {"context"}),
        ("on_error", {"error", "what"}),
    ]
