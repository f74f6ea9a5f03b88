"""``wait``: waits, but only while the client of the list is connected."""

import asyncio
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import LONGEST_WAIT, Run
from signalpost.actions.given import OptionError, described
from signalpost.config.actions import Place, has_template, is_whole
from signalpost.config.section import Section
from signalpost.units import format_duration, parse_wait
from signalpost.words import given


def _check(step: Section, _place: Place) -> None:
    value = step.data.get("wait")
    if not isinstance(value, str) or not has_template(value):
        seconds = step.quantity("wait", parse_wait)
        if seconds is not None and seconds > LONGEST_WAIT:
            step.problem("wait", f"a step waits {format_duration(LONGEST_WAIT)} at most")
    elif not is_whole(value):
        step.problem("wait", f"must be a time, or one expression that gives one, not {given(value)}")


async def _wait(run: Run, time: Any) -> None:
    try:
        seconds = parse_wait(time)
    except (ValueError, TypeError):
        seconds = -1.0
    if seconds < 0 or isinstance(time, bool):
        raise OptionError(f"must be a time such as 500ms, or a number of seconds, not {described(time)}") from None
    run.wait(seconds)
    if run.trace is not None:
        return  # a trace need not wait
    ends = run.request is None and getattr(run.event, "code", None) is None  # a request is answered, whoever leaves
    client = getattr(run.event, "client", None) if ends else None
    if client is None:
        await asyncio.sleep(seconds)
    else:
        run.deserted = not await run.event.shared.stays(client, seconds)


ACTION = BuiltIn(
    schema=option(
        "Wait",
        (
            "Waits: a number and a unit (ms, s, m), or a number of seconds, or an expression that returns "
            "either. All waits of one run take at most a minute, and each counts at least 30 ms. If the "
            "client leaves meanwhile, the rest is not done, except in disconnected. Other lists run "
            "meanwhile and may change the state. The run counts in limits.handlers, as a handler does. On "
            "a signal, all its lists then take turns, as with call."
        ),
        ["string", "number"],
        minLength=1,
        minimum=0,
        examples=["500ms", "2s", "{{ data.seconds }}"],
    ),
    check=_check,
    effect=_wait,
    waits=True,
)
