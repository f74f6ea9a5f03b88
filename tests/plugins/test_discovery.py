import dataclasses
import os
import sys

import pytest

from signalpost.plugins.folders import below


def errors(registry):
    return {error.plugin: error for error in registry.errors}


SHOUT = """
    from signalpost import signal

    @signal("shout")
    async def shout(event):
        return {word!r}
"""


@pytest.fixture
def compiling(monkeypatch):
    """Let Python write compiled files, as it does unless it is told not to."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def test_a_folder_that_is_not_there_has_no_plugins(make_app):
    app = make_app()
    app.folder.rmdir()
    assert app.load().plugins == ()


def test_files_and_folders_are_plugins_in_the_order_of_their_names_and_helpers_are_not(app):
    for name in (
        "zebra.py",
        "chess/__init__.py",
        "apple.py",
        "_helper.py",
        "_kit/__init__.py",
        ".#apple.py",
        "README.md",
    ):
        app.write(name, "")
    assert [plugin.name for plugin in app.load().plugins] == ["apple", "chess", "zebra"]


def test_a_drop_in_has_its_version_and_its_file_as_source(app):
    file = app.write("clock.py", '__version__ = "2.1"')
    app.write("plain.py", "")
    clock, plain = app.load().plugins
    assert (clock.version, clock.source) == ("2.1", str(file))
    assert plain.version == "-"


def test_decorated_functions_become_handlers_with_plugin_and_place(app):
    file = app.write("shout.py", SHOUT.format(word="x"))
    handler = app.load().handlers["shout"]
    assert (handler.plugin, handler.where) == ("shout", f"{file}:4")


def test_a_function_imported_from_another_plugin_is_not_found_twice(app):
    app.write("shout.py", SHOUT.format(word="x"))
    app.write("whisper.py", "from .shout import shout\nagain = shout\n")
    registry = app.load()
    assert registry.errors == ()
    assert [plugin.handlers for plugin in registry.plugins] == [("shout",), ()]


def test_a_package_has_the_handlers_of_its_modules_that_it_imports(app):
    app.write("chess/moves.py", SHOUT.format(word="x"))
    app.write("chess/__init__.py", "from .moves import shout\n")
    registry = app.load()
    assert registry.plugins[0].handlers == ("shout",)
    assert registry.handlers["shout"].plugin == "chess"


def test_plugins_import_helpers_relatively(app):
    app.write("_words.py", "WORD = 'hello'")
    app.write("a.py", "from ._words import WORD")
    app.write("b/__init__.py", "from .._words import WORD")
    registry = app.load()
    assert registry.errors == ()
    assert [plugin.module.WORD for plugin in registry.plugins] == ["hello", "hello"]


def test_a_dataclass_with_string_annotations_finds_its_module(app):
    app.write(
        "typed.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import ClassVar

        @dataclass
        class Move:
            count: ClassVar[int] = 0
            name: str = ""
        """,
    )
    registry = app.load()
    assert registry.errors == ()
    assert [field.name for field in dataclasses.fields(registry.plugins[0].module.Move)] == ["name"]


async def test_an_edited_file_counts_at_once_even_within_the_same_second_and_of_the_same_size(app, compiling):
    file = app.write("shout.py", SHOUT.format(word="old"))
    app.write("_helper.py", "WORD = 'old'")
    first = app.load()
    stamp = file.stat().st_mtime
    app.write("shout.py", SHOUT.format(word="new"))
    os.utime(file, (stamp, stamp))
    second = app.load()
    assert await first.handlers["shout"].function(None) == "old"
    assert await second.handlers["shout"].function(None) == "new"


def test_a_helper_written_after_the_first_load_is_found(app):
    app.write("a.py", "from ._late import WORD")
    assert errors(app.load()).keys() == {"a"}
    app.write("_late.py", "WORD = 1")
    assert app.load().errors == ()


