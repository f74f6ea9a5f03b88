"""Unix sockets that an endpoint listens on, and their files."""

import os
import socket
import stat

from signalpost.errors import ListenError


def bind_unix(path: str, backlog: int) -> socket.socket:
    """Listen at a path; the file that a killed server has left there is replaced.

    Raises:
        ListenError: it cannot be used, or another server listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_way(path)
        sock.bind(path)
        sock.listen(backlog)
        sock.setblocking(False)
    except ListenError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise ListenError(f"{path} cannot be used: {(error.strerror or str(error)).lower()}") from None
    return sock


def _make_way(path: str) -> None:
    """Delete the socket file that a killed server has left behind.

    Raises:
        ListenError: a server listens there, or it is not a socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path} exists, and is no socket: choose another path, or remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - as os.lstat
            return
        except BlockingIOError:  # its backlog is full
            pass
    raise ListenError(f"{path} is in use by another program: stop that one, or choose another path")


def file_identity(path: str) -> tuple[int, int]:
    """Return the identity of a file; that of a missing file equals no file's."""
    try:
        found = os.stat(path)  # noqa: PTH116 - never a Path where the system has a text
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino
