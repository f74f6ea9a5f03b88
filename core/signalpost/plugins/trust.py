"""Tells whether other users of the machine may change the code of a plugin.

Whoever may write a plugin's file, or put another one in its place, decides what the server does. The file is judged,
and every folder on the way to it, symbolic links included. Only what *everybody* may write counts: groups are made by
whoever runs the machine, and many systems make files writable for the group of their only user.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # what Linux follows
_CODE = (".py", ".pyc", ".so")


@dataclass(frozen=True, slots=True)
class Exposed:
    """A file or folder by which other users may change a plugin.

    Attributes:
        text: what is wrong and what to do about it.

    """

    path: Path
    text: str


class Trust:
    """Judges files, each path once.

    Args:
        owners: user ids of those whose files may stand in a folder that everybody may write, such as ``/tmp``.

    """

    def __init__(self, owners: Sequence[int] = ()) -> None:
        self._owners = {0, os.geteuid(), *owners}
        self._found: dict[Path, Exposed | None] = {}

    def exposed(self, path: Path) -> Iterator[Exposed]:
        """Yield what is exposed of a file, or of a folder in which everything counts, and on the way there."""
        *way, end = _way(path)
        for step in way:
            yield from self._judged(step)
        yield from self._judged(end, sticky_helps=False)

    def exposed_tree(self, folder: Path) -> Iterator[Exposed]:
        """Yield what is exposed of an installed package: its folder, the folders in it, and the code in them."""
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
        except OSError:  # whoever reads the file says so
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
    """Return whether this process may do everything, so that whoever changes its code may, too."""
    return os.geteuid() == 0


def owner_of(path: Path) -> tuple[int, ...]:
    """Return the user id of a path's owner; nothing if there is no such path."""
    try:
        return (path.stat().st_uid,)
    except OSError:
        return ()


def _shared(mode: int) -> bool:
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def _way(path: Path) -> Iterator[Path]:
    """Yield every folder on the way to a path, and what it is in the end, through symbolic links."""
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
