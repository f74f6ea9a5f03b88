"""The folder ``.signalpost`` beside a routes.yaml, where commands leave files of their own.

A user who may write beside routes.yaml must not be able to make a server, which may run as root, overwrite another
file. So symbolic links are not followed, for the folder and its files, and new files have names that cannot exist
already.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from signalpost.config.exposure import RECORDS_FOLDER

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting for a writer, in case of a pipe.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST_ADDRESS = 103  # bytes of a Unix socket's; 107 on Linux (unix(7))
_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class UnsafeFolderError(OSError):
    """The folder is a symbolic link, or another user's; the text says so, and how to fix it."""


class OwnFolder:
    """The open folder. Create one with `open`.

    Args:
        descriptor: of the folder.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def open(cls, parent: Path, *, make: bool = False) -> "Iterator[OwnFolder]":
        """Open the folder below `parent` for the length of a block.

        Raises:
            UnsafeFolderError: it must not be used.
            FileNotFoundError: it does not exist, and must not be created.
            OSError: it cannot be opened or created.
        """
        path = parent / RECORDS_FOLDER
        if make:
            with suppress(FileExistsError):
                path.mkdir()
        descriptor = _opened(path)
        try:
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            FileNotFoundError: it does not exist.
            OSError: it cannot be opened, or is not a file but a symbolic link or a pipe.
        """
        descriptor = os.open(name, _READ, dir_fd=self._descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{RECORDS_FOLDER}/{name} is not a file")
        return open(descriptor, "rb")  # noqa: PTH123 - the caller closes it

    def make(self, mode: int) -> tuple[int, str]:
        """Create a new file; return its descriptor, open for writing, and its name."""
        name = self.new_name()
        return os.open(name, _MAKE, mode, dir_fd=self._descriptor), name

    def new_name(self) -> str:
        """Return a name that no file has."""
        return f".new.{os.getpid()}.{secrets.token_hex(8)}"

    def address(self, name: str, path: Path) -> str:
        """Return an address of a Unix socket for a file, valid while the folder is open.

        Args:
            name: of the file.
            path: of the socket; for systems without ``/proc``.

        Raises:
            OSError: it is too long for an address (unix(7)).
        """
        short = f"/proc/self/fd/{self._descriptor}"
        if os.path.isdir(short):  # noqa: PTH112 - a link that only the kernel can follow
            return f"{short}/{name}"
        address = str(path.with_name(name))
        if len(os.fsencode(address)) > _LONGEST_ADDRESS:
            raise OSError(errno.ENAMETOOLONG, f"its path is longer than {_LONGEST_ADDRESS} bytes")
        return address

    def chmod(self, name: str, mode: int) -> None:
        """Change the mode of a file that was just created here."""
        os.chmod(name, mode, dir_fd=self._descriptor)

    def status(self, name: str) -> os.stat_result:
        """Return the status of a file, links not followed.

        Raises:
            FileNotFoundError: it does not exist.
        """
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def rename(self, name: str, new: str) -> None:
        """Replace another file; if that is a symbolic link, replace the link."""
        os.replace(name, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, _DIRECTORY)
    except OSError:
        if path.is_symlink():
            raise UnsafeFolderError(f"{path} is a symbolic link, which is not followed: remove it") from None
        raise
    owner = os.fstat(descriptor).st_uid
    if owner not in (0, os.geteuid()):
        os.close(descriptor)
        raise UnsafeFolderError(f"{path} belongs to another user ({owner}), who could lead what is written there away")
    return descriptor
