"""``call``: calls a plugin's handler."""

from typing import Any

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.steps import Options, Step
from signalpost.config.actions import Place
from signalpost.events import given_to


def _compile(draft: Draft) -> Step | None:
    handler = draft.handler()
    if handler is None:
        return None
    code, function = handler.code, handler.function

    async def call(run: Run, _options: Any) -> None:
        answer = await code.run(function, given_to(run.event, code.seat))
        if answer is not None:
            run.answer = answer

    return draft.leaf(Options(handler.name), call, code=str(code))


ACTION = BuiltIn(
    schema=option(
        "Call",
        (
            "Calls a plugin's handler with the event, and waits for it. On a route, its return value is the "
            "answer, unless a respond follows."
        ),
        "string",
        minLength=1,
        examples=["shout"],
    ),
    places=frozenset({Place.SIGNAL, Place.ROUTE, Place.JOB, Place.FEED}),
    needs="handlers get messages, requests and runs (allowed in do); plugins hear of clients by their hooks",
    compile=_compile,
    waits=True,
    refuses=True,
)
