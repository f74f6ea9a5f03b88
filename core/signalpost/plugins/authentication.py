"""The hook `authenticate`: plugins say who a client is."""

import inspect
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from signalpost.auth.identity import Identity
from signalpost.config.usernames import user_fault
from signalpost.errors import UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.plugins.registry import Implementation, Registry, log_failure
from signalpost.state.frozen import fixed

AUTHENTICATE = "authenticate"


class UndecidedError(Exception):
    """A hook failed, so it is not known who the client is."""


class Authentication:
    """Asks the plugins who clients are.

    Args:
        registry: of the plugins.

    Attributes:
        waits: whether an answer may have to be awaited.
    """

    def __init__(self, registry: Registry) -> None:
        self._hooks: Sequence[Implementation] = tuple(registry.implementations.get(AUTHENTICATE, ()))
        self.waits = any(inspect.iscoroutinefunction(hook.function) for hook in self._hooks)

    def __bool__(self) -> bool:
        """Return whether any plugin has the hook."""
        return bool(self._hooks)

    def ask(self, request: HandshakeRequest) -> Identity | Awaitable[Identity | None] | None:
        """Return the first answer; None if no plugin knows the client.

        Args:
            request: of the client.

        Raises:
            UnauthorizedError: a plugin refuses the client.
            UndecidedError: a plugin failed.
        """
        for number, hook in enumerate(self._hooks):
            answer = _called(hook, request)
            if inspect.isawaitable(answer):
                return self._ask_later(hook, answer, self._hooks[number + 1 :], request)
            if answer is not None:
                return _checked(hook, answer)
        return None

    async def _ask_later(
        self, hook: Implementation, answer: Awaitable[Any], further: Sequence[Implementation], request: HandshakeRequest
    ) -> Identity | None:
        found = await _awaited(hook, answer)
        for each in further:
            if found is not None:
                break
            hook, found = each, _called(each, request)
            if inspect.isawaitable(found):
                found = await _awaited(hook, found)
        return None if found is None else _checked(hook, found)


def _called(hook: Implementation, request: HandshakeRequest) -> Any:
    try:
        return hook.code.call(hook, {"request": request})
    except UnauthorizedError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        raise _undecided(hook, error) from None


async def _awaited(hook: Implementation, answer: Awaitable[Any]) -> Any:
    try:
        return await hook.code.wait(answer)
    except UnauthorizedError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _undecided(hook, error) from None


def _undecided(hook: Implementation, error: Exception) -> UndecidedError:
    log_failure(hook, error)
    return UndecidedError(str(hook.code))


def _checked(hook: Implementation, answer: Any) -> Identity:
    """Return an answer that is an identity.

    Raises:
        UndecidedError: it is none, or a part of it is of a wrong kind.
    """
    if not isinstance(answer, Identity):
        fault = f"authenticate returns an Identity, or None for no opinion, not {type(answer).__name__}"
    else:
        fault = _identity_fault(answer)
    if fault:
        raise _undecided(hook, TypeError(fault))
    found: Identity = answer
    return replace(found, claims=fixed(found.claims))  # what the plugin changes afterwards was never said


def _identity_fault(identity: Identity) -> str:
    """Return what is wrong with an identity; empty if nothing is. Later nobody is there who could be told."""
    if identity.user is not None and (wrong := user_fault(identity.user)):
        return f"the user of the Identity that authenticate returns {wrong}"
    if not isinstance(identity.claims, Mapping):
        return f"claims is a mapping, not {type(identity.claims).__name__}"
    for name in ("expires", "issued"):
        moment = getattr(identity, name)
        if moment is not None and not _is_moment(moment):
            return f"{name} is a number of seconds since 1970, or None, not {moment!r}"
    if not isinstance(identity.token_id, str):
        return f"token_id is a text, not {type(identity.token_id).__name__}"
    return ""


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
