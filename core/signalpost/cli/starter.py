"""``signalpost new``: the demo app as a starter, with the schema that editors read beside it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from signalpost.config import routes_schema
from signalpost.errors import OperatorError

_PARTS = ("routes.yaml", "plugins", "web")
_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")
SCHEMA_FILE = Path(".signalpost") / "routes.schema.json"


def create_app(folder: Path) -> list[Path]:
    """Copy the starter into a folder that is not there yet, or empty; give what was made, relative to it.

    Raises:
        OperatorError: the folder holds something, or cannot be written.

    """
    source = find_starter()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OperatorError(f"{folder} is there already, and not empty: name a folder that is not")
        folder.mkdir(parents=True, exist_ok=True)
        for name in _PARTS:
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name, ignore=_LEFT_OUT)
            else:
                shutil.copyfile(source / name, folder / name)
        schema = folder / SCHEMA_FILE
        schema.parent.mkdir()
        schema.write_text(json.dumps(routes_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{folder} cannot be written: {error.strerror}") from None
    return sorted(_files(folder))


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


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder)
