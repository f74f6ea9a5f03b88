"""``leave``: removes a client from groups."""

from typing import Any

from signalpost.actions.membership import membership


def _leave(client: Any, group: str) -> None:
    client.leave(group)


ACTION = membership("leave", "Leave", "Removes the sender from a group, or from each of a list", ["admins"], _leave)
