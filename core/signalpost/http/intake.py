"""Shared by the connections of all ports until they are WebSockets: limits that apply to all of them together."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial

from signalpost.accesslog import AccessLog
from signalpost.config.model import LimitsConfig
from signalpost.delivery.inbound import Inbound
from signalpost.http.crowd import Crowd
from signalpost.http.descriptors import Descriptors
from signalpost.http.known import KnownHeads
from signalpost.http.turns import Turns
from signalpost.logthrottle import Tally

LOG = logging.getLogger(__name__)

_PART = 2  # half of what there is room for may wait for clients
_FEW = 4  # that may always wait: a browser opens several connections before it uses them


@dataclass(slots=True)
class Intake:
    """What the connections of one server share. Create one with `open`.

    Attributes:
        limits: of the current plan.
        descriptors: tells whether one is free.
        inbound: the account of unfinished bodies and messages.
        turns: of requests.
        known: heads of earlier requests.
        newcomers: connections without a request yet, including those in a TLS handshake.
        waiting: connections of plain requests that wait for their client: for its next request, for the rest of a
            body, or until it reads.
        requests: number of requests under way.
        refused: counts requests for which there was no room.
        clients: returns how many WebSockets are open.
        access: called with each answer; None logs none.
    """

    limits: LimitsConfig
    descriptors: Descriptors
    inbound: Inbound
    turns: Turns
    known: KnownHeads
    newcomers: Crowd
    waiting: Crowd
    requests: int
    refused: Tally
    clients: Callable[[], int]
    access: AccessLog | None = None

    @classmethod
    def open(
        cls,
        limits: LimitsConfig,
        inbound: Inbound,
        clients: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
        access: AccessLog | None = None,
    ) -> "Intake":
        """Create the intake of a server that runs in a loop; the arguments are attributes of it."""

        def room() -> int:
            return intake.descriptors.most - intake.clients() - intake.requests

        def most_newcomers() -> int:
            return max(_FEW, min(room() - len(intake.waiting), intake.limits.connections) // _PART)

        def most_waiting() -> int:
            return max(_FEW, room() // _PART)

        def tell(refused: int) -> None:
            LOG.warning(
                "requests refused with 503: %d; %d are under way, as many as there may be (limits.connections)",
                refused,
                intake.requests,
            )

        intake = cls(
            limits=limits,
            descriptors=Descriptors(loop.call_later),
            inbound=inbound,
            turns=Turns(loop.call_soon),
            known=KnownHeads(),
            newcomers=Crowd(most_newcomers, loop.call_soon),
            # In a context of its own: the context of the first connection added would keep its request alive.
            waiting=Crowd(most_waiting, loop.call_soon, partial(loop.call_later, context=Context())),
            requests=0,
            refused=Tally(tell, loop.call_later),
            clients=clients,
            access=access,
        )
        return intake

    def admit_request(self) -> bool:
        """Count a request that is under way; return False, counting none, if the limit is reached."""
        if self.requests >= self.limits.connections:
            self.refused.add()
            return False
        self.requests += 1
        return True

    def end_request(self) -> None:
        """Remove a request from the count."""
        self.requests -= 1
