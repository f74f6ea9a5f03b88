"""``append``: adds an item at the end of a list in the state."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Undefined

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError, described
from signalpost.actions.statekeys import holder_of, key_fault, path_of
from signalpost.actions.steps import Options, Step, joined
from signalpost.config.actions import Place, split_key
from signalpost.config.section import Section
from signalpost.state.state import picked
from signalpost.templates.attributes import item

_ITEMS_KEPT = 100


def _check(step: Section, _place: Place) -> None:
    options = step.section("append")
    key = None if options is None else options.data.get("to")
    if options is not None and isinstance(key, str) and (fault := key_fault(key)):
        options.problem("to", fault)


def _compile(draft: Draft) -> Step:
    """Compile an ``append``: the path of its list is split like the keys of ``set``."""
    given = draft.config.options if isinstance(draft.config.options, dict) else {}
    return draft.leaf(
        joined(
            {
                "to": draft.options(list(split_key(str(given.get("to", "")))), "to"),
                "value": draft.options(given.get("value"), "value"),
                "keep": Options(given.get("keep", _ITEMS_KEPT)),
            }
        )
    )


def _append(run: Run, options: Mapping[str, Any]) -> None:
    """Add an item at the end of a list in the state, and remove the first ones if there are too many."""
    state = run.event.shared.state
    path = path_of(options["to"])
    items = picked(state.view, [(item, part) for part in path])
    if items is None or isinstance(items, Undefined):
        items = []
    elif not isinstance(items, list):
        raise OptionError(f"to: a list must stand there, not {described(items)}")
    state.put(path, [*items, options["value"]][-options["keep"] :], holder_of(run), run.tick)


ACTION = BuiltIn(
    schema=option(
        "Append",
        (
            "Puts an item at the end of a list in the state, and makes the list if it is missing. Removes the "
            "first items beyond keep."
        ),
        "object",
        additionalProperties=False,
        required=["to", "value"],
        properties={
            "to": option(
                "To",
                "Where the list is in the state: a key as in set.",
                "string",
                minLength=1,
                examples=["history.{{ params.room }}"],
            ),
            "value": option("Value", "The item.", examples=["{{ message }}"]),
            "keep": option(
                "Items to keep",
                "The most items in the list.",
                "integer",
                minimum=1,
                maximum=1000,
                default=_ITEMS_KEPT,
                examples=[20],
            ),
        },
        examples=[{"to": "history", "value": "{{ message }}", "keep": 20}],
    ),
    check=_check,
    compile=_compile,
    effect=_append,
    changes=True,
)
