"""``revoke``: makes tokens good no more."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import option
from signalpost.actions.given import OptionError, described
from signalpost.actions.moderating import FOR, USER, check_duration, moderating, named, seconds_of
from signalpost.config.actions import Place, check_expression
from signalpost.config.section import Section
from signalpost.events import Moderator


def _check(step: Section, _place: Place) -> None:
    options = step.section("revoke")
    if options is None:
        return
    if ("user" in options) is ("token_id" in options):
        step.problem("revoke", "name either a user or a token_id", of_key=True)
    check_duration(options, "for")
    check_expression(options, "before")
    if "token_id" in options and "before" in options:
        options.problem("before", "a token of an id is revoked whenever it was issued: leave this out", of_key=True)
    if options.data.get("lift") is True:
        for name in ("for", "before"):
            if name in options:
                options.problem(name, f"lift ends a revocation as a whole: leave {name} out", of_key=True)


def _revoke(moderator: Moderator, by: str, options: Mapping[str, Any]) -> int:
    whose = named(options, "user", "token_id")
    if options.get("lift") is True:
        return int(moderator.unrevoke(by=by, **whose))
    before = options.get("before")
    if before is not None and (isinstance(before, bool) or not isinstance(before, int | float)):
        raise OptionError(f"before must be a number of seconds since 1970, not {described(before)}")
    moment = None if before is None else float(before)
    return moderator.revoke(
        by=by, user=whose.get("user"), token_id=whose.get("token_id"), before=moment, seconds=seconds_of("for", options)
    )


ACTION = moderating(
    option(
        "Revoke",
        (
            "Refuses tokens from now on: the one of an id, or those of a user that were issued before a moment. "
            "Connections that were made with them are closed with 4401, so that clients get another token. matched "
            "says how many there were. state.file keeps it over restarts. With a backplane it holds on all nodes, and "
            "matched counts clients of this one."
        ),
        "object",
        additionalProperties=False,
        properties={
            "user": option(
                "User",
                "Whose tokens; also those that do not say when they were issued. Without it, token_id says which.",
                **USER,
                examples=["ann"],
            ),
            "token_id": option(
                "Id of a token", "Its claim jti. Without it, user says whose.", **USER, examples=["{{ claims.jti }}"]
            ),
            "before": option(
                "Issued before",
                "Only tokens of the user that were issued before this moment, in seconds since 1970. Without it, now.",
                ["number", "string"],
                minimum=0,
                examples=["{{ timestamp - 60 }}"],
            ),
            "for": {**FOR, "description": f"{FOR['description']} At least as long as such tokens are good."},
            "lift": option("Lift", "Ends a revocation instead.", "boolean", default=False, examples=[True]),
        },
        examples=[{"user": "{{ data.who }}"}],
    ),
    _revoke,
    _check,
)
