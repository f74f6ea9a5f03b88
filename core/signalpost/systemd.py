"""What systemd and a service tell each other: states by sd_notify(3), and the sockets of socket activation.

Both are small protocols over environment variables, and need no library. Nothing here does anything for a process that
systemd has not started: then the variables are missing.
"""

import fcntl
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from signalpost.errors import ListenError

LOG = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
"""Of the sockets that are passed (``SD_LISTEN_FDS_START``)."""

LONGEST_STATUS = 500
"""Characters of a status; systemd drops a whole message of more than 4,096 bytes."""

_PATIENCE = 1.0  # seconds that a state may wait for systemd, which reads at once unless the machine is stuck
_UNNAMED = "unknown"  # what systemd calls a socket without a name
_PORT, _UNIX = "one with an address and port", "a Unix socket"
_WAYS = 2  # pings in the time in which systemd expects one

CallLater = Callable[[float, Callable[[], None]], Any]


class Notifier:
    """Tells systemd the states of a service (``Type=notify``); does nothing if it is not asked to.

    A message that cannot be sent is logged once, and never raises: the service goes on.

    Args:
        address: of the datagram socket that systemd listens on, as in ``NOTIFY_SOCKET``; empty for none.
        every: seconds in which systemd expects a ping of the watchdog; 0 for no watchdog.
    """

    def __init__(self, address: str = "", every: float = 0.0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every = every
        self._failed = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "Notifier":
        """Return the notifier that the variables ask for, and remove them: no child may speak for this process."""
        address = environment.pop("NOTIFY_SOCKET", "")
        usec, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        watched = usec.isascii() and usec.isdigit() and process in ("", str(os.getpid()))
        if address and not address.startswith(("/", "@")):
            LOG.warning("NOTIFY_SOCKET is %r, which is no Unix socket: systemd is told nothing", address)
            address = ""
        return cls(address, int(usec) / 1e6 if watched and address else 0.0)

    def ready(self, status: str) -> None:
        """Report that the service has started, or has ended a reload, and what it does now."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Report that a reload begins; `ready` ends it, however it went.

        The time is that of systemd's own clock: so it knows that this answers the signal that it has just sent
        (``Type=notify-reload``).
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self, seconds: float) -> None:
        """Report that the service stops, and how long that may take at most."""
        self._send("STOPPING=1", "STATUS=stopping", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def status(self, status: str) -> None:
        """Report what the service does, in a line."""
        self._send(_status(status))

    def watch(self, call_later: CallLater) -> None:
        """Send the pings of the watchdog for as long as the loop turns.

        Args:
            call_later: runs a function after a number of seconds (``loop.call_later``).
        """
        if self._every:
            self._send("WATCHDOG=1", patience=0.0)
            call_later(self._every / _WAYS, lambda: self.watch(call_later))

    def _send(self, *lines: str, patience: float = _PATIENCE) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(patience)
                sock.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except BlockingIOError:
            pass  # a ping, and the next one follows
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                LOG.warning("systemd cannot be told what this service does: %s", error)


def _status(text: str) -> str:
    """Return a status as one line without control characters: a further line would be another message."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return f"STATUS={line if len(line) <= LONGEST_STATUS else line[: LONGEST_STATUS - 1] + '…'}"


class PassedSockets:
    """The listening sockets that systemd has passed, by the names of endpoints.

    They are kept open for as long as the process lives: a reload may take an endpoint away and bring it back.

    Args:
        sockets: by name, which is ``FileDescriptorName=`` of the socket's unit.
    """

    def __init__(self, sockets: Mapping[str, Collection[socket.socket]] | None = None) -> None:
        self._sockets = dict(sockets or {})

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "PassedSockets":
        """Return the sockets that the variables tell of, and remove those; none if they are for another process.

        Raises:
            ListenError: a descriptor is no listening stream socket.
        """
        process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        environment.pop("LISTEN_PIDFDID", None)
        if process != str(os.getpid()) or not (count.isascii() and count.isdigit()):
            return cls()
        found: dict[str, list[socket.socket]] = {}
        for index in range(int(count)):
            name = names[index] if index < len(names) and names[index] else _UNNAMED
            found.setdefault(name, []).append(_listening(FIRST_DESCRIPTOR + index, name))
        return cls(found)

    def __contains__(self, name: object) -> bool:
        return name in self._sockets

    def take(self, name: str, *, unix: bool) -> list[socket.socket]:
        """Return duplicates of the sockets for an endpoint; none if there are none of its name.

        Args:
            name: of the endpoint.
            unix: whether its address is that of a Unix socket.

        Raises:
            ListenError: a socket is of the other kind.
        """
        found = self._sockets.get(name, ())
        for sock in found:
            if (sock.family == socket.AF_UNIX) is not unix:
                passed, declared = (_PORT, _UNIX) if unix else (_UNIX, _PORT)
                raise ListenError(
                    f"systemd passes {passed}, and it is {declared}: change its address, or ListenStream="
                )
        return [sock.dup() for sock in found]

    def close(self) -> None:
        """Close them; systemd still holds its own."""
        for each in self._sockets.values():
            for sock in each:
                sock.close()

    def check(self, endpoints: Collection[str], place: str) -> None:
        """Check that each socket has an endpoint: nobody would ever answer who connects to it.

        Args:
            endpoints: the names that there are.
            place: of their list.

        Raises:
            ListenError: one has none.
        """
        for name in self._sockets:
            if name not in endpoints:
                known = ", ".join(endpoints)
                raise ListenError(
                    f'{place}: systemd passes a socket named "{name}", and no endpoint has this name '
                    f"(there are: {known}): write FileDescriptorName= with one of these in the unit of the socket"
                )


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd has to do with this process, if it has started it.

    Attributes:
        notifier: tells it the states of the server.
        passed: the sockets that it holds.
    """

    notifier: Notifier = field(default_factory=Notifier)
    passed: PassedSockets = field(default_factory=PassedSockets)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "Unit":
        """Read the variables that systemd has set, and remove them.

        Raises:
            ListenError: a socket that is passed cannot be used.
        """
        return cls(Notifier.from_environment(environment), PassedSockets.from_environment(environment))


def _listening(descriptor: int, name: str) -> socket.socket:
    """Return the socket of a descriptor that was passed, not blocking and not for children.

    Raises:
        ListenError: it is none that listens.
    """
    where = f'systemd passes descriptor {descriptor}, named "{name}"'
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ListenError(f"{where}, which is no socket: only ListenStream= is served")
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(f"{where}, which cannot be used: {(error.strerror or str(error)).lower()}") from None
    if why := _why_not(sock):
        sock.close()
        raise ListenError(f"{where}, which {why}")
    sock.setblocking(False)
    return sock


def _why_not(sock: socket.socket) -> str:
    """Return why a socket that was passed cannot be served; empty if it can."""
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        return "is no stream socket: only ListenStream= is served"
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return "" if listens else "does not listen: write Accept=no in the unit of the socket"
