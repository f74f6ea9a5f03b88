"""``signalpost new``: the demo app as a starter, with the schema that editors read beside it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from signalpost.cli.appschema import SCHEMA_FILE, app_schema, write_schema
from signalpost.cli.pluginstarter import plugin_files
from signalpost.errors import OperatorError

_PARTS = ("routes.yaml", "plugins", "web")
_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent


def create_app(folder: Path) -> list[Path]:
    """Copy the starter into a folder that is not there yet, or empty; give what was made, relative to it.

    Raises:
        OperatorError: the folder holds something, or cannot be written.

    """
    source = find_starter()
    try:
        _check_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        made = sorted(_files(source))
        for name in made:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not its mode: what was installed may be read-only. And nothing that has come there meanwhile.
            with (source / name).open("rb") as original, target.open("xb") as copy:
                shutil.copyfileobj(original, copy)
        write_schema(folder, app_schema(folder / "routes.yaml"))
    except OSError as error:
        raise _not_made(folder, error) from None
    return [SCHEMA_FILE, *made]


def create_plugin(folder: Path) -> list[Path]:
    """Make an installable plugin in a folder that is not there yet, or empty; give what was made, relative to it.

    Raises:
        OperatorError: the folder holds something, cannot be written, or its name is none for a package.

    """
    files = plugin_files(folder)
    try:
        _check_empty(folder)
        for name, text in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise _not_made(folder, error) from None
    return list(files)


def _not_made(folder: Path, error: OSError) -> OperatorError:
    reason = (error.strerror or str(error)).lower()
    at = "" if error.filename in (None, str(folder)) else f" ({error.filename})"
    return OperatorError(f"the folder {folder} cannot be made: {reason}{at}")


def _check_empty(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OperatorError(f"the folder {folder} is not empty: name one that is, or that is not there yet")
    elif folder.exists() or folder.is_symlink():
        raise OperatorError(f"{folder} is there already, and no folder: choose another name")


def find_starter() -> Path:
    """Find the starter: inside an installed package, or the checkout that an editable install points to.

    The checkout comes first: an editable install may hold a stale copy.
    """
    for candidate in (_CHECKOUT, _PACKAGE / "starter"):
        if all((candidate / name).exists() for name in _PARTS) and _is_ours(candidate):
            return candidate
    raise OperatorError("this installation of signalpost lacks its starter app: install it again")


def _is_ours(candidate: Path) -> bool:
    """Tell the checkout from whatever folder an installed package happens to lie in."""
    return candidate.name == "starter" or (candidate / "core" / "signalpost").resolve() == _PACKAGE


def _files(source: Path) -> Iterator[Path]:
    """Yield the files of the starter, relative to it; not what Python and editors leave beside them."""
    for part in _PARTS:
        for path in (source / part, *(source / part).rglob("*")):
            name = path.relative_to(source)
            if path.is_file() and path.suffix != ".pyc" and not any(each.startswith(".") for each in name.parts):
                yield name
