"""A snapshot: what a plan says, small enough to be left in a file, and as good as the plan for telling what changed.

It holds names, and a digest of everything else: nothing of what routes.yaml keeps secret can be read from it. Who
guesses a secret could see that it is right, so a snapshot is for those only who may read the app's files.
"""

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from signalpost.plan.diff import Thing, Things, things
from signalpost.plan.plan import Plan

_DIGEST = 16  # bytes: no two values that one meets in practice share one


def snapshot(plan: Plan) -> Things:
    """Return the things of a plan with digests in place of what they say.

    `compare` tells of two snapshots what `diff` tells of their plans, in whichever processes they were made.
    """
    masked = plan.config.source.masked  # a path may be a secret
    return {
        kind: tuple(Thing(masked(each.name), tuple(map(digest, each.keys)), digest(each.says)) for each in some)
        for kind, some in things(plan).items()
    }


def to_json(shot: Things) -> Any:
    """Write a snapshot as JSON's own types."""
    return {kind: [[each.name, list(each.keys), each.says] for each in some] for kind, some in shot.items()}


def from_json(data: Any) -> Things:
    """Read what `to_json` wrote.

    Raises:
        ValueError: it did not write this.

    """
    try:
        return {
            str(kind): tuple(Thing(str(name), tuple(map(str, keys)), str(says)) for name, keys, says in some)
            for kind, some in data.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("not a snapshot") from error


def digest(value: Any) -> str:
    """Return what two values have in common when they say the same, as `signalpost.plan.diff.alike` tells it."""
    return hashlib.blake2b(_canonical(value).encode(errors="surrogatepass"), digest_size=_DIGEST).hexdigest()


def _canonical(value: Any) -> str:
    """Write a value in the one way in which it is written in every process."""
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
        value += 0.0  # minus nought is nought
    return f"{kind}:{value!r}"
