"""Keys that a login server publishes: fetched at the start, now and then, and when an unknown one is named.

What runs on the loop is here; the fetch itself runs in a thread (`signalpost.auth.fetch`).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from signalpost.auth.fetch import Fetch, FetchError, shown_address
from signalpost.auth.keyring import Keyring
from signalpost.jose.keys import VerificationKey

LOG = logging.getLogger(__name__)

EVERY = 600.0
"""Seconds between two fetches."""

PAUSE = 30.0
"""The least seconds from one fetch to one for a token with an unknown key, and to the next after a failure."""

TIMEOUT = 10.0
"""Seconds that a fetch may take."""

_FIRST_RETRY = 1.0  # while there are no keys at all; doubled up to PAUSE


class Handle(Protocol):
    """What ``loop.call_later`` returns."""

    def cancel(self) -> None:
        """Do not call."""


class JwksFetcher:
    """Keeps a keyring as a login server publishes it. The old keys stay while a fetch fails.

    Args:
        address: of a JWK Set.
        algorithms: only keys for these are used.
        keyring: filled from here alone.
        clock: returns seconds that never go back.
        call_later: runs a function after a number of seconds; None is that of the running loop.
    """

    def __init__(
        self,
        address: str,
        algorithms: Sequence[str],
        keyring: Keyring,
        *,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Handle] | None = None,
    ) -> None:
        self._address = address
        self._algorithms = tuple(algorithms)
        self._keyring = keyring
        self._clock = clock
        self._call_later = call_later
        self._running = False
        self._began = -PAUSE
        self._fetch: Fetch | None = None
        self._done: asyncio.Future[None] | None = None
        self._timers: list[Handle] = []
        self._wait = _FIRST_RETRY
        self._failure = ""

    def __repr__(self) -> str:
        return f"<JwksFetcher of {shown_address(self._address)}>"

    @property
    def ready(self) -> bool:
        """Whether keys have come."""
        return self._keyring.ready

    @property
    def failure(self) -> str:
        """Why the last fetch failed; empty if it did not."""
        return self._failure

    def start(self) -> None:
        """Begin to fetch; nothing here waits. Needs a running loop."""
        if not self._running:
            self._running = True
            self._begin()

    def stop(self) -> None:
        """Fetch nothing any more. Whoever waits for a fetch goes on."""
        self._running = False
        self._end_fetch()

    def refresh(self) -> Awaitable[None] | None:
        """Return what ends with the fetch that a token with an unknown key is to wait for.

        It never raises. None if there is nothing to wait for: the last fetch began less than `PAUSE` ago.
        """
        if self._done is None:
            if not self._running or self._clock() - self._began < PAUSE:
                return None
            self._begin()
        return None if self._done is None else asyncio.shield(self._done)

    def _begin(self) -> None:
        self._cancel_timers()
        loop = asyncio.get_running_loop()
        self._began = self._clock()
        self._done = loop.create_future()
        self._fetch = fetch = Fetch(self._address, self._algorithms, TIMEOUT)
        self._after(TIMEOUT, lambda: self._end(fetch, FetchError(f"no answer within {TIMEOUT:g} s")))

        def run() -> None:
            result: tuple[VerificationKey, ...] | FetchError
            try:
                result = fetch.run()
            except FetchError as error:
                result = error
            except Exception as error:  # noqa: BLE001 - a thread has nobody to tell
                result = FetchError(f"the fetch failed: {type(error).__name__}")
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, fetch, result)

        # A daemon: a name server that does not answer must not keep the process from ending.
        threading.Thread(target=run, daemon=True, name="jwks").start()

    def _end(self, fetch: Fetch, result: "tuple[VerificationKey, ...] | FetchError") -> None:
        if fetch is not self._fetch:
            return  # it has been given up
        if isinstance(result, FetchError):
            self._note_failure(str(result))
            wait = PAUSE if self.ready else self._wait
            self._wait = min(self._wait * 2, PAUSE)
        else:
            self._note_keys(result)
            wait, self._wait = EVERY, _FIRST_RETRY
        self._end_fetch()
        self._after(wait, self._begin)

    def _end_fetch(self) -> None:
        self._cancel_timers()
        fetch, self._fetch = self._fetch, None
        done, self._done = self._done, None
        if fetch is not None:
            fetch.give_up()
        if done is not None and not done.done():
            done.set_result(None)

    def _note_failure(self, text: str) -> None:
        if text != self._failure:
            kept = "the old ones stay" if self.ready else "no token can be judged until they come"
            LOG.warning("auth.tokens.keys: %s: %s; %s", shown_address(self._address), text, kept)
        self._failure = text

    def _note_keys(self, keys: tuple[VerificationKey, ...]) -> None:
        if self._failure:
            LOG.warning("auth.tokens.keys: %s: the keys have come again", shown_address(self._address))
        self._failure = ""
        if self._keyring.replace(keys):
            LOG.info("auth.tokens.keys: %s: %s", shown_address(self._address), ", ".join(key.named for key in keys))

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        later = self._call_later or asyncio.get_running_loop().call_later
        self._timers.append(later(seconds, callback))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
