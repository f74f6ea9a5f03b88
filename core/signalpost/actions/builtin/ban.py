"""``ban``: keeps a user away for a while."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import option
from signalpost.actions.given import text_of
from signalpost.actions.moderating import FOR, REASON, USER, check_duration, moderating, seconds_of
from signalpost.config.actions import Place
from signalpost.config.section import Section
from signalpost.events import Moderator
from signalpost.templates.text import as_text


def _check(step: Section, _place: Place) -> None:
    options = step.section("ban")
    if options is not None:
        check_duration(options, "for")


def _ban(moderator: Moderator, by: str, options: Mapping[str, Any]) -> int:
    user = text_of("user", options["user"])
    return moderator.ban(user, seconds_of("for", options), as_text(options.get("reason", "")), by=by)


ACTION = moderating(
    option(
        "Ban",
        (
            "Lets nobody of this name in for a while, whatever the token, and closes the user's connections with "
            "4403. matched says how many there were. state.file keeps it over restarts. With a backplane it holds on "
            "all nodes, and matched counts clients of this one. A second ban never shortens the first."
        ),
        "object",
        additionalProperties=False,
        required=["user"],
        properties={
            "user": option("User", "The name, of 1,024 characters at most.", **USER, examples=["{{ data.who }}"]),
            "for": FOR,
            "reason": REASON,
        },
        examples=[{"user": "{{ data.who }}", "for": "1h"}],
    ),
    _ban,
    _check,
)
