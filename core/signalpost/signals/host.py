"""What a conversation needs from its surroundings."""

import asyncio
from contextvars import Context
from typing import Protocol

from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import Published
from signalpost.events import Shared
from signalpost.logthrottle import LineTally
from signalpost.observe import Observer
from signalpost.signals.broadcast import Broadcaster
from signalpost.signals.counts import Counts
from signalpost.signals.expiry import Expiries
from signalpost.signals.memory import Memory
from signalpost.signals.moderation import Moderation
from signalpost.signals.overdue import Overdue
from signalpost.signals.renewal import Renewing
from signalpost.signals.slots import HandlerSlots
from signalpost.signals.table import ResolvedPath
from signalpost.signals.work import Work


class Admitting(Renewing, Protocol):
    """What decides who may: a `signalpost.admitting.Admitter`, which documents each."""

    @property
    def failures(self) -> LineTally:
        """The log of expressions in ``may`` that failed."""


class Host(Protocol):
    """What a conversation needs from its surroundings: a `signalpost.node.Node`, which documents each."""

    hub: Hub
    memory: Memory
    moderation: Moderation
    broadcaster: Broadcaster
    shared: Shared
    slots: HandlerSlots
    running: dict[asyncio.Task[None], Client]
    sequencing: "dict[asyncio.Future[Published], Client]"
    base: Context
    overdue: Overdue
    program_observer: Observer | None
    counts: Counts
    alone: bool

    @property
    def admitter(self) -> Admitting:
        """What decides who may."""

    @property
    def expiries(self) -> Expiries:
        """What watches the clients whose identity ends."""

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Return the signal that serves a path at an endpoint."""

    @property
    def work(self) -> Work:
        """What is under way by the current plan."""

    @property
    def patience(self) -> float:
        """Seconds that a client's arrival may take."""
