"""What is marked for signalpost where nothing finds it is noted, with its place and with what to write."""

import pytest

HANDLER = "from signalpost import signal\n\n@signal('shout', path='/shout')\nasync def shout(event): ...\n"


def note(app):
    registry = app.load()
    assert registry.errors == ()
    (text,) = registry.notes
    return text


def test_a_handler_of_a_module_below_a_package_is_noted_with_the_import_that_finds_it(app):
    init = app.write("chess/__init__.py", "from . import moves\n")
    file = app.write("chess/moves.py", HANDLER)
    text = f'{file}:3: handler "shout" is in a module below plugin chess and is not found there; write '
    assert note(app) == f"{text}`from .moves import shout` in {init}"
    init.write_text("from .moves import shout\n")
    assert app.load().notes == ()


def test_a_hook_of_a_module_below_a_package_is_noted(app):
    app.write("chess/__init__.py", "from . import moves\n")
    app.write("chess/moves.py", "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context): ...\n")
    assert "hook startup is in a module below plugin chess" in note(app)


@pytest.mark.parametrize(
    "source",
    [
        HANDLER,
        "import signalpost\n\n@signalpost.signal('shout')\nasync def shout(event): ...\n",
        "from signalpost import signal as on\n\n@on('shout')\nasync def shout(event): ...\n",
        "from signalpost import hookimpl\n\n@hookimpl\nasync def shout(event): ...\n",
        "from signalpost import *\n\n@signal('shout')\nasync def shout(event): ...\n",
    ],
)
def test_a_file_of_a_package_that_nothing_imports_is_noted(app, source):
    init = app.write("chess/__init__.py", "")
    file = app.write("chess/sub/moves.py", source)
    assert note(app) == (
        f"{file}:4: shout of plugin chess is not found, since nothing imports this file; write "
        f"`from .sub.moves import shout` in {init}"
    )


def test_a_file_of_an_installed_package_that_nothing_imports_is_noted_but_none_of_its_tests(app, installed, tmp_path):
    entries = installed("signalpost-chess", "chess = chess_kit", source="")
    site = tmp_path / "site"
    (site / "chess_kit.py").unlink()
    for name, source in {"__init__": "", "moves": HANDLER, "tests/plugin": HANDLER, "conftest": HANDLER}.items():
        file = site / "chess_kit" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    (text,) = app.load(installed=entries).notes
    assert text.startswith(f"{site}/chess_kit/moves.py:4: shout of plugin chess is not found")


def test_a_folder_without_init_is_noted_with_the_file_that_makes_it_a_plugin(app):
    file = app.write("games/chess.py", HANDLER + "\n@signal('b')\nasync def b(event): ...\n")
    assert note(app) == (
        f"{file}:4: shout and 1 more is not found, since the folder games is no plugin; write `from .chess import "
        f"shout, b` into a file {app.folder}/games/__init__.py, or move this file to {app.folder}"
    )


def test_folders_and_files_in_which_nothing_is_marked_are_nothing_to_note(app):
    app.write("data/tool.py", "# not of signalpost\ndef signal(name): ...\n\n@signal\ndef x(): ...\n")
    app.write("data/broken.py", "signalpost = (\n")
    app.write("_games/chess.py", HANDLER)
    app.write("chess/__init__.py", "")
    app.write("chess/helpers.py", "import signalpost\n")
    assert app.load().notes == ()


def test_a_handler_in_a_helper_is_noted_and_one_that_a_plugin_imports_from_another_is_not(app):
    file = app.write("_rooms.py", HANDLER)
    app.write("chat.py", "from ._rooms import shout\n")
    app.write("a.py", HANDLER.replace("shout", "call"))
    app.write("b.py", "from .a import call\n")
    assert note(app).startswith(f'{file}:3: handler "shout" is in a helper, _rooms.py, which is no plugin')


@pytest.mark.parametrize("made", ["", "plugin = Plugin()\n"])
def test_a_hook_in_a_class_that_pluggy_s_own_marker_marks_is_noted(app, made):
    file = app.write(
        "chat.py",
        "import pluggy\n\nhookimpl = pluggy.HookimplMarker('signalpost')\n\nclass Plugin:\n"
        f"    @hookimpl\n    def startup(self, context): ...\n\n{made}",
    )
    assert note(app) == (
        f"{file}:6: hook startup of plugin chat is not called, since it is in the class Plugin; put it into the module "
        "itself, below `from signalpost import hookimpl`"
    )


def test_a_hook_that_pluggy_s_own_marker_marks_on_a_partial_is_noted(app):
    app.write(
        "chat.py",
        "import functools, pluggy\n\ndef boot(name, context): ...\n\n"
        "startup = pluggy.HookimplMarker('signalpost')(functools.partial(boot, 'x'))\n",
    )
    assert "hook startup of plugin chat is not called, since it is no function; write `def startup(…)`" in note(app)


def test_a_function_that_pluggy_s_own_marker_marks_is_a_hook(app):
    app.write("chat.py", "import pluggy\n\n@pluggy.HookimplMarker('signalpost')\ndef startup(context): ...\n")
    registry = app.load()
    assert (registry.notes, registry.plugins[0].hooks) == ((), ("startup",))


@pytest.mark.parametrize(
    "source",
    [
        "class Chat:\n    @signal('shout')\n    async def shout(self, event): ...\n\nshout = Chat().shout\n",
        "import functools\n\nasync def say(word, event): ...\n\nsignal('shout')(functools.partial(say, 'x'))\n",
        "class Chat:\n    async def shout(self, event): ...\n\nsignal('shout')(Chat().shout)\n",
    ],
)
def test_a_method_and_a_partial_that_is_never_called_is_a_problem_at_its_place(app, source):
    file = app.write("chat.py", f"from signalpost import signal\n\n{source}")
    (error,) = app.load().errors
    assert error.where.startswith(str(file))
