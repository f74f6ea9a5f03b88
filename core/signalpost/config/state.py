"""The section ``state``: the file of the state, and its limits."""

from collections.abc import Sequence
from pathlib import Path

from signalpost.config.datafile import read_data_file
from signalpost.config.model import RouteConfig, StateConfig
from signalpost.config.section import Section
from signalpost.units import parse_room, parse_size

_DEFAULT = StateConfig()


def read_state(root: Section, folder: Path, routes: Sequence[RouteConfig]) -> StateConfig:
    """Read the section ``state``.

    Args:
        root: the whole file.
        folder: base of relative paths.
        routes: of the same file: none may serve the state.
    """
    section = root.section("state")
    if section is None:
        return _DEFAULT
    if "forget" in section and "file" not in section:
        section.problem("forget", "without a file all is forgotten: give one, or leave this out", of_key=True)
    return StateConfig(
        section.keys,
        read_data_file(section, folder, routes, "state.db"),
        section.quantity("limit", parse_size) or _DEFAULT.limit,
        frozenset(section.words("forget")),
        section.quantity("share", parse_room),
    )
