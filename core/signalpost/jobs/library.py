"""APScheduler, which reads the metadata of all packages on import: unreadable metadata must not stop the import."""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoints

from signalpost.plugins.entries import installed_entries


def _entry_points(*, group: str) -> EntryPoints:
    """Replace `importlib.metadata.entry_points`, which raises if one package's entry points cannot be read."""
    return EntryPoints(installed_entries(group, []))


@contextmanager
def _tolerant() -> Iterator[None]:
    before = importlib.metadata.entry_points
    importlib.metadata.entry_points = _entry_points  # type: ignore[assignment]  # no more is asked of it
    try:
        yield
    finally:
        importlib.metadata.entry_points = before


with _tolerant():
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.triggers.base import BaseTrigger

__all__ = ["AsyncIOScheduler", "BaseTrigger"]
