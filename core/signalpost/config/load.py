"""Reads routes.yaml from disk."""

import os
from collections.abc import Mapping
from pathlib import Path

from signalpost.config.check import judge_config
from signalpost.config.disk import read_text
from signalpost.config.doubts import Doubts
from signalpost.config.model import ServerConfig
from signalpost.errors import ConfigError


def load_config(file: str | Path, environment: Mapping[str, str] | None = None) -> ServerConfig:
    """Read and check a routes.yaml; the arguments are those of `read_config`.

    Raises:
        ConfigError: with every problem that could be found, in the order of their places.

    """
    config, doubts = read_config(file, environment)
    if config is None or doubts.problems:
        raise ConfigError(doubts.problems)
    return config


def read_config(
    file: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[ServerConfig | None, Doubts]:
    """Read of a routes.yaml what can be read: see `judge_config`.

    Args:
        file: where it is, as the user names it.
        environment: where variables are looked up; None is the process's own.
        folder: where it is, absolute, if it has been read before: a plugin may have gone to another one since, and
            then a relative name leads elsewhere.

    Raises:
        ConfigError: the file cannot be read at all.

    """
    name = str(file)
    if folder is None:
        folder = Path(os.path.abspath(name)).parent  # noqa: PTH100 - keeps symlinks
        text = read_text(Path(name), name)
    else:
        text = read_text(folder / Path(name).name, name)
    return judge_config(text, file=name, folder=folder, environment=environment)
