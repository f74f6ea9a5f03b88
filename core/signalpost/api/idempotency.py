"""The header ``Idempotency-Key``: a request that is repeated is answered as the first time, and does nothing.

As draft-ietf-httpapi-idempotency-key-header has it: the same key with another request is 422, and one whose first
request is under way is 409. Each node remembers what it has answered itself.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from signalpost.operations.operation import OperationError
from signalpost.units import MEBIBYTE

HEADER = "idempotency-key"
REPEATED = "idempotency-replayed"
"""The header of an answer that was given before."""

LONGEST = 255
KNOWN_SECONDS = 24 * 3_600
MOST_KNOWN = 10_000
MOST_BYTES = 16 * MEBIBYTE
_LOOKED_AT = 100  # records at a request: each may free one, so there is room unless that many are under way
_RECORD = 400  # bytes that an answer counts for besides its body


class Answered(NamedTuple):
    """An answer to a request.

    Attributes:
        status: of HTTP.
        body: JSON.
        again: whether it was given before.
    """

    status: int
    body: bytes
    again: bool = False


class _Known(NamedTuple):
    until: float
    request: bytes
    answer: Answered | None  # None while the request is under way


class Idempotency:
    """Remembers answers by the keys of their requests.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._bytes = 0

    async def answer(
        self, program: str, key: str, request: bytes, answer: Callable[[], Awaitable[Answered]]
    ) -> Answered:
        """Return the answer to a request; that of the first time, if it is a repeat.

        Args:
            program: whose request it is.
            key: of the request; empty for none.
            request: all that makes it another one.
            answer: gives the answer. What fails, or is answered with 5xx, is not remembered.

        Raises:
            OperationError: the key is not good for this request.
        """
        if not key:
            return await answer()
        if len(key) > LONGEST or not key.isprintable():
            text = f"Idempotency-Key has 1 to {LONGEST} visible characters"
            raise OperationError("bad-request", text)
        self._forget()
        name, digest = (program, key), sha256(request).digest()
        if (known := self._known.get(name)) is not None:
            return _repeated(known, digest)
        self._known[name] = _Known(self._clock() + KNOWN_SECONDS, digest, None)
        self._bytes += _RECORD
        try:
            given = await answer()
        except BaseException:
            self._drop(name)
            raise
        if given.status >= 500:  # noqa: PLR2004 - the server's fault: it may be tried again
            self._drop(name)
        else:
            self._known[name] = self._known[name]._replace(answer=given)
            self._bytes += len(given.body)
        return given

    def _forget(self) -> None:
        """Forget what is old, and the oldest if it is too much; never what is under way, which would be done twice.

        Raises:
            OperationError: too much is under way.
        """
        now = self._clock()
        for name, known in list(islice(self._known.items(), _LOOKED_AT)):
            full = len(self._known) >= MOST_KNOWN or self._bytes >= MOST_BYTES
            if known.until > now and not full:
                return
            if known.answer is None:
                self._known.move_to_end(name)
            else:
                self._drop(name)
        if len(self._known) >= MOST_KNOWN or self._bytes >= MOST_BYTES:
            raise OperationError("unavailable", "too many requests with an Idempotency-Key are under way; try again")

    def _drop(self, name: tuple[str, str]) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            self._bytes -= _RECORD + (0 if known.answer is None else len(known.answer.body))


def _repeated(known: _Known, digest: bytes) -> Answered:
    if known.request != digest:
        text = "this Idempotency-Key was used for another request: use a new one for each"
        raise OperationError("idempotency-key-reused", text)
    if known.answer is None:
        text = "the first request with this Idempotency-Key is under way; try again in a moment"
        raise OperationError("conflict", text)
    return known.answer._replace(again=True)
