"""Histories: the section ``history``, and the key of the same name at a signal."""

import os
from collections.abc import Sequence
from pathlib import Path

from signalpost.config.datafile import data_files, read_data_file
from signalpost.config.model import (
    MOST_REPLAYED,
    HistoryConfig,
    MemoryConfig,
    MessageFormat,
    Rebroadcast,
    RouteConfig,
    StateConfig,
)
from signalpost.config.section import Section
from signalpost.units import parse_duration, parse_size

_DEFAULT = MemoryConfig()

_KEPT_NOWHERE = {
    Rebroadcast.EVERYONE: "what is sent here goes to everyone",
    Rebroadcast.OTHERS: "what is sent here goes to everyone but the sender",
    Rebroadcast.GROUP: "what is sent here goes to groups",
}


def read_memory(root: Section, folder: Path, routes: Sequence[RouteConfig], state: StateConfig) -> MemoryConfig:
    """Read the section ``history``.

    Args:
        root: the whole file.
        folder: base of relative paths.
        routes: of the same file: none may serve the history.
        state: which needs a file of its own.
    """
    section = root.section("history")
    if section is None:
        return _DEFAULT
    file = read_data_file(section, folder, routes, "history.db")
    if file is not None and state.file is not None and _overlap(file, state.file):
        section.problem("file", f"state.file names it already ({root.place('state', 'file')}): each needs its own")
    return MemoryConfig(section.keys, file, section.quantity("limit", parse_size) or _DEFAULT.limit)


def _overlap(one: Path, other: Path) -> bool:
    """Return whether two data files, or what SQLite keeps beside them, are the same on the disk."""
    return not {os.path.realpath(each) for each in data_files(one)}.isdisjoint(map(os.path.realpath, data_files(other)))


def read_history(signal: Section) -> HistoryConfig | None:
    """Read the key ``history`` of a signal: a number of values, or a mapping."""
    if "history" not in signal:
        return None
    mapping = signal.section("history")
    config = HistoryConfig(signal.whole("history", 1)) if mapping is None else _read_mapping(mapping)
    if signal.data.get("format") == MessageFormat.RAW.value:
        signal.problem(
            "history", "format: raw relays frames unread, and none carries a position: leave it out", of_key=True
        )
        return config
    acts = "do" in signal or "handler" in signal
    goes = signal.choice("rebroadcast", Rebroadcast, Rebroadcast.EVERYONE)
    if not acts and goes in _KEPT_NOWHERE:
        signal.problem(
            "history",
            f"{_KEPT_NOWHERE[goes]}, and history keeps what is sent to a path; say rebroadcast: path (or none, if only "
            "the app sends here)",
            of_key=True,
        )
    return config


def _read_mapping(section: Section) -> HistoryConfig:
    keep = section.whole("keep", 1)
    replay = section.whole("replay", 0)
    if "keep" in section and keep < replay <= MOST_REPLAYED:
        section.problem("replay", f"{replay:,} are more than the {keep:,} that are kept (keep)")
    return HistoryConfig(keep, section.quantity("for", parse_duration) or HistoryConfig(1).seconds, replay)
