"""What stands on the backplane of who is present: a table a place, and a list of places a node.

::

    who:PLACE   TAG USER -> [n, info, turn]     the users of all nodes at a place
    at:TAG      PLACE    -> nothing             the places that have users of a node, for whoever cleans up after it

A place is in its node's list before its table has users of that node, and after.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from signalpost.cluster.channels import place_text
from signalpost.paths import Place
from signalpost.signals.seats import Seat

_ENDS_TAG = " "  # stands in no tag


def table_of_place(place: Place) -> str:
    """Return the table of the users of a place."""
    return f"who:{place_text(place)}"


def table_of_node(tag: str) -> str:
    """Return the table of the places of a node."""
    return f"at:{tag}"


def field_of(tag: str, user: str) -> str:
    """Return the field of a user of a node in the table of a place."""
    return f"{tag}{_ENDS_TAG}{user}"


def written(seat: Seat | None) -> Any:
    """Return a seat as a note says it."""
    return None if seat is None else list(seat)


def seat_of(value: Any) -> Seat | None:
    """Return the seat that a note says."""
    if value is None:
        return None
    n, info, turn, *_ = value
    return Seat(n, info, turn)


def write_seat(seat: Seat | None) -> bytes | None:
    """Return a seat as the value of a field; None for none."""
    return None if seat is None else orjson.dumps(list(seat))


def users_of(fields: Mapping[str, bytes]) -> dict[str, dict[str, Seat]]:
    """Return the users in the table of a place, by the tags of their nodes."""
    found: dict[str, dict[str, Seat]] = {}
    for field, value in fields.items():
        tag, _, user = field.partition(_ENDS_TAG)
        n, info, turn, *_ = orjson.loads(value)
        found.setdefault(tag, {})[user] = Seat(n, info, turn)
    return found


def fields_of(tag: str, fields: Iterable[str]) -> list[str]:
    """Return the fields of a node in the table of a place."""
    begin = tag + _ENDS_TAG
    return [field for field in fields if field.startswith(begin)]
