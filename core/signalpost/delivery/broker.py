"""Brokers: the layer between publishers and the hubs that deliver."""

from collections.abc import Callable
from typing import Protocol

from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Receipt

Publish = Callable[[Publication], Receipt]
"""Publishes, or delivers to the clients of this process (`signalpost.delivery.hub.Hub.deliver`)."""


class Broker(Protocol):
    """Carries each publication to each process that may have clients for it, in the order of publication."""

    @property
    def alone(self) -> bool:
        """Whether there is no other process; else there may be clients that are unknown here."""

    def publish(self, publication: Publication) -> Receipt:
        """Publish without waiting; return what happened to it here, as far as that is known."""

    async def start(self, deliver: Publish) -> None:
        """Start calling `deliver` with publications.

        Raises:
            OperatorError: it cannot start.
        """

    async def stop(self) -> None:
        """Stop calling `deliver`; all that was published before has been delivered here."""


class LocalBroker:
    """The broker of a single server: publishing is delivering.

    Attributes:
        publish: see `Broker.publish`.
    """

    __slots__ = ("publish",)

    alone = True

    def __init__(self) -> None:
        self.publish: Publish

    async def start(self, deliver: Publish) -> None:
        """See `Broker.start`."""
        self.publish = deliver

    async def stop(self) -> None:
        """See `Broker.stop`: there is nothing to stop."""
