"""A proxy between a node and its Redis, whose target a test may change, and which may be silent, late or lossy."""

import asyncio


class Proxy:
    """Carries bytes to a port of this machine and back.

    Attributes:
        port: that it listens on.
        target: the port that the next connections lead to.
        silent: whether it takes what comes, and hands nothing on: that is lost.
        seconds: by which everything is late.
        refusing: whether it ends each connection that comes.
    """

    def __init__(self, target):
        self.target = target
        self.silent = self.refusing = False
        self.seconds = 0.0
        self._tasks = set()
        self._going = asyncio.Event()
        self._going.set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self):
        """End all connections; new ones may come."""
        for task in self._tasks:
            task.cancel()

    def hold(self):
        """Hand nothing on, and keep it, until `release`."""
        self._going.clear()

    def release(self):
        """Hand on what was held."""
        self._going.set()

    async def _carry(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        ends = [writer]
        try:
            if self.refusing:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer)
            ways = [asyncio.ensure_future(self._pump(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader, writer):
        while data := await reader.read(65_536):
            if self.seconds:
                await asyncio.sleep(self.seconds)
            await self._going.wait()
            if not self.silent:
                writer.write(data)
                await writer.drain()
