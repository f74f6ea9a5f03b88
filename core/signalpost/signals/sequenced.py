"""Answers that wait until all nodes have the order of a value: its sender is told then, or that nobody knows it."""

from asyncio import Future
from collections.abc import Callable

from signalpost.delivery.target import Published
from signalpost.errors import ClientError, ErrorCode, UnavailableError
from signalpost.signals.answers import Answer

UNAVAILABLE = ClientError(
    ErrorCode.UNAVAILABLE,
    "the server cannot reach the others now, and does not know that anybody was sent this; try again in a while",
)


def answer_later(
    later: "Future[Published] | None", answer: Answer | None, reject: Callable[[ClientError], None]
) -> None:
    """Answer a message when its value has its place in the order.

    Args:
        later: what becomes of the value; None if there is no other node, and no failure.
        answer: to the message; None if it wants none.
        reject: tells the sender that nothing was sent, as far as is known: an answer of the backplane may be lost.
    """

    def settle(future: "Future[Published]") -> None:
        if future.cancelled():
            return
        if isinstance(future.exception(), UnavailableError):
            reject(UNAVAILABLE)
        elif answer is not None:
            published = future.result()
            answer.acknowledge(published.at, again=published.again)

    if later is not None:
        later.add_done_callback(settle)
