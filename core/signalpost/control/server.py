"""The server's side of the control socket."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from signalpost.control.commands import Request, run_command
from signalpost.control.protocol import LONGEST_REQUEST, PATIENCE, ControlError, answer_line, read_request
from signalpost.errors import OperatorError
from signalpost.operations.operator import Operator

LOG = logging.getLogger(__name__)

MOST = 8
"""Connections at once; further ones are told that the server is busy."""

_ROOT = 0
_PEER = struct.Struct("3i")  # struct ucred: process, user, group (unix(7))


class ControlServer:
    """Answers requests on a socket that only its owner can connect to.

    Args:
        listening: bound, with the mode 0600, and listening.
        operator: does what is asked.
        patience: seconds that a peer may take for its request, and to read the answer.
    """

    def __init__(self, listening: socket.socket, operator: Operator, patience: float = PATIENCE) -> None:
        self._listening = listening
        self._operator = operator
        self._patience = patience
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Start answering."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._listening, limit=LONGEST_REQUEST)

    async def stop(self) -> None:
        """Stop answering; the connections that there are end."""
        if self._server is not None:
            self._server.close()
        else:
            self._listening.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine is run by one
        self._serving.add(task)
        try:
            async with asyncio.timeout(self._patience):
                writer.write(answer_line(await self._answer(reader, writer)))
                await writer.drain()
                writer.write_eof()
                while await reader.read(LONGEST_REQUEST):
                    pass  # closing before everything is read would reset the answer
        except (TimeoutError, OSError, ValueError):
            pass  # a peer that says nothing, says too much, or has gone
        finally:
            self._serving.discard(task)
            with suppress(OSError):
                writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, Any] | ControlError:
        if len(self._serving) > MOST:
            return ControlError("busy", "too many commands ask this server at once; try again")
        try:
            by = _owner_of(writer.get_extra_info("socket"))
            try:
                line = await reader.readline()
            except ValueError:  # longer than the limit
                raise ControlError("bad-request", f"a request has {LONGEST_REQUEST:,} bytes at most") from None
            command, options = read_request(line)
            return await self._done(command, Request(self._operator, by, options))
        except ControlError as error:
            return error

    async def _done(self, command: str, request: Request) -> Mapping[str, Any]:
        try:
            return await run_command(command, request)
        except ControlError:
            raise
        except (TypeError, ValueError) as error:
            raise ControlError("bad-request", str(error)) from None
        except OperatorError as error:
            raise ControlError("refused", str(error)) from None
        except Exception:
            LOG.exception("the command %s of %s failed", command, request.by)
            raise ControlError("failed", "the server failed at it; its log says more") from None


def _owner_of(sock: socket.socket) -> str:
    """Return who is at the other end, for the log.

    Raises:
        ControlError: it is neither this server's user nor root. The socket's mode says the same, where that counts.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return "a command"
    process, user, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in (_ROOT, os.geteuid()):
        raise ControlError("forbidden", "only the user that runs the server may do this")
    return f"a command (process {process} of uid {user})"
