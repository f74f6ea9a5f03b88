"""Converts the text of routes.yaml to a `ServerConfig`, or to all its problems."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from signalpost.config.actions import ActionRule, StepReader
from signalpost.config.api import read_api
from signalpost.config.auth import auth_notes, read_auth
from signalpost.config.backplane import backplane_notes, check_beside, hide_password, read_backplane
from signalpost.config.endpoints import read_endpoints
from signalpost.config.exposure import check_served, exposure_notes, private_paths, with_data
from signalpost.config.feeds import read_feeds
from signalpost.config.gaps import Gaps, gaps_of
from signalpost.config.history import read_memory
from signalpost.config.jobs import read_schedules, read_timers
from signalpost.config.limits import read_limits
from signalpost.config.model import Breadth, PluginsConfig, ServerConfig
from signalpost.config.monitor import monitor_notes, read_monitor
from signalpost.config.proxies import proxy_notes
from signalpost.config.routes import read_routes
from signalpost.config.schema.definition import compose_schema
from signalpost.config.schema.judge import check_shape
from signalpost.config.section import Section, check_names, find_folder
from signalpost.config.signals import read_signals
from signalpost.config.state import read_state
from signalpost.errors import ConfigError, Problem
from signalpost.yaml.disk import read_text
from signalpost.yaml.nodes import plain
from signalpost.yaml.report import Report
from signalpost.yaml.source import Source
from signalpost.yaml.surroundings import Surroundings
from signalpost.yaml.tree import read_tree

DEFAULT_PLUGINS_FOLDER = "plugins"
_EMPTY = (
    "the file says nothing; it needs at least endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]"
)


Actions = Mapping[str, ActionRule]


def parse_config(
    text: str, *, file: str, folder: Path, actions: Actions, environment: Mapping[str, str] | None = None
) -> ServerConfig:
    """Read and check routes.yaml.

    Args:
        text: of the file.
        file: as named by the user, for problems.
        folder: base of relative paths; absolute.
        actions: the built-in ones, by name.
        environment: for variables; None is the process's own.

    Raises:
        ConfigError: with every problem that could be found, in the order of their places.
    """
    config, gaps = judge_config(text, file=file, folder=folder, actions=actions, environment=environment)
    if config is None or gaps.problems:
        raise ConfigError(gaps.problems)
    return config


def judge_config(
    text: str, *, file: str, folder: Path, actions: Actions, environment: Mapping[str, str] | None = None
) -> tuple[ServerConfig | None, Gaps]:
    """Read the valid parts of routes.yaml, and report problems of the rest; the arguments are those of `parse_config`.

    Returns:
        The configuration, without the parts that could not be read, and the problems. It is None, and there are
        problems, if nothing could be read.
    """
    outside = Surroundings(folder, file, os.environ if environment is None else environment)
    tree = read_tree(text.removeprefix("\ufeff"), file, outside)
    source = Source(tree)
    data = None if tree.root is None else plain(tree.root)
    hide_password(data, source)
    report = Report(source, tree.faults, tree.unread)
    report.files |= dict.fromkeys((outside.path, *tree.files))
    if tree.root is None:
        return None, Gaps(report.problems or (Problem(file, 0, 0, "", _EMPTY),))
    check_shape(data, compose_schema({name: each.schema for name, each in actions.items()}), report)
    if not isinstance(data, dict):
        return None, Gaps(report.problems)
    root = Section((), data, report)
    config = _read(root, source, folder, tree.files, StepReader(actions))
    return config, gaps_of(report, root, config)


def _read(root: Section, source: Source, folder: Path, composed: Sequence[Path], reader: StepReader) -> ServerConfig:
    """Read all valid parts; problems are added to the report. `composed` are included files."""
    endpoints = read_endpoints(root, folder)
    routes = read_routes(root, endpoints, folder, reader)
    signals = read_signals(root, endpoints, folder, reader)
    check_names((*root.sections("timers"), *root.sections("schedules")), "job")
    check_names(root.sections("feeds"), "feed")
    plugins = _read_plugins(root, folder)
    auth = read_auth(root, folder)
    key_files = [auth.tokens.file] if auth is not None and auth.tokens is not None and auth.tokens.file else []
    private = private_paths(root.report, (*composed, *key_files), endpoints.configs, plugins.folder, folder)
    check_served(root.report, routes, private)
    state = read_state(root, folder, routes)
    history = read_memory(root, folder, routes, state)
    limits = read_limits(root, signals)
    backplane = read_backplane(root)
    check_beside(root, history, auth)
    monitor = read_monitor(root, endpoints, routes)
    handlers = root.mapping("handlers")
    return ServerConfig(
        file=source.file,
        folder=folder,
        endpoints=endpoints.configs,
        plugins=plugins,
        routes=routes,
        signals=signals,
        timers=read_timers(root, reader),
        schedules=read_schedules(root, reader),
        undeclared_refused=root.text("undeclared") == "refuse",
        unbound=frozenset(name for name, word in handlers.items() if word == "off"),
        bound=frozenset(name for name, word in handlers.items() if word == "on"),
        limits=limits,
        state=state,
        source=source,
        files=tuple(root.report.files),
        notes=(
            *exposure_notes(root.report, folder),
            *auth_notes(root, auth),
            *proxy_notes(root.report, endpoints.configs, limits),
            *backplane_notes(root, backplane),
            *monitor_notes(root, monitor, endpoints.configs),
        ),
        private=with_data(private, state.file, history.file),
        constants=root.mapping("constants"),
        history=history,
        feeds=read_feeds(root, folder, reader),
        auth=auth,
        broadest=root.choice("broadest", Breadth, Breadth.EVERYONE),
        backplane=backplane,
        api=read_api(root, endpoints, routes, auth),
        monitor=monitor,
    )


def _read_plugins(root: Section, folder: Path) -> PluginsConfig:
    section = root.section("plugins")
    default = folder / DEFAULT_PLUGINS_FOLDER
    if section is None:
        return PluginsConfig(default)
    return PluginsConfig(
        folder=find_folder(section, "folder", folder) or default,
        enable=section.words("enable") if "enable" in section else None,
        disable=section.words("disable"),
        installed=section.words("installed") if "installed" in section else None,
        settings=section.mapping("settings"),
    )


def load_config(file: str | Path, actions: Actions, environment: Mapping[str, str] | None = None) -> ServerConfig:
    """Read and check a routes.yaml; the arguments are those of `read_config`.

    Raises:
        ConfigError: with every problem that could be found, in the order of their places.
    """
    config, gaps = read_config(file, actions, environment)
    if config is None or gaps.problems:
        raise ConfigError(gaps.problems)
    return config


def read_config(
    file: str | Path, actions: Actions, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[ServerConfig | None, Gaps]:
    """Read the valid parts of a routes.yaml: see `judge_config`.

    Args:
        file: its path, as named by the user.
        actions: the built-in ones, by name.
        environment: for variables; None is the process's own.
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
    return judge_config(text, file=name, folder=folder, actions=actions, environment=environment)
