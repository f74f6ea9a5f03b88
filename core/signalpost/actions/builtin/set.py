"""``set``: stores values in the state."""

from collections.abc import Sequence
from typing import Any

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.statekeys import holder_of, key_fault, path_of
from signalpost.actions.steps import Step, paired
from signalpost.config.actions import Place, split_key
from signalpost.config.section import Section


def _check(step: Section, _place: Place) -> None:
    for key in step.mapping("set"):
        if fault := key_fault(key):
            step.report.add((*step.keys, "set", key), fault, of_key=True)
    if step.data.get("set") == {}:
        step.problem("set", "must not be empty: give at least one key of state and its value")


def _compile(draft: Draft) -> Step:
    """Compile a ``set``: keys are split at their dots before anything is rendered."""
    entries = draft.config.options if isinstance(draft.config.options, dict) else {}
    return draft.leaf(
        paired(
            [
                (draft.options(list(split_key(key)), key, of_key=True), draft.options(value, key))
                for key, value in entries.items()
            ]
        )
    )


def _set(run: Run, entries: Sequence[tuple[Sequence[Any], Any]]) -> None:
    """Store values in the state, each at its path; None removes the value."""
    state, holder = run.event.shared.state, holder_of(run)
    for parts, value in entries:
        path = path_of(parts)
        if value is None:
            state.discard(path)
        else:
            state.put(path, value, holder, run.tick)


ACTION = BuiltIn(
    schema=option(
        "Set",
        (
            "Puts values into the state that all actions and handlers share. A dot in a key goes into a "
            "mapping, which is made if it is missing. Dots in a template's result do not count. null "
            "removes."
        ),
        "object",
        examples=[{"count": "{{ state.count | default(0) + 1 }}", "names.{{ client.id }}": "{{ message }}"}],
    ),
    check=_check,
    compile=_compile,
    effect=_set,
    changes=True,
)
