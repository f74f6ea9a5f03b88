"""Checks whether other users of the machine may change the code of a plugin.

A user who may write or replace a plugin's file controls the server. The file is checked, and every folder on the path
to it, including symbolic links. Only write access for *everybody* counts: groups are managed by the administrator, and
many systems make files writable for the group of their only user.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # maximum that Linux follows
_CODE = (".py", ".pyc", ".so")


@dataclass(frozen=True, slots=True)
class Exposed:
    """A file or folder by which other users may change a plugin.

    Attributes:
        text: what is wrong and how to fix it.
    """

    path: Path
    text: str


class Trust:
    """Checks files, each path once.

    Args:
        owners: user ids whose files are trusted in a folder that everybody may write, such as ``/tmp``.
    """

    def __init__(self, owners: Sequence[int] = ()) -> None:
        self._owners = {0, os.geteuid(), *owners}
        self._found: dict[Path, Exposed | None] = {}

    def exposed(self, path: Path) -> Iterator[Exposed]:
        """Yield the exposed parts of a file, or of a folder in which everything counts, and of the path to it."""
        *way, end = _way(path)
        for step in way:
            yield from self._judged(step)
        yield from self._judged(end, sticky_helps=False)

    def exposed_tree(self, folder: Path) -> Iterator[Exposed]:
        """Yield the exposed parts of an installed package: its folder, the folders in it, and the code in them."""
        yield from self.exposed(folder)
        for home, _, names in os.walk(folder):
            yield from self._judged(Path(home), sticky_helps=False)
            for name in names:
                if name.endswith(_CODE):
                    yield from self.exposed(Path(home, name))

    def _judged(self, path: Path, *, sticky_helps: bool = True) -> Iterator[Exposed]:
        if path not in self._found:
            self._found[path] = self._judge(path, sticky_helps=sticky_helps)
        found = self._found[path]
        if found is not None:
            yield found

    def _judge(self, path: Path, *, sticky_helps: bool) -> Exposed | None:
        try:
            status, above = path.stat(), path.parent.stat()
        except OSError:  # the code that reads the file reports it
            return None
        mode = stat.S_IMODE(status.st_mode)
        if mode & stat.S_IWOTH and not (mode & stat.S_ISVTX and sticky_helps):
            return Exposed(
                path, f"{path} may be changed by every user of this machine (its mode is {mode:o}): chmod o-w {path}"
            )
        if _shared(above.st_mode) and status.st_uid not in self._owners:
            return Exposed(
                path,
                f"{path} was put into {path.parent}, which every user of this machine may write, by "
                f"another user (its owner is {status.st_uid}): move it, or chown it if it is yours",
            )
        return None


def is_root() -> bool:
    """Return whether this process has all permissions, so that changing its code gives them away."""
    return os.geteuid() == 0


def owner_of(path: Path) -> tuple[int, ...]:
    """Return the user id of a path's owner; nothing if the path does not exist."""
    try:
        return (path.stat().st_uid,)
    except OSError:
        return ()


def _shared(mode: int) -> bool:
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def _way(path: Path) -> Iterator[Path]:
    """Yield every folder on the way to a path, and its final target, through symbolic links."""
    rest = list(reversed(path.absolute().parts))
    here = Path(rest.pop())
    links = 0
    yield here
    while rest:
        part = rest.pop()
        step = here.parent if part == os.pardir else here / part
        if step.is_symlink() and links < _MOST_LINKS:
            links += 1
            rest.extend(reversed(step.readlink().parts))
            if rest and rest[-1] == os.sep:
                here = Path(rest.pop())
            continue
        here = step
        yield here
