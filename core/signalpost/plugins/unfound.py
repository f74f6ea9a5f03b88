"""Notes on marked functions where discovery does not find them, with what to write instead.

A hidden function in a plugin's own code is an error (`signalpost.plugins.exposed`). Elsewhere it may be intended: in a
module below a package, a helper, a class, a file that nothing imports, a folder that is not a package.
"""

import ast
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from signalpost.plugins.dropins import DropInPackage
from signalpost.plugins.loaded import Loaded, is_function, parts_of
from signalpost.plugins.marks import marked_in, marks_of, where_is

_MARKERS = frozenset({"signal", "route", "timer", "schedule", "feed", "action", "hookimpl"})
_MOST_FILES = 200
_LONGEST = 1_000_000  # maximum of characters of a file that is read


def notes_on_unfound(
    loaded: Sequence[Loaded], package: DropInPackage | None, known: Collection[str], mark: str
) -> Iterator[str]:
    """Yield what is marked and not found.

    Args:
        loaded: the plugins.
        package: the drop-in folder.
        known: the places of what was found, and of its problems.
        mark: the attribute that pluggy writes on an implementation of a hook.
    """
    for each in loaded:
        yield from _in_modules(each, known, mark)
        yield from _in_classes(each, known, mark)
        if _file_of(each.module).name == "__init__.py":
            yield from _in_files(each)
    if package is not None:
        yield from _in_helpers(package, known, mark)
        yield from _in_folders(package.folder)


def _in_modules(loaded: Loaded, known: Collection[str], mark: str) -> Iterator[str]:
    """Yield marked functions in modules below a package that have no name in the package."""
    own, *below = parts_of(loaded.module)
    for part in below:
        for where, what, name in _marked(part, mark):
            if where not in known:
                yield (
                    f"{where}: {what} is in a module below plugin {loaded.name} and is not found there; write "
                    f"`from {part.__name__.removeprefix(own.__name__)} import {name}` in {_file_of(own)}"
                )


def _in_helpers(package: DropInPackage, known: Collection[str], mark: str) -> Iterator[str]:
    prefix = f"{package.name}._"
    for name, part in sorted(sys.modules.items()):
        if not name.startswith(prefix):
            continue
        for where, what, _ in _marked(part, mark):
            if where not in known:
                yield (
                    f"{where}: {what} is in a helper, {_file_of(part).name}, which is no plugin, so nothing finds it; "
                    "move it into a plugin's own file, or call it from there"
                )


def _marked(module: ModuleType, mark: str) -> Iterator[tuple[str, str, str]]:
    """Yield marked functions in the code of a module: place, kind, and name in the code."""
    for function in marked_in(module):
        marks, called = marks_of(function), getattr(function, "__name__", "…")
        for handler in marks.handlers:
            yield handler.where, f'handler "{handler.name}"', called
        for action in marks.actions:
            yield action.where, f'action "{action.name}"', called
        if _has(function, mark):
            yield where_is(function), f"hook {called}", called


def _in_classes(loaded: Loaded, known: Collection[str], mark: str) -> Iterator[str]:
    """Yield hooks marked by pluggy's own marker in classes, where pluggy does not search."""
    seen: set[int] = set()
    for part in parts_of(loaded.module):
        ours = set(map(id, marked_in(part)))
        for name, value in list(vars(part).items()):
            if _has(value, mark) and not is_function(value) and id(value) not in ours:
                yield (
                    f"{_file_of(part)}: hook {name} of plugin {loaded.name} is not called, since it is no function; "
                    f"write `def {name}(…)`, and call it from there"
                )
            owner = value if _is_class(value) else type(value)
            if owner.__module__ != part.__name__ or id(owner) in seen:
                continue
            seen.add(id(owner))
            for attribute, member in _functions_of(owner):
                where = where_is(member)
                if _has(member, mark) and id(member) not in ours and where not in known:
                    yield (
                        f"{where}: hook {attribute} of plugin {loaded.name} is not called, since it is in the class "
                        f"{owner.__name__}; put it into the module itself, below `from signalpost import hookimpl`"
                    )


