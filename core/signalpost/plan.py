"""The plan: everything routes.yaml and the plugins say, resolved and checked.

A plan is immutable and swapped whole on reload: what runs looks it up per message and never keeps parts of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.config.model import BroadcastConfig
from signalpost.cron import Cron
from signalpost.plugins.handler import Handler

Action = Handler | BroadcastConfig


@dataclass(frozen=True, slots=True)
class TimerJob:
    """A job by interval; the fields are those of `signalpost.config.model.TimerConfig`.

    Attributes:
        action: the handler to call or the broadcast to send.
        owner: who declared it: ``routes.yaml:14``, or a plugin's name.

    """

    name: str
    action: Action
    owner: str
    every: float
    limit: int = 0
    skip: int = 0
    on_start: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduleJob:
    """A job by cron; the fields are those of `signalpost.config.model.ScheduleConfig`.

    Attributes:
        action: the handler to call or the broadcast to send.
        owner: who declared it: ``routes.yaml:14``, or a plugin's name.

    """

    name: str
    action: Action
    owner: str
    crons: tuple[Cron, ...]
    timezone: ZoneInfo | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 0
    on_start: bool = False
    timeout: float | None = None
    max_runs: int = 10
    arguments: Mapping[str, Any] = field(default_factory=dict)


Job = TimerJob | ScheduleJob
