"""``unban``: lets a user in again."""

from typing import Any

from signalpost.actions.declaration import option
from signalpost.actions.given import text_of
from signalpost.actions.moderating import USER, moderating
from signalpost.config.actions import Place
from signalpost.config.section import Section
from signalpost.events import Moderator


def _check(_step: Section, _place: Place) -> None:
    """Check nothing: its schema says all."""


def _unban(moderator: Moderator, by: str, user: Any) -> bool:
    return moderator.unban(text_of("the user", user), by=by)


ACTION = moderating(
    option(
        "Unban",
        "Ends the ban of the user with this name, with a backplane on all nodes. "
        "matched is 1 if there was one, else 0.",
        **USER,
        examples=["ann", "{{ data.who }}"],
    ),
    _unban,
    _check,
)
