"""The key ``backplane``: what joins several nodes, and what else the file must say then, or may not."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

from signalpost.config.authmodel import AuthConfig
from signalpost.config.backplanemodel import BackplaneConfig, Lost
from signalpost.config.backplaneurl import parse_url, secrets_of
from signalpost.config.model import MemoryConfig, ServerConfig
from signalpost.config.section import Section
from signalpost.config.tokens import MAKE_SECRET
from signalpost.errors import ConfigError
from signalpost.units import parse_wait
from signalpost.words import quoted
from signalpost.yaml.source import Source

_KEY = "backplane"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PACKAGES = ("redis", "hiredis")
_INSTALL = "pip install 'signalpost[redis]'"


def hide_password(data: Any, source: Source) -> None:
    """Hide the password in the URL of a backplane from all output, also where it stands in routes.yaml itself.

    Args:
        data: the whole file, of any shape: a problem of its shape shows no password either.
        source: of its places.
    """
    said = data.get(_KEY) if isinstance(data, dict) else None
    for text in said.values() if isinstance(said, dict) else (said,):
        if isinstance(text, str):
            for password, around in secrets_of(text):
                source.hide(password, around)
                source.hide(unquote(password))


def read_backplane(root: Section) -> BackplaneConfig | None:
    """Read the key ``backplane``: a URL, or a mapping. Without it, a node knows no other one."""
    section = root.section(_KEY)
    if section is None:
        url = root.parsed(_KEY, parse_url)
        return None if url is None else BackplaneConfig((_KEY,), url)
    url = section.parsed("url", parse_url)
    name = section.parsed("name", _parse_name)
    patience = section.quantity("patience", parse_wait)
    default = BackplaneConfig(section.keys, "")
    if url is None:
        return None
    return BackplaneConfig(
        section.keys,
        url,
        name or default.name,
        default.patience if patience is None else patience,
        section.choice("lost", Lost, default.lost),
    )


def _parse_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no name of an app here: 1 to 64 letters, digits and any of . _ -")
    return text


def check_beside(root: Section, memory: MemoryConfig, auth: AuthConfig | None) -> None:
    """Report what several nodes cannot have: a file of their history, and signatures of sessions that differ."""
    if _KEY not in root:
        return
    place = root.place(_KEY)
    if memory.file is not None:
        text = f"Redis keeps the histories of all nodes ({_KEY}, {place}): leave file out"
        root.report.add((*memory.keys, "file"), text, of_key=True)
    section = root.section("auth")
    if auth is not None and section is not None and "secret" not in section:
        text = (
            f"each node would sign sessions with a secret of its own, and no other one of {_KEY} ({place}) would "
            f"believe them: add secret: !secret NAME; make one: {MAKE_SECRET}"
        )
        section.problem(None, text, of_key=True)


def backplane_notes(root: Section, backplane: BackplaneConfig | None) -> Iterator[str]:
    """Yield notes on what is each node's own, as far as keys say it, and on a package that is missing."""
    if backplane is None:
        yield from _needless(root)
        return
    if missing_package():
        yield f"{root.place(_KEY)}: {_KEY} needs a package that is not installed here: {_INSTALL}"
    yield from _of_state(root)
    yield from _of_limits(root)
    yield from _of_repeats(root)
    yield from _of_feeds(root)
    yield from _of_jobs(root)


def missing_package() -> bool:
    """Return whether a package is missing that a backplane needs."""
    return any(find_spec(name) is None for name in _PACKAGES)


def refuse_without_package(config: ServerConfig) -> None:
    """Refuse to run with a backplane whose package is missing.

    Raises:
        ConfigError: it is missing; at the place of the key.
    """
    if config.backplane is not None and missing_package():
        text = f"it needs a package that is not installed here: {_INSTALL}"
        raise ConfigError((config.source.problem(config.backplane.keys, text),), config.files)


def _needless(root: Section) -> Iterator[str]:
    for job in (*root.sections("timers"), *root.sections("schedules")):
        if job.text("on") == "one":
            yield (
                f"{job.place('on')}: on: one needs a {_KEY}, by which nodes agree on one of them; without it, each "
                "server runs this"
            )


def _of_state(root: Section) -> Iterator[str]:
    state = root.section("state")
    if state is not None and "file" in state:
        yield (
            f"{state.place('file')}: state.file keeps one node's own state; nodes on one machine need a file each, as "
            "in file: ${STATE_FILE}"
        )


def _of_limits(root: Section) -> Iterator[str]:
    """Yield notes on what is counted by each node."""
    limits = root.section("limits")
    shares = "each node counts its own clients alone; give each its share, or let the proxy in front count"
    for name in ("per_address", "per_user"):
        if limits is not None and name in limits:
            yield f"{limits.place(name)}: limits.{name}: {shares}"
    rated = [route for route in root.sections("routes") if "rate" in route]
    if rated:
        also = f" (and {len(rated) - 1} more)" if rated[1:] else ""
        yield f"{rated[0].place('rate')}: rate{also}: {shares.replace('clients', 'requests')}"


def _of_repeats(root: Section) -> Iterator[str]:
    for signal in root.sections("signals"):
        if "once" in signal and "history" not in signal:
            yield (
                f"{signal.place('once')}: once: without history, a repeat is known by the node that had the first "
                "message, and by no other one; add history: 100 beside it"
            )


def _of_feeds(root: Section) -> Iterator[str]:
    feeds = list(root.sections("feeds"))
    if feeds:
        yield (
            f"{root.place('feeds')}: each node receives all feeds, so what they broadcast arrives once for each node; "
            "let one node alone have them: feeds: !include ${FEEDS}, a file whose list is empty for the others"
        )


def _of_jobs(root: Section) -> Iterator[str]:
    for job in (*root.sections("timers"), *root.sections("schedules")):
        for name in ("limit", "skip"):
            if job.whole(name, 0) and job.text("on") != "every":
                yield (
                    f"{job.place(name)}: {name} is counted by each node since its own start, so one that starts later "
                    "may run this after that; on: every runs it on each node"
                )
