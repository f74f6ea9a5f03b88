"""``close``: closes the sender's connection."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError, whole_of
from signalpost.config.actions import NO_SENDER, WITH_SENDER, Place, check_expression
from signalpost.config.section import Section
from signalpost.templates.text import as_text
from signalpost.websocket.frames import CODES_ALLOWED, may_be_sent

_KICKED = 4009


def _check(step: Section, _place: Place) -> None:
    options = step.section("close")
    if options is None:
        return
    check_expression(options, "code")
    code = options.whole("code", _KICKED)
    if not may_be_sent(code):
        options.problem("code", f"{code} must not be sent ({CODES_ALLOWED})")


def _close(run: Run, options: Mapping[str, Any]) -> None:
    code = whole_of("code", options.get("code", _KICKED))
    if not may_be_sent(code):
        raise OptionError(f"code {code} must not be sent ({CODES_ALLOWED})")
    run.event.close(code, as_text(options.get("reason", "")))


ACTION = BuiltIn(
    schema=option(
        "Close",
        "Closes the sender's connection. {} is every default.",
        "object",
        additionalProperties=False,
        properties={
            "code": option(
                "Code",
                "Of the close frame (RFC 6455 section 7.4). 4000 to 4999 are for apps.",
                ["integer", "string"],
                default=_KICKED,
                examples=[4009, "{{ data.code }}"],
            ),
            "reason": option("Reason", "For people. Cut to 123 bytes.", "string", default="", examples=["Be polite"]),
        },
        examples=[{"reason": "Be polite"}],
    ),
    places=WITH_SENDER,
    needs=NO_SENDER,
    check=_check,
    effect=_close,
    refuses=True,
)
