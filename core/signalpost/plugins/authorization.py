"""The hook `authorize`: plugins decide who may, before the file does."""

from collections.abc import Mapping, Sequence
from typing import Any

from signalpost.auth.identity import Identity
from signalpost.config.authmodel import Verb
from signalpost.plugins.registry import Implementation, Registry, log_failure
from signalpost.signals.permissions import Authorizer, Verdict

AUTHORIZE = "authorize"


def authorizer_of(registry: Registry) -> Authorizer | None:
    """Return what asks all plugins; None if none has the hook, to avoid any cost."""
    implementations = registry.implementations.get(AUTHORIZE, ())
    if not implementations:
        return None
    return lambda identity, verb, path, message: _ask(implementations, identity, verb, path, message)


def _ask(
    implementations: Sequence[Implementation],
    identity: Identity,
    verb: Verb,
    path: str,
    message: Mapping[str, Any] | None,
) -> Verdict | None:
    """Return the first opinion; a hook that fails says no: it is there for security."""
    arguments = {"identity": identity, "verb": str(verb), "path": path, "message": message}
    for implementation in implementations:
        try:
            answer = implementation.code.call(_checked, implementation, arguments)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            log_failure(implementation, error)
            answer = False
        if answer is not None:
            return Verdict(answer, str(implementation.code))
    return None


def _checked(implementation: Implementation, arguments: Mapping[str, Any]) -> bool | None:
    answer = implementation(arguments)
    if answer is not None and not isinstance(answer, bool):
        raise TypeError(f"authorize returns True, False, or None for no opinion, not {type(answer).__name__}")
    return answer