async def test_two_apps_with_the_same_file_names_do_not_meet(make_app):
    one, two = make_app("one"), make_app("two")
    one.write("shout.py", SHOUT.format(word="one"))
    two.write("shout.py", SHOUT.format(word="two"))
    first, second = one.load(), two.load()
    assert await first.handlers["shout"].function(None) == "one"
    assert await second.handlers["shout"].function(None) == "two"


def test_loading_leaves_no_compiled_files_behind(app, compiling):
    app.write("shout.py", SHOUT.format(word="x"))
    app.load()
    assert [file.name for file in app.folder.iterdir()] == ["shout.py"]


def test_unloading_forgets_every_module(app):
    modules, finders = set(sys.modules), list(sys.meta_path)
    app.write("_words.py", "")
    app.write("chess/__init__.py", "from . import moves\nfrom .. import _words")
    app.write("chess/moves.py", "")
    registry = app.load()
    assert {below(name) for name in set(sys.modules) - modules} == {"", "_words", "chess", "chess.moves"}
    registry.unload()
    registry.unload()
    assert set(sys.modules) == modules
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        (
            "import json\nimport no_such_thing\n",
            2,
            'does not import: no module named "no_such_thing"; install it',
        ),
        ("\ndef broken(:\n", 2, "does not import: syntax error: "),
        ("def f():\n    raise KeyError('x')\n\nf()\n", 2, "does not import: KeyError: 'x'"),
        ("import sys\nsys.exit(3)\n", 2, "does not import: SystemExit: 3"),
        ("import json\njson.loads('{')\n", 2, "does not import: JSONDecodeError: "),
        ("from signalpost import signl\n", 1, 'does not import: cannot import name "signl" from "signalpost"'),
        (
            "from signalpost import signl\n",
            1,
            '; did you mean "signal"? (known: Action, ',
        ),
        ("import _words\n", 1, "write `from ._words import …`"),
        ("import plugins._words\n", 1, "what is beside the plugin is imported relatively"),
        ("from ._wrods import x\n", 1, 'no module named "_wrods"; did you mean "_words"? (beside the plugin: _words, '),
        ("import plugins\n", 1, "what is beside the plugin is imported relatively"),
        ("import signalpost.decorators\n", 1, "plugins import from signalpost itself"),
        ("import json.fast\n", 1, "json is installed, and has no such module"),
        (
            "from signalpost import signal\n\n@signal('x')\ndef f(event): ...\n",
            3,
            '@signal("x"): a handler is an',
        ),
        ("from signalpost import signal\n\n@signal()\nasync def f(event): ...\n", 3, "missing 1 required positional"),
    ],
)
def test_a_plugin_that_does_not_import_is_one_problem_at_its_line(app, source, line, text):
    app.write("_words.py", "")
    file = app.folder / "bad.py"
    file.write_text(source)
    (error,) = app.load().errors
    assert (error.plugin, error.where) == ("bad", f"{file}:{line}")
    assert text in error.text
    assert "\n" not in str(error)


def test_the_line_of_a_failure_in_a_helper_is_the_helper_s(app):
    helper = app.write("_words.py", "\n1 / 0\n")
    app.write("bad.py", "from . import _words")
    assert errors(app.load())["bad"].where == f"{helper}:2"


def test_beside_a_plugin_that_does_not_import_the_others_are_loaded_and_all_problems_are_told(app):
    app.write("a.py", "1 / 0")
    app.write("b.py", SHOUT.format(word="x"))
    app.write("c.py", "import no_such_thing")
    registry = app.load()
    assert list(errors(registry)) == ["a", "c"]
    assert registry.broken == ("a", "c")
    assert list(registry.handlers) == ["shout"]
    assert registry.found == ("a", "b", "c")


