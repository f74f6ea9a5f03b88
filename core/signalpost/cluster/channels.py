"""Channels: texts by which nodes follow what is sent to a path, a group, a user, everyone, or one node's clients."""

from functools import lru_cache

from signalpost.cluster.origin import is_tag
from signalpost.delivery.target import Target
from signalpost.paths import Apart, Place

EVERYONE = "all"
"""Followed by all nodes: what is sent to everyone, and what nodes tell all others."""

_PART = "\0"  # stands in no path
_TAG_ENDS = "-"
_CHANNELS = 4096  # whose places are remembered


def channel_of(target: Target) -> str:
    """Return the channel on which a value for a target travels. Who hears it there selects further."""
    if target.client is not None:
        return channel_of_node(tag_of(target.client))
    if target.path is not None:
        return channel_of_place(target.path)
    if target.user is not None:
        return channel_of_user(target.user)
    if target.groups is not None and len(target.groups) == 1:
        return channel_of_group(next(iter(target.groups)))
    return EVERYONE


def channel_of_place(place: Place) -> str:
    """Return the channel of what is sent to a path."""
    return f"p:{place_text(place)}"


def channel_of_group(name: str) -> str:
    """Return the channel of what is sent to a group."""
    return f"g:{name}"


def channel_of_user(user: str) -> str:
    """Return the channel of what is sent to a user."""
    return f"u:{user}"


def channel_of_node(tag: str) -> str:
    """Return the channel of what is sent to one node, or to a client of it."""
    return f"n:{tag}"


def tag_of(client_id: str) -> str:
    """Return the tag of the node on which a client is; empty if its id names none, and so no client."""
    tag, ends, _ = client_id.partition(_TAG_ENDS)
    return tag if ends and is_tag(tag) else ""


def place_text(place: Place) -> str:
    """Return a place as a text; `read_place` reads it."""
    return _PART.join((place.path, *place.endpoints)) if isinstance(place, Apart) else place


def read_place(text: str) -> Place:
    """Return the place that `place_text` has written."""
    path, *endpoints = text.split(_PART)
    return Apart(path, tuple(endpoints)) if endpoints else path


@lru_cache(maxsize=_CHANNELS)
def place_in(channel: str) -> Place | None:
    """Return the place whose channel this is; None if it is another channel."""
    return read_place(channel[2:]) if channel.startswith("p:") else None
