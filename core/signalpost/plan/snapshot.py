"""A snapshot: a plan's content, small enough for a file, and as good as the plan for finding changes.

It contains names, and a digest of everything else: no secret of routes.yaml can be read from it. But it can confirm a
guessed secret, so only users who may read the app's files may read a snapshot.
"""

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from signalpost.plan.diff import Thing, Things, things
from signalpost.plan.plan import Plan

_DIGEST = 16  # bytes: collisions do not happen in practice


def snapshot(plan: Plan) -> Things:
    """Return the things of a plan with digests in place of their content.

    `compare` of two snapshots returns the same as `diff` of their plans, whichever processes created them.
    """
    masked = plan.config.source.masked  # a path may be a secret
    return {
        kind: tuple(Thing(masked(each.name), tuple(map(digest, each.keys)), digest(each.says)) for each in some)
        for kind, some in things(plan).items()
    }


def to_json(shot: Things) -> Any:
    """Return a snapshot as JSON's own types."""
    return {kind: [[each.name, list(each.keys), each.says] for each in some] for kind, some in shot.items()}


def from_json(data: Any) -> Things:
    """Return a snapshot from the result of `to_json`.

    Raises:
        ValueError: the value is not one.
    """
    try:
        return {
            str(kind): tuple(Thing(str(name), tuple(map(str, keys)), str(says)) for name, keys, says in some)
            for kind, some in data.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("not a snapshot") from error


def digest(value: Any) -> str:
    """Return the same digest for two values that are the same, as defined by `signalpost.plan.diff.alike`."""
    return hashlib.blake2b(_canonical(value).encode(errors="surrogatepass"), digest_size=_DIGEST).hexdigest()


def _canonical(value: Any) -> str:
    """Return the canonical text of a value, the same in every process."""
    kind = type(value).__name__
    if isinstance(value, Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, str):
        return f"{kind}{len(value)}:{value}"
    if isinstance(value, Mapping):
        pairs = sorted(f"{_canonical(key)}={_canonical(each)}" for key, each in value.items())
        return f"{kind}{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"{kind}[{','.join(map(_canonical, value))}]"
    if isinstance(value, AbstractSet):
        return f"{kind}<{','.join(sorted(map(_canonical, value)))}>"
    if is_dataclass(value):
        parts = (_canonical(getattr(value, each.name)) for each in fields(value) if each.compare)
        return f"{kind}({','.join(parts)})"
    if isinstance(value, float):
        value += 0.0  # minus zero is zero
    return f"{kind}:{value!r}"
