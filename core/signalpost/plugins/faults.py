"""What a plugin's exception says to its author: one line and the place in the plugin, never a traceback."""

import traceback
from pathlib import Path

from signalpost.errors import PluginError


def fault(plugin: str, error: BaseException, home: Path, *, during: str) -> PluginError:
    """Make a `PluginError` of what a plugin's code raised.

    Args:
        plugin: its name.
        error: what came out of it.
        home: the plugin's file, or the folder that its files are in. The place is the last one inside.
        during: what it was asked to do, as in ``does not import``.

    """
    if isinstance(error, PluginError):  # from a decorator, which knows the place but not the plugin's name
        return PluginError(plugin, error.where, error.text)
    if isinstance(error, SyntaxError) and error.filename:
        return PluginError(plugin, f"{error.filename}:{error.lineno or 1}", f"{during}: syntax error: {error.msg}")
    return PluginError(plugin, place_in(error, home), f"{during}: {describe(error)}{_hint(error, home)}")


def place_in(error: BaseException, home: Path) -> str:
    """Name the last line inside `home` that an exception came through; `home` itself if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _inside(frame.filename, home):
            return f"{frame.filename}:{frame.lineno}"
    return str(home)


def describe(error: BaseException) -> str:
    """Put an exception into one line: its type, unless its text says as much, and its text."""
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and text:
        return (text[0].lower() + text[1:]).replace("'", '"')
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _inside(filename: str, home: Path) -> bool:
    path = Path(filename)
    return path == home or home in path.parents


def _hint(error: BaseException, home: Path) -> str:
    """Say what to do about a missing module, where that can be known."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    folder = home if home.is_dir() else home.parent
    if (folder / f"{error.name}.py").is_file() or (folder / error.name / "__init__.py").is_file():
        return f"; it is a file beside the plugin: write `from .{error.name} import …`"
    return "; install it where signalpost is installed"
