"""The entry points of installed packages, even if the metadata of one of them is broken.

`importlib.metadata.entry_points` reads all packages at once, and fails if one cannot be read.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

_SUFFIX = re.compile(r"\.(dist-info|egg-info|egg)$")
_UNKNOWN = "?"


def installed_entries(group: str, notes: list[str]) -> Iterator[EntryPoint]:
    """Yield the entry points of a group; of two packages with one name those of the first, which is imported.

    Args:
        group: of entry points.
        notes: receives the packages that cannot be read, if they have entry points in the group.
    """
    seen: set[str] = set()
    for package in distributions():
        spelling = re.sub(r"[-_.]+", "-", _quick_name(package)).lower()
        if spelling in seen:
            continue
        seen.add(spelling)
        try:
            yield from package.entry_points.select(group=group)
        except Exception as error:  # noqa: BLE001 - files of others may hold anything
            if _mentions(package, group):
                name = package_name(package)
                notes.append(
                    f"the metadata of the installed package {name} cannot be read ({_folder_of(package)}: "
                    f"{type(error).__name__}), so its plugins are not found; install it again"
                )


def package_name(package: Distribution) -> str:
    """Return a package's name; if its metadata lacks it, that of the metadata's folder."""
    try:
        name = package.metadata["Name"]
    except Exception:  # noqa: BLE001 - files of others may hold anything
        name = None
    return name or _SUFFIX.sub("", _folder_of(package).name).partition("-")[0] or _UNKNOWN


def _quick_name(package: Distribution) -> str:
    """Return a package's name without a look into its metadata, which takes a millisecond for every installed package.

    The folder of a wheel's metadata has the name before its first hyphen (PyPA's "Recording installed projects").
    """
    folder = _folder_of(package).name
    return folder.partition("-")[0] if folder.endswith(".dist-info") else package_name(package)


def package_version(package: Distribution) -> str:
    """Return a package's version; if its metadata lacks it, ``?``."""
    try:
        return package.metadata["Version"] or _UNKNOWN
    except Exception:  # noqa: BLE001 - files of others may hold anything
        return _UNKNOWN


def _mentions(package: Distribution, group: str) -> bool:
    try:
        return group.encode() in (_folder_of(package) / "entry_points.txt").read_bytes()
    except OSError:
        return False


def _folder_of(package: Distribution) -> Path:
    return Path(str(getattr(package, "_path", _UNKNOWN)))
