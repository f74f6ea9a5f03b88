"""Decorators above ours: what they make is served, or it is a problem; never the function without them."""

import pytest

HEAD = """\
import functools
from signalpost import *

def require_login(function):
    @functools.wraps(function)
    async def guarded(*arguments):
        return "guarded", await function(*arguments)
    return guarded

def bare(function):
    async def guarded(*arguments):
        return "guarded", await function(*arguments)
    return guarded

def plain(function):
    @functools.wraps(function)
    def guarded(*arguments):
        return function(*arguments)
    return guarded

class Guard:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self._function = function

    async def __call__(self, *arguments):
        return "guarded", await self._function(*arguments)

"""

OURS = [
    ('@signal("x", path="/x")', "event"),
    ('@route("x", path="/x")', "event"),
    ('@timer("x", every="5s")', "event"),
    ('@schedule("x", cron="@daily")', "event"),
    ('@action("x")', "event, options"),
]


@pytest.fixture
def load(app):
    def give(text):
        (app.folder / "chat.py").write_text(HEAD + text)
        return app.load()

    return give


def only(registry):
    (made,) = (*registry.handlers.values(), *registry.actions.values())
    return made


def problem(registry):
    assert (dict(registry.handlers), dict(registry.actions)) == ({}, {})
    (error,) = registry.errors
    return error


@pytest.mark.parametrize(("ours", "arguments"), OURS)
async def test_what_a_decorator_above_makes_is_what_is_called(load, ours, arguments):
    registry = load(f"@require_login\n{ours}\nasync def f({arguments}):\n    return 1\n")
    assert registry.errors == ()
    count = arguments.count(",") + 1
    assert await only(registry).function(*[None] * count) == ("guarded", 1)


@pytest.mark.parametrize(("ours", "arguments"), OURS)
def test_a_decorator_that_hides_the_function_is_a_problem_at_its_line(load, ours, arguments):
    error = problem(load(f"@bare\n{ours}\nasync def f({arguments}):\n    return 1\n"))
    assert error.plugin == "chat"
    assert error.where.endswith(f"chat.py:{HEAD.count(chr(10)) + 1}")
    assert "or use functools.wraps in that decorator" in error.text


@pytest.mark.parametrize("ours", [ours for ours, arguments in OURS if "," not in arguments])
@pytest.mark.parametrize("other", ["plain", "Guard"])
def test_a_decorator_that_makes_no_async_def_of_a_handler_is_a_problem(load, ours, other):
    error = problem(load(f"@{other}\n{ours}\nasync def f(event):\n    return 1\n"))
    assert "makes something else of it: a handler is an async def" in error.text


def test_a_decorator_that_makes_a_plain_def_of_an_action_that_waits_is_a_problem(load):
    error = problem(load('@plain\n@action("x")\nasync def f(event, options): ...\n'))
    assert "which nobody awaits" in error.text


async def test_several_of_ours_with_one_in_between_all_call_the_outermost(load):
    registry = load('@signal("a")\n@require_login\n@signal("b")\nasync def f(event):\n    return 1\n')
    assert registry.errors == ()
    assert [await each.function(None) for each in registry.handlers.values()] == [("guarded", 1)] * 2


async def test_a_function_that_has_two_names_is_one_handler(load):
    registry = load('@signal("a", path="/a")\nasync def f(event):\n    return 1\n\ng = f\n')
    assert registry.errors == ()
    assert len(only(registry).bindings) == 1


def test_a_guarded_and_an_unguarded_one_under_two_names_are_a_problem(load):
    (error,) = load('@signal("a")\nasync def f(event):\n    return 1\n\ng = require_login(f)\n').errors
    assert "f and g in this module" in error.text


@pytest.mark.parametrize(
    "text",
    [
        'class Chat:\n    @staticmethod\n    @signal("a")\n    async def f(event): ...\n',
        'def make():\n    @signal("a")\n    async def f(event): ...\nmake()\n',
        '@signal("a")\nasync def f(event): ...\n\nasync def f(event): ...\n',
        '@signal("a")\nasync def f(event): ...\n\nf = functools.partial(f)\n',
    ],
)
def test_a_decorated_function_that_has_no_name_in_its_module_is_a_problem(load, text):
    assert "its module has this function under no name" in problem(load(text)).text


async def test_a_decorator_of_another_module_that_copies_nothing_but_the_marks_counts_too(app):
    app.write(
        "_auth.py",
        """
        import functools

        def require_login(function):
            @functools.wraps(function, assigned=())
            async def guarded(event):
                return "guarded", await function(event)
            return guarded
        """,
    )
    app.write(
        "chat.py",
        """
        from signalpost import signal
        from ._auth import require_login

        @require_login
        @signal("a")
        async def f(event):
            return 1
        """,
    )
    registry = app.load()
    assert registry.errors == ()
    assert await only(registry).function(None) == ("guarded", 1)


def test_functions_that_wrap_each_other_end(load):
    registry = load('@signal("a")\nasync def f(event): ...\n\nf.__wrapped__ = f\n')
    assert list(registry.handlers) == ["a"]


def test_a_wrapped_hook_is_called_with_its_wrapper(load):
    registry = load(
        "def loud(function):\n"
        "    @functools.wraps(function)\n"
        "    def outer(*arguments):\n        return 'outer', function(*arguments)\n"
        "    return outer\n\n"
        "@loud\n@hookimpl\ndef startup(context):\n    return context\n"
    )
    (one,) = registry.implementations["startup"]
    assert one({"context": 1}) == ("outer", 1)


@pytest.mark.parametrize(
    "text",
    [
        "@bare\n@hookimpl\ndef startup(context): ...\n",
        "@bare\n@hookimpl(tryfirst=True)\ndef startup(context): ...\n",
        "@Guard\n@hookimpl\ndef startup(context): ...\n",
        "class Plugin:\n    @hookimpl\n    def startup(self, context): ...\n",
        "@hookimpl\ndef startup(context): ...\n\nstartup = functools.partial(startup)\n",
        "@hookimpl\ndef startup(context): ...\n\ndef startup(context): ...\n",
    ],
)
def test_a_hook_that_is_hidden_is_a_problem_rather_than_never_called(load, text):
    registry = load(text)
    (error,) = registry.errors
    assert error.plugin == "chat"
    assert 'hook "startup" is never called' in error.text
    assert error.where.partition("chat.py:")[2].isdigit()
    assert not registry.implementations["startup"]


def test_a_hook_that_a_decorator_of_another_module_hides_is_a_problem_and_one_that_it_wraps_is_called(app):
    app.write(
        "_auth.py",
        """
        import functools

        def bare(function):
            def outer(*arguments):
                return function(*arguments)
            return outer

        def loud(function):
            @functools.wraps(function, assigned=())
            def outer(*arguments):
                return "outer", function(*arguments)
            return outer
        """,
    )
    app.write(
        "chat.py",
        """
        from signalpost import hookimpl
        from ._auth import bare, loud

        @bare
        @hookimpl
        def client_connected(client):
            client.close()

        @loud
        @hookimpl
        def startup(context):
            return context
        """,
    )
    registry = app.load()
    (error,) = registry.errors
    assert 'hook "client_connected" is never called' in error.text
    (one,) = registry.implementations["startup"]
    assert one({"context": 1}) == ("outer", 1)


def test_a_hook_that_has_two_names_is_one(load):
    registry = load("@hookimpl\ndef startup(context): ...\n\nbegin = startup\n")
    assert registry.errors == ()
    assert len(registry.implementations["startup"]) == 1
