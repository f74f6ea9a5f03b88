"""Plugins that other users of the machine may change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from signalpost.plugins import trust

SOURCE = "LOADED = True\n"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may have its server refuse, or become another user"
)
UNPRIVILEGED = 65534
WHOSE = """
import os, sys
from signalpost.plugins.trust import is_root

os.setuid(int(sys.argv[1]))
print(is_root())
"""


@pytest.fixture
def as_user(monkeypatch):
    """Judge as a server that does not run as root."""
    monkeypatch.setattr("signalpost.plugins.discovery.is_root", lambda: False)


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr("signalpost.plugins.discovery.is_root", lambda: True)


def names(registry):
    return [plugin.name for plugin in registry.plugins]


def by_file(app):
    file = app.write("chat.py", SOURCE)
    file.chmod(0o646)
    return file


def by_folder(app):
    app.write("chat.py", SOURCE)
    app.folder.chmod(0o777)
    return app.folder


def by_sticky_folder(app):
    app.write("chat.py", SOURCE)
    app.folder.chmod(0o1777)
    return app.folder


def by_parent(app):
    app.write("chat.py", SOURCE)
    app.folder.parent.chmod(0o777)
    return app.folder.parent


def by_target_of_a_link(app):
    target = app.folder.parent / "elsewhere.py"
    target.write_text(SOURCE)
    target.chmod(0o666)
    (app.folder / "chat.py").symlink_to(target)
    return target


def by_folder_of_a_link_in_between(app):
    shelf = app.folder.parent / "shelf"
    shelf.mkdir()
    target = app.folder.parent / "elsewhere.py"
    target.write_text(SOURCE)
    (shelf / "link.py").symlink_to(Path("..", "elsewhere.py"))
    shelf.chmod(0o777)
    (app.folder / "chat.py").symlink_to(shelf / "link.py")
    return shelf


def by_helper(app):
    app.write("chat.py", "from . import _words\n")
    helper = app.write("_words.py", SOURCE)
    helper.chmod(0o666)
    return helper


def by_module_of_a_package(app):
    app.write("chat/__init__.py", "from . import moves\n")
    module = app.write("chat/moves.py", SOURCE)
    module.chmod(0o666)
    return module


EXPOSURES = [
    by_file,
    by_folder,
    by_sticky_folder,
    by_parent,
    by_target_of_a_link,
    by_folder_of_a_link_in_between,
    by_helper,
    by_module_of_a_package,
]


@pytest.mark.parametrize("expose", EXPOSURES)
def test_a_plugin_that_everybody_may_change_is_noted(app, as_user, expose):
    exposed = expose(app)
    registry = app.load()
    assert registry.errors == ()
    assert names(registry) == ["chat"]
    (note,) = registry.notes
    assert note.startswith(f"{exposed} may be changed by every user of this machine (its mode is ")
    assert f"chmod o-w {exposed}" in note


@pytest.mark.parametrize("expose", EXPOSURES)
def test_a_server_that_runs_as_root_does_not_load_a_plugin_that_everybody_may_change(app, as_root, expose):
    exposed = expose(app)
    registry = app.load()
    assert names(registry) == []
    (error,) = registry.errors
    assert error.plugin == "chat"
    assert f"{exposed} may be changed by every user" in error.text
    assert "a server that runs as root does not load it" in error.text


def test_the_code_of_a_plugin_that_everybody_may_change_does_not_run_as_root(app, as_root):
    witness = app.folder.parent / "witness"
    app.write("chat.py", f"open({str(witness)!r}, 'w')\n").chmod(0o666)
    app.load()
    assert not witness.exists()


@pytest.mark.parametrize("mode", [0o644, 0o664, 0o600])
def test_a_plugin_that_its_owner_or_a_group_may_change_is_loaded_without_a_word(app, mode):
    app.write("chat.py", SOURCE).chmod(mode)
    registry = app.load()
    assert (names(registry), registry.errors, registry.notes) == (["chat"], (), ())


def test_a_folder_above_that_all_share_is_no_danger_as_long_as_nobody_may_remove_what_others_made(app):
    app.write("chat.py", SOURCE)
    app.folder.parent.chmod(0o1777)
    registry = app.load()
    assert (names(registry), registry.errors, registry.notes) == (["chat"], (), ())


@needs_root
def test_a_plugin_folder_that_another_user_put_into_a_shared_one_is_refused(app):
    app.write("chat.py", SOURCE)
    app.folder.parent.chmod(0o1777)
    os.chown(app.folder, UNPRIVILEGED, UNPRIVILEGED)
    (error,) = app.load().errors
    assert f"{app.folder} was put into {app.folder.parent}" in error.text


@needs_root
def test_an_app_that_is_all_another_user_s_is_loaded_from_a_shared_folder(app):
    app.write("chat.py", SOURCE)
    app.folder.parent.parent.chmod(0o1777)
    for path in (app.folder.parent, app.folder, app.folder / "chat.py"):
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    registry = app.load()
    assert (names(registry), registry.errors) == (["chat"], ())


def test_a_circle_of_links_is_no_plugin_and_ends(app):
    (app.folder / "chat.py").symlink_to("chat.py")
    assert list(trust.Trust().exposed(app.folder / "chat.py")) == []


@needs_root
def test_who_runs_the_server_decides():
    shown = [
        subprocess.run(
            [
                sys.executable,
                "-c",
                WHOSE,
                str(user),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for user in (0, UNPRIVILEGED)
    ]
    assert shown == ["True", "False"]
