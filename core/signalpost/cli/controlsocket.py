"""The file of the control socket: ``.signalpost/NAME.sock`` in the folder of the file NAME that a server runs from.

The address of a Unix socket has 107 bytes at most (unix(7)). So where the system has ``/proc``, the folder is named by
its descriptor, which is short, and cannot be led elsewhere between two calls.
"""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from signalpost.cli.ownfolder import OwnFolder, UnsafeFolderError
from signalpost.config.exposure import RECORDS_FOLDER
from signalpost.control.protocol import LONGEST_ANSWER, PATIENCE, ControlError, read_answer, request_line
from signalpost.errors import OperatorError

_BACKLOG = 8
_PIECE = 65_536


class NoServerError(OperatorError):
    """No server runs from a file, or it has no control socket."""


class ControlSocket:
    """A control socket that a server listens on. Create one with `open`.

    Args:
        listening: for the server, which closes it.
        path: of its file.
        identity: of that file: its device and inode.
    """

    def __init__(self, listening: socket.socket, path: Path, identity: tuple[int, int]) -> None:
        self.listening = listening
        self._path = path
        self._identity = identity

    @classmethod
    def open(cls, file: str) -> "ControlSocket | str":
        """Listen for commands about the server that runs from a file; return why not if that cannot be.

        What a dead server has left is replaced. A server that lives keeps it: commands reach the one that was started
        first.
        """
        path = socket_path(file)
        try:
            with OwnFolder.open(path.parent.parent, make=True) as folder:
                other = _connected(folder, path)
                if other is None:
                    return cls._bound(folder, path)
                other.close()
                return f"another server runs from {file} already: commands such as kick reach that one, not this one"
        except UnsafeFolderError as error:
            return f"{error}; so commands such as kick do not reach this server"
        except OSError as error:
            reason = error.strerror or str(error)
            return f"{path} cannot be made ({reason.lower()}), so commands such as kick do not reach this server"

    @classmethod
    def _bound(cls, folder: OwnFolder, path: Path) -> "ControlSocket":
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = folder.new_name()
        try:
            listening.bind(folder.address(name, path))
            # Nobody can connect before it listens, so nobody could before this.
            folder.chmod(name, 0o600)
            listening.listen(_BACKLOG)
            status = folder.status(name)
            folder.rename(name, path.name)
        except OSError:
            listening.close()
            folder.remove(name)
            raise
        listening.setblocking(False)
        return cls(listening, path, (status.st_dev, status.st_ino))

    def remove(self) -> None:
        """Remove the file, unless another server has put its own there."""
        self.listening.close()
        with suppress(OSError), OwnFolder.open(self._path.parent.parent) as folder:
            status = folder.status(self._path.name)
            if (status.st_dev, status.st_ino) == self._identity:
                folder.remove(self._path.name)


def socket_path(file: str) -> Path:
    """Return the path of the control socket of servers that run from a file."""
    path = Path(os.path.abspath(file))  # noqa: PTH100 - keeps symlinks, as reading the file does
    return path.parent / RECORDS_FOLDER / f"{path.name}.sock"


def ask_server(file: str, command: str, **options: object) -> dict[str, object]:
    """Ask the server that runs from a file; return its answer.

    Args:
        file: its routes.yaml.
        command: see `signalpost.control.commands`.
        options: of the command; None is left out.

    Raises:
        NoServerError: no server is there.
        OperatorError: it does not answer, or does not do it.
    """
    path = socket_path(file)
    try:
        with OwnFolder.open(path.parent.parent) as folder:
            asked = _connected(folder, path)
    except (FileNotFoundError, NotADirectoryError):
        asked = None
    except OSError as error:
        raise OperatorError(f"{path} cannot be used: {error.strerror or error}") from None
    if asked is None:
        raise NoServerError(
            f"no server runs from {file}, or it has no control socket ({path}); start one with: signalpost run"
        )
    with asked:
        try:
            asked.sendall(request_line(command, options))
            return dict(read_answer(_line(asked)))
        except ControlError as error:
            raise OperatorError(error.detail) from None
        except OSError as error:
            raise OperatorError(f"the server does not answer: {error.strerror or error}") from None


def _line(asked: socket.socket) -> bytes:
    found = bytearray()
    while not found.endswith(b"\n") and len(found) <= LONGEST_ANSWER and (piece := asked.recv(_PIECE)):
        found += piece
    return bytes(found)


def _connected(folder: OwnFolder, path: Path) -> socket.socket | None:
    """Return a connection to the server that lives there; None if none does.

    Raises:
        OSError: what is there cannot be used.
    """
    try:
        if not stat.S_ISSOCK(folder.status(path.name).st_mode):
            return None
    except FileNotFoundError:
        return None
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asked.settimeout(PATIENCE)
    try:
        asked.connect(folder.address(path.name, path))
    except (ConnectionRefusedError, FileNotFoundError):
        asked.close()
        return None
    except BaseException:
        asked.close()
        raise
    return asked
