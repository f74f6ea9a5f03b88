"""``kick``: closes the connections of clients."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.builtin.broadcast import parse_target
from signalpost.actions.declaration import option
from signalpost.actions.given import OptionError, whole_of
from signalpost.actions.moderating import REASON, USER, moderating, named
from signalpost.config.actions import Place, check_expression, has_template
from signalpost.config.section import Section
from signalpost.events import Moderator
from signalpost.templates.text import as_text
from signalpost.websocket.frames import CODES_ALLOWED, CloseCode, may_be_sent

_KICKED = int(CloseCode.KICKED)
_WHOM = ("user", "client", "path", "group")


def _check(step: Section, _place: Place) -> None:
    options = step.section("kick")
    if options is None:
        return
    if not any(name in options for name in _WHOM):
        step.problem("kick", "nobody is named: say user, client, path or group, or several of them", of_key=True)
    if not has_template(options.text("path") or ""):
        options.parsed("path", parse_target)
    check_expression(options, "code")
    code = options.whole("code", _KICKED)
    if not may_be_sent(code):
        options.problem("code", f"{code} must not be sent ({CODES_ALLOWED})")


def _kick(moderator: Moderator, by: str, options: Mapping[str, Any]) -> int:
    code = whole_of("code", options.get("code", _KICKED))
    if not may_be_sent(code):
        raise OptionError(f"code {code} must not be sent ({CODES_ALLOWED})")
    whom = named(options, *_WHOM)
    if "client" in whom:
        whom["client_id"] = whom.pop("client")
    return moderator.kick(by=by, **whom, code=code, reason=as_text(options.get("reason", "")))


ACTION = moderating(
    option(
        "Kick",
        (
            "Closes the connections of clients that match all that is given of user, client, path and group. "
            "Their sessions end. They may connect again, which clients of signalpost do not do by themselves; ban "
            "keeps a user away. matched says how many there were, with a backplane those of this node: it reaches the "
            "clients of all. One that renders to empty or null is an error."
        ),
        "object",
        additionalProperties=False,
        properties={
            "user": option(
                "A user",
                "Clients of the user with this name. Without it, of any user, and guests.",
                **USER,
                examples=["ann", "{{ data.who }}"],
            ),
            "client": option(
                "A client",
                "The client with this id. Without it, with any id.",
                **USER,
                examples=["{{ data.clientId }}"],
            ),
            "path": option(
                "A path",
                "Clients on this path. Without it, on any path.",
                **USER,
                examples=["/rooms/blue", "{{ path }}"],
            ),
            "group": option(
                "A group",
                "Clients of this group. Without it, of any groups.",
                **USER,
                examples=["game {{ data.game }}"],
            ),
            "code": option(
                "Code",
                "Of the close frame (RFC 6455 section 7.4). 4000 to 4999 are for apps.",
                ["integer", "string"],
                default=_KICKED,
                examples=[_KICKED],
            ),
            "reason": REASON,
        },
        examples=[{"user": "{{ data.who }}", "path": "{{ path }}", "reason": "Be polite"}],
    ),
    _kick,
    _check,
)