def _functions_of(owner: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for attribute, member in list(vars(owner).items()):
        plain = member.__func__ if type(member) in (staticmethod, classmethod) else member
        if is_function(plain):
            yield attribute, plain


def _has(value: object, mark: str) -> bool:
    """Return whether an object has a mark; results of its ``__getattr__`` do not count."""
    try:
        return bool(object.__getattribute__(value, "__dict__").get(mark)) and not _is_class(value)
    except AttributeError:
        return False


def _is_class(value: object) -> TypeGuard[type]:
    return issubclass(type(value), type)  # without the object's own attribute access: it may be a proxy


def _in_files(loaded: Loaded) -> Iterator[str]:
    """Yield files of a package that nothing has imported."""
    init = _file_of(loaded.module)
    imported = {_file_of(part) for part in parts_of(loaded.module)}
    for file in _python_files(init.parent):
        if file in imported or (loaded.package and _is_a_test(file, init.parent)) or not (found := marked_names(file)):
            continue
        module = ".".join(file.relative_to(init.parent).with_suffix("").parts).removesuffix(".__init__")
        yield (
            f"{file}:{found[0][1]}: {_listed(found)} of plugin {loaded.name} is not found, since nothing imports this "
            f"file; write `from .{module} import {', '.join(name for name, _ in found)}` in {init}"
        )


def _is_a_test(file: Path, folder: Path) -> bool:
    """Return whether a file of an installed package is one of its tests, which may have handlers of their own."""
    return any(part.startswith("test") or part == "conftest.py" for part in file.relative_to(folder).parts)


def _in_folders(folder: Path) -> Iterator[str]:
    """Yield folders that are not packages, and so not plugins, but contain marked functions."""
    if not folder.is_dir():
        return
    for inner in sorted(folder.iterdir()):
        if inner.name.startswith((".", "_")) or not inner.is_dir() or (inner / "__init__.py").exists():
            continue
        for file in _python_files(inner):
            if found := marked_names(file):
                module = ".".join(file.relative_to(inner).with_suffix("").parts)
                names = ", ".join(name for name, _ in found)
                yield (
                    f"{file}:{found[0][1]}: {_listed(found)} is not found, since the folder {inner.name} is no plugin; "
                    f"write `from .{module} import {names}` into a file {inner / '__init__.py'}, or move this file to "
                    f"{folder}"
                )


def _python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files of a folder, at any depth, except hidden ones; a limited number."""
    for count, file in enumerate(sorted(folder.rglob("*.py"))):
        if count >= _MOST_FILES:
            return
        if not any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(folder).parts):
            yield file


def marked_names(file: Path) -> list[tuple[str, int]]:
    """Return the marked functions of a file, with their lines, without running it."""
    try:
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source) if len(source) <= _LONGEST and "signalpost" in source else None
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    if tree is None:
        return []
    markers = dict(_imported_markers(tree))
    return [
        (node.name, node.lineno)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(_is_marker(decorator, markers) for decorator in node.decorator_list)
    ]


def _imported_markers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names in a file for our decorators, or for their module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "signalpost":
            yield from ((each.asname or each.name, each.name) for each in node.names if each.name in _MARKERS)
            if node.names[0].name == "*":
                yield from zip(_MARKERS, _MARKERS, strict=True)
        elif isinstance(node, ast.Import):
            yield from ((each.asname or each.name, "") for each in node.names if each.name == "signalpost")


def _is_marker(decorator: ast.expr, markers: dict[str, str]) -> bool:
    bare = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(bare, ast.Attribute):
        return isinstance(bare.value, ast.Name) and markers.get(bare.value.id) == "" and bare.attr in _MARKERS
    return isinstance(bare, ast.Name) and bool(markers.get(bare.id))


def _listed(found: Sequence[tuple[str, int]]) -> str:
    more = len(found) - 1
    return found[0][0] + (f" and {more} more" if more else "")


def _file_of(module: ModuleType) -> Path:
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) else Path("?")
