"""What a server asks about tokens: one object for the rules, the keys and their fetching, over reloads.

Only what takes tokens imports this module, since it loads PyJWT.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from signalpost.auth.identity import Identity
from signalpost.auth.jwks import Handle, JwksFetcher
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens, UnknownKeyError
from signalpost.config.authmodel import TokensConfig
from signalpost.deferred import Deferred
from signalpost.errors import NotReadyError


class TokenAuthority:
    """Judges tokens while the server runs.

    Args:
        config: the rules.
        clock: returns the seconds since 1970.
        ticks: returns seconds that never go back.
        call_later: runs a function after a number of seconds; None is that of the running loop.
    """

    def __init__(
        self,
        config: TokensConfig,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Handle] | None = None,
    ) -> None:
        self._clock, self._ticks, self._call_later = clock, ticks, call_later
        self._running = False
        self._config: TokensConfig
        self._keyring: Keyring
        self._tokens: Tokens
        self._fetcher: JwksFetcher | None
        self._set_up(config)

    @property
    def ready(self) -> bool:
        """Whether there are keys; without them no token can be judged."""
        return self._keyring.ready

    def start(self) -> None:
        """Begin to fetch keys, if they are at an address; nothing here waits. Needs a running loop."""
        self._running = True
        if self._fetcher is not None:
            self._fetcher.start()

    def stop(self) -> None:
        """Fetch no keys any more; those that are there still count."""
        self._running = False
        if self._fetcher is not None:
            self._fetcher.stop()

    def reload(self, config: TokensConfig) -> None:
        """Judge by other rules from now on.

        If only the keys of a file have changed, tokens of those that stay are still remembered. Fetched keys stay if
        the address and the algorithms do. Everything else is forgotten.
        """
        old = self._config
        if replace(config, keys=old.keys) == old and config.address is None:
            self._keyring.replace(config.keys)
            self._config = config
        elif (config.address, config.algorithms) == (old.address, old.algorithms) and config.address is not None:
            if config != old:
                self._config, self._tokens = config, Tokens(config, self._keyring, self._clock)
        else:
            if self._fetcher is not None:
                self._fetcher.stop()
            self._set_up(config)
            if self._running:
                self.start()

    def still_takes(self, identity: Identity) -> bool:
        """Return whether the key of an identity's token still counts, if it has one; before any came, yes."""
        key, keys = identity.signed_by, self._keyring.keys
        return key is None or keys is None or any(each.digest == key.digest for each in keys)

    def identify(self, text: str) -> Identity | Awaitable[Identity]:
        """Return who a token says its bearer is; an awaitable of it if a key must be fetched first.

        The call, or the awaitable, raises what `Tokens.verify` does.
        """
        try:
            return self._tokens.verify(text)
        except (UnknownKeyError, NotReadyError):
            fetched = None if self._fetcher is None else self._fetcher.refresh()
            if fetched is None:
                raise
        return Deferred(partial(self._identify_after, fetched, text))

    async def _identify_after(self, fetched: Awaitable[None], text: str) -> Identity:
        await fetched
        return self._tokens.verify(text)

    def _set_up(self, config: TokensConfig) -> None:
        self._config = config
        self._keyring = Keyring(config.keys if config.address is None else None)
        self._tokens = Tokens(config, self._keyring, self._clock)
        self._fetcher = None
        if config.address is not None:
            self._fetcher = JwksFetcher(
                config.address, config.algorithms, self._keyring, clock=self._ticks, call_later=self._call_later
            )
