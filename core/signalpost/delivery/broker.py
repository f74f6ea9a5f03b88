"""Brokers: what stands between those who publish and the hubs that deliver."""

from collections.abc import Callable
from typing import Protocol

from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Receipt

Deliver = Callable[[Publication], Receipt]
"""Delivers to the clients of this process: `signalpost.delivery.hub.Hub.deliver`."""


class Broker(Protocol):
    """Brings every publication to every process whose clients it may be for, in the order in which it was published."""

    def publish(self, publication: Publication) -> Receipt:
        """Publish, without waiting; report what became of it here, as far as that is known."""

    async def start(self, deliver: Deliver) -> None:
        """Begin to bring publications to `deliver`.

        Raises:
            OperatorError: it cannot.

        """

    async def stop(self) -> None:
        """Bring nothing any more; what was published before has been delivered here."""


class LocalBroker:
    """The broker of a server that is alone: what is published is delivered at once."""

    __slots__ = ("_deliver",)

    def __init__(self) -> None:
        self._deliver: Deliver

    def publish(self, publication: Publication) -> Receipt:
        """See `Broker.publish`."""
        return self._deliver(publication)

    async def start(self, deliver: Deliver) -> None:
        """See `Broker.start`."""
        self._deliver = deliver

    async def stop(self) -> None:
        """See `Broker.stop`: there is nothing."""
