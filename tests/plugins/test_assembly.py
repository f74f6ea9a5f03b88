import pytest


def texts(registry):
    return [error.text for error in registry.errors]


def test_hooks_are_known_by_plugin_with_place_and_arguments(app):
    file = app.write(
        "clock.py",
        """
        from signalpost import hookimpl

        @hookimpl
        def startup(context):
            pass

        @hookimpl
        async def client_disconnected(code):
            pass
        """,
    )
    registry = app.load()
    assert registry.plugins[0].hooks == ("client_disconnected", "startup")
    (one,) = registry.implementations["client_disconnected"]
    assert (one.plugin, one.hook, one.arguments, one.where) == ("clock", "client_disconnected", ("code",), f"{file}:8")
    assert registry.implementations["shutdown"] == ()


def test_a_misspelt_hook_names_the_nearest_and_the_sound_ones_stay(app):
    file = app.write(
        "clock.py",
        """
        from signalpost import hookimpl

        @hookimpl
        def start_up(context):
            pass

        @hookimpl
        def shutdown(context):
            pass
        """,
    )
    registry = app.load()
    (error,) = registry.errors
    assert (error.plugin, error.where) == ("clock", f"{file}:4")
    assert error.text.startswith('no hook named "start_up"; did you mean "startup"? (known: client_connected, ')
    assert registry.plugins[0].hooks == ("shutdown",)


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("def startup(contxt): ...", 'startup: no argument named "contxt" (it may take: context)'),
        ("def startup(context, extra=1): ...", 'startup: no argument named "extra" (it may take: context)'),
        ("def register_handlers(context): ...", 'register_handlers: no argument named "context" (it takes none)'),
        ("def startup(*context): ...", "startup: name the arguments plainly, without * (it may take: context)"),
        ("def startup(*, context): ...", "startup: name the arguments plainly, without * (it may take: context)"),
        ("async def register_handlers(): ...", "register_handlers is asked before a loop runs: make it a plain def"),
        ("def startup(context): yield", "startup: a hook must not yield"),
        ("async def startup(context): yield", "startup: a hook must not yield"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(app, definition, text):
    app.write("clock.py", f"from signalpost import hookimpl\n\n@hookimpl\n{definition}\n")
    assert texts(app.load()) == [text]


def test_a_hook_wrapper_is_refused(app):
    source = "from signalpost import hookimpl\n\n@hookimpl(wrapper=True)\ndef startup(context):\n    yield\n"
    (app.folder / "clock.py").write_text(source)
    assert texts(app.load()) == [
        "startup: a hook wrapper has nothing to wrap; each implementation is awaited on its own"
    ]


def test_a_function_with_a_hook_s_name_that_is_not_marked_is_noted(app):
    file = app.write("clock.py", "\n\ndef startup(context):\n    pass\n")
    registry = app.load()
    assert registry.errors == ()
    (note,) = registry.notes
    assert note.startswith(f"{file}:3: plugin clock: startup is the name of a hook but is not called; put @hookimpl")


def test_a_hook_imported_from_another_plugin_is_called_once(app):
    app.write("a.py", "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    pass\n")
    app.write("b.py", "from .a import startup\n")
    registry = app.load()
    assert [each.plugin for each in registry.implementations["startup"]] == ["a"]


def test_hooks_are_called_in_the_order_of_plugins_but_for_those_that_ask_to_be_first_or_last(app):
    for name, mark in (("a", "(trylast=True)"), ("b", ""), ("c", "()"), ("d", "(tryfirst=True)")):
        app.write(
            f"{name}.py", f"from signalpost import hookimpl\n\n@hookimpl{mark}\ndef startup(context):\n    pass\n"
        )
    assert [each.plugin for each in app.load().implementations["startup"]] == ["d", "b", "c", "a"]


def test_two_loads_of_one_folder_share_no_hooks(app):
    app.write("a.py", "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    pass\n")
    first, second = app.load(), app.load()
    assert len(first.implementations["startup"]) == len(second.implementations["startup"]) == 1


def test_two_handlers_of_one_name_are_an_error_that_names_both_places(app):
    source = "from signalpost import signal\n\n@signal('shout')\nasync def shout(event):\n    pass\n"
    one = app.write("a.py", source)
    two = app.write("b.py", source)
    registry = app.load()
    (error,) = registry.errors
    assert (error.plugin, error.where) == ("b", f"{two}:3")
    assert error.text == f'the handler name "shout" is taken by plugin a ({one}:3); rename one'
    assert registry.handlers["shout"].plugin == "a"


def test_two_kinds_of_handler_share_the_same_names(app):
    app.write(
        "a.py",
        """
        from signalpost import signal, timer

        @signal("x")
        async def one(event): ...

        @timer("x")
        async def two(event): ...
        """,
    )
    assert "is taken by plugin a" in texts(app.load())[0]


REGISTER = """
from signalpost import Handler, HandlerKind, SignalBinding, TimerBinding, hookimpl

async def shout(event):
    pass

@hookimpl
def register_handlers():
    return {returned}
"""


def test_handlers_that_a_plugin_makes_by_itself_get_plugin_and_place(app):
    file = app.write(
        "a.py", REGISTER.format(returned="[Handler('s', HandlerKind.SIGNAL, shout, (SignalBinding('/s'),))]")
    )
    registry = app.load()
    assert registry.errors == ()
    assert (registry.handlers["s"].plugin, registry.handlers["s"].where) == ("a", f"{file}:4")
    assert registry.plugins[0].handlers == ("s",)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("None", "register_handlers returns a list of Handler, not None"),
        ("[shout]", "register_handlers: not a Handler: <function shout"),
        ("[Handler('s', 'signal', shout)]", 'register_handlers: handler "s": its kind is a HandlerKind, not '),
        ("[Handler('', HandlerKind.SIGNAL, shout)]", "a handler's name is a word or several, not ''"),
        ("[Handler('s', HandlerKind.SIGNAL, print)]", "a handler is an async def taking one event"),
        (
            "[Handler('s', HandlerKind.SIGNAL, shout, (TimerBinding(5.0),))]",
            'register_handlers: handler "s": a signal is bound by SignalBinding, not by TimerBinding(',
        ),
    ],
)
def test_what_a_plugin_registers_by_itself_is_checked(app, returned, text):
    file = app.write("a.py", REGISTER.format(returned=returned))
    (error,) = app.load().errors
    assert text in error.text
    assert error.where == f"{file}:7"


def test_register_handlers_that_raises_is_a_problem_at_its_line(app):
    file = app.write("a.py", REGISTER.format(returned="[1 / 0]"))
    (error,) = app.load().errors
    assert error.text == "register_handlers failed: ZeroDivisionError: division by zero"
    assert error.where == f"{file}:9"