def test_two_plugins_of_one_name_are_an_error_that_names_both(app):
    one = app.write("chess.py", "")
    two = app.write("chess/__init__.py", "")
    (error,) = app.load().errors
    assert {str(one), str(two)} == {error.where, app.registries[0].plugins[0].source}
    assert f'the plugin name "chess" is taken by {app.registries[0].plugins[0].source}' in error.text


def test_a_dot_in_a_file_s_name_is_refused(app):
    app.write("a.b.py", "")
    assert "no dot in its name" in app.load().errors[0].text


def test_disabled_plugins_are_found_but_not_imported(app):
    app.write("a.py", "1 / 0")
    app.write("b.py", "")
    registry = app.load(disable=("a",))
    assert registry.errors == ()
    assert registry.found == ("a", "b")
    assert [plugin.name for plugin in registry.plugins] == ["b"]


def test_only_enabled_plugins_are_imported_and_disable_wins(app):
    for name in ("a.py", "b.py", "c.py"):
        app.write(name, "")
    registry = app.load(enable=("a", "b"), disable=("b",))
    assert [plugin.name for plugin in registry.plugins] == ["a"]


def test_installed_packages_come_before_drop_ins_with_their_distribution_s_version(app, installed):
    points = installed("trains-kit", "trains = trains_kit_plugin", source=SHOUT.format(word="x").replace("    ", "", 4))
    (app.folder / "a.py").write_text("")
    registry = app.load(installed=points)
    assert registry.errors == ()
    assert [(each.name, each.version, each.source) for each in registry.plugins] == [
        ("trains", "1.2", "trains-kit 1.2"),
        ("a", "-", str(app.folder / "a.py")),
    ]


def test_an_installed_package_and_a_drop_in_of_one_name_are_an_error_that_names_both(app, installed):
    points = installed("trains-kit", "trains = trains_kit_twice", source="")
    file = app.write("trains.py", "")
    (error,) = app.load(installed=points).errors
    assert error.where == str(file)
    assert "is taken by trains-kit 1.2" in error.text


def test_an_entry_point_that_names_more_than_a_module_is_refused(app, installed):
    points = installed("trains-kit", "trains = trains_kit_object:plugin", source="plugin = 1")
    (error,) = app.load(installed=points).errors
    assert error.text == 'its entry point names "trains_kit_object:plugin"; name the module alone: "trains_kit_object"'


def test_an_installed_package_that_fails_names_its_own_line(app, installed):
    points = installed("trains-kit", "trains = trains_kit_broken", source="\n\n1 / 0\n")
    (error,) = app.load(installed=points).errors
    assert error.where.endswith("trains_kit_broken.py:3")
    assert error.text == "does not import: ZeroDivisionError: division by zero"


def test_the_entry_points_of_the_running_python_are_asked_for_when_none_are_given(app, installed, monkeypatch):
    installed("trains-kit", "trains = trains_kit_global", source="")
    assert "trains" in app.load(installed=None).found


def test_what_has_the_name_of_a_plugin_s_file_and_is_none_says_what_it_is(app):
    app.write("good.py", "")
    (app.folder / "folder.py").mkdir()
    (app.folder / "gone.py").symlink_to("nowhere.py")
    (app.folder / "loop.py").symlink_to("loop.py")
    os.mkfifo(app.folder / "pipe.py")
    registry = app.load()
    folder = "this is a folder: a plugin that is one has a name without .py, and an __init__.py in it"
    assert {error.where: error.text for error in registry.errors} == {
        f"{app.folder}/folder.py": folder,
        f"{app.folder}/gone.py": "this link leads nowhere",
        f"{app.folder}/loop.py": "this link leads nowhere",
        f"{app.folder}/pipe.py": "this is no file that can be imported",
    }
    assert [plugin.name for plugin in registry.plugins] == ["good"]


def test_a_file_that_is_no_python_at_all_is_named_itself(app):
    app.write("zeros.py", "\0\0")
    (error,) = app.load().errors
    assert error.where == f"{app.folder}/zeros.py"
