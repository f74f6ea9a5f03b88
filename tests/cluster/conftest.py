"""Nodes of one process that share a backplane in memory."""

import contextlib
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.node import NO_SEAMS
from signalpost.testing import serve

sys.path.insert(0, str(Path(__file__).parent))  # for `virtualnodes`, which several tests here use


class Nodes:
    """The nodes of one app.

    Attributes:
        shared: what they share.

    """

    def __init__(self):
        self.shared = MemoryServer()
        self._stack = AsyncExitStack()

    async def start(self, text, seams=NO_SEAMS, **options):
        """Start another node, and return its app; `app.backplane` is its connection."""
        backplane = MemoryBackplane(self.shared)
        seams = replace(seams, backplane=backplane)
        app = await self._stack.enter_async_context(serve(text, seams=seams, **options))
        app.backplane = backplane
        return app

    @contextlib.asynccontextmanager
    async def pair(self, text, **options):
        yield await self.start(text, **options), await self.start(text, **options)


@pytest.fixture
async def nodes():
    made = Nodes()
    yield made
    await made._stack.aclose()
