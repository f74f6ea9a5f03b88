"""Files and folders that routes.yaml names: relative to its own folder, and there to be read."""

import os
from pathlib import Path

from signalpost.config.neighbours import meant, reason
from signalpost.config.presence import is_file, is_folder
from signalpost.config.section import Section
from signalpost.config.words import quoted


def find_file(section: Section, name: str, folder: Path) -> Path | None:
    """Return the absolute path of the file that a key names; None, and a problem, if it cannot be read."""
    path = _absolute(section, name, folder)
    if path is None:
        return None
    if is_folder(path):
        section.problem(name, f"{quoted(section.data[name])} is a folder; a file is meant here")
        return None
    section.report.files[path] = None
    return path if _is_there(section, name, path, folder, "file") else None


def find_folder(section: Section, name: str, folder: Path) -> Path | None:
    """Return the absolute path of the folder that a key names; None, and a problem, if it cannot be read."""
    path = _absolute(section, name, folder)
    if path is None:
        return None
    if is_file(path):
        section.problem(name, f"{quoted(section.data[name])} is a file; a folder is meant here")
        return None
    return path if _is_there(section, name, path, folder, "folder") else None


def _absolute(section: Section, name: str, folder: Path) -> Path | None:
    text = section.text(name)
    if text is None:
        return None
    if "\0" in text:
        section.problem(name, "a file's name has no null characters")
        return None
    return Path(os.path.normpath(folder / text))


def _is_there(section: Section, name: str, path: Path, folder: Path, kind: str) -> bool:
    """Report a file or folder that is missing, something else, or not ours to read."""
    text = quoted(section.data[name])
    try:
        path.stat()
    except FileNotFoundError:
        slashes = "; folders are parted by /, not by a backslash" if "\\" in text else ""
        section.problem(name, f"no {kind} {text} in the folder of routes.yaml ({path}){meant(path, folder)}{slashes}")
        return False
    except OSError as error:
        section.problem(name, f"the {kind} {text} cannot be read: {reason(error)}")
        return False
    if not (is_file(path) if kind == "file" else is_folder(path)):
        section.problem(name, f"{text} is not a {kind}")
        return False
    needed = os.R_OK if kind == "file" else os.R_OK | os.X_OK
    if not os.access(path, needed):
        section.problem(name, f"the {kind} {text} may not be read by this user")
        return False
    return True
