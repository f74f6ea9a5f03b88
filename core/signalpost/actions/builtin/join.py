"""``join``: adds a client to groups."""

from typing import Any

from signalpost.actions.given import OptionError
from signalpost.actions.membership import membership
from signalpost.delivery.client import LONGEST_GROUP

_MOST_GROUPS = 1_000
"""Groups that a client may have joined by steps: an app that lets clients choose them hardly intends more."""


def _join(client: Any, group: str) -> None:
    if len(group) > LONGEST_GROUP:
        raise OptionError(f"the name of a group has {LONGEST_GROUP} characters at most, not {len(group):,}")
    if len(client.groups) >= _MOST_GROUPS and group not in client.groups:
        raise OptionError(f"a client is in {_MOST_GROUPS:,} groups at most")
    client.join(group)


ACTION = membership(
    "join",
    "Join",
    "Adds the sender to a group, or to each of a list",
    ["admins", ["news", "room {{ params.room }}"]],
    _join,
)
