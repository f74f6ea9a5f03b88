"""Words for a plugin's exceptions: one line and the place in the plugin, never a traceback."""

import re
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

from signalpost.errors import PluginError
from signalpost.foreign import text_of
from signalpost.plugins.folders import PREFIX
from signalpost.words import did_you_mean, listing

_DROP_IN = re.compile(rf"{re.escape(PREFIX)}\w+\.?")
_NAME = re.compile(r"cannot import name '(\w+)'")


def problem_of(plugin: str, error: BaseException, home: Path, *, during: str, file: Path | None = None) -> PluginError:
    """Convert an exception of a plugin's code to a `PluginError`.

    Args:
        plugin: its name.
        error: the exception.
        home: the plugin's file, or the folder of its files. The place is the last one inside.
        during: what failed, as in ``does not import``.
        file: the place if there is none inside; by default `home`.
    """
    if isinstance(error, PluginError):  # from a decorator, which knows the place but not the plugin's name
        return PluginError(plugin, error.where, _of_dropins(error.text))
    if isinstance(error, SyntaxError) and error.filename:
        return PluginError(plugin, f"{error.filename}:{error.lineno or 1}", f"{during}: syntax error: {error.msg}")
    return PluginError(plugin, place_in(error, home, file), f"{during}: {describe(error)}{_hint(error, home)}")


def place_in(error: BaseException, home: Path, file: Path | None = None) -> str:
    """Return the last line inside `home` in an exception's traceback; `file`, or else `home`, if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _inside(frame.filename, home):
            return f"{frame.filename}:{frame.lineno}"
    return str(file or home)


def describe(error: BaseException) -> str:
    """Return an exception in one line: its type, unless its text contains that, and its text."""
    text = _of_dropins(" ".join(text_of(error).split()))
    if isinstance(error, ImportError) and text:
        return (text[0].lower() + text[1:]).replace("'", '"')
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _of_dropins(text: str) -> str:
    """Replace module names of the drop-in folder by those that the plugin uses: the package's own name is internal."""
    return _DROP_IN.sub("", text)


def _inside(filename: str, home: Path) -> bool:
    path = Path(filename)
    return path == home or home in path.parents


def _hint(error: BaseException, home: Path) -> str:
    """Return how to fix a missing module or name, if known."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _module_hint(error.name, home)
    if isinstance(error, ImportError):
        return _name_hint(error)
    return ""


def _module_hint(name: str, home: Path) -> str:
    folder = home if home.is_dir() else home.parent
    known = _beside(folder)
    bare = _of_dropins(name)
    if bare != name:  # a relative import
        return f"{did_you_mean(bare, sorted(known))} (beside the plugin: {listing(sorted(known))})"
    bare = name.removeprefix(f"{folder.name}.")
    if bare.partition(".")[0] in known:
        return f"; it is a file beside the plugin: write `from .{bare} import …`"
    if name == folder.name:
        return "; what is beside the plugin is imported relatively: write `from .name import …`"
    top = name.partition(".")[0]
    if top == "signalpost":
        return "; plugins import from signalpost itself, as in `from signalpost import signal`"
    if top != name and _is_there(top):
        return f"; {top} is installed, and has no such module"
    return "; install it where signalpost is installed"


def _beside(folder: Path) -> set[str]:
    """Return what a plugin may import from beside itself."""
    files = {file.stem for file in folder.glob("*.py")}
    return files | {file.parent.name for file in folder.glob("*/__init__.py")}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _name_hint(error: ImportError) -> str:
    """Return which name of signalpost was probably meant."""
    missing = _NAME.search(str(error))
    if error.name != "signalpost" or missing is None:
        return ""
    known: list[str] = sorted(sys.modules["signalpost"].__all__)
    return f"{did_you_mean(missing[1], known)} (known: {', '.join(known)})"
