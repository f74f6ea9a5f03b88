"""A fingerprint: digests of a plan's content, by which nodes of one app see whether they serve the same.

What is each node's own is not in it: where it listens, the files in which it keeps what it has, and how it reaches the
backplane. Several nodes may run from one file whose ``${VAR}`` say that.
"""

from collections.abc import Mapping
from dataclasses import replace

from signalpost.config.model import EndpointConfig
from signalpost.plan.diff import Thing, things
from signalpost.plan.plan import Plan
from signalpost.plan.snapshot import digest

_OWN = frozenset({"state.file", "history.file", "backplane"})
_DERIVED = frozenset({"permissions"})  # from people, signals and routes


def fingerprint(plan: Plan) -> Mapping[str, str]:
    """Return a digest of each kind of thing in a plan: ``{"signals": "5d1f…", "settings": "80ae…", …}``.

    This takes a while for a large plan.
    """
    return {
        kind: digest([(thing.name, _common(thing)) for thing in some if thing.name not in _OWN])
        for kind, some in things(plan).items()
        if kind not in _DERIVED
    }


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the kinds of things in which two plans differ: ``["signals", "timers"]``."""
    return [kind for kind in dict.fromkeys((*one, *other)) if one.get(kind) != other.get(kind)]


def _common(thing: Thing) -> object:
    """Return what a thing says that all nodes have in common."""
    says = thing.says
    return replace(says, address="", port=0) if isinstance(says, EndpointConfig) else says
