"""``let``: assigns names to values."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import Run
from signalpost.config.actions import Place, name_fault
from signalpost.config.section import Section


def _check(step: Section, _place: Place) -> None:
    for name in step.mapping("let"):
        if fault := name_fault(name):
            step.report.add((*step.keys, "let", name), fault, of_key=True)


def _let(run: Run, values: Mapping[str, Any]) -> None:
    run.variables.update(values)


ACTION = BuiltIn(
    schema=option(
        "Let",
        (
            "Names values for the templates of the steps after it, up to the end of its list. If the name "
            "exists already, its value changes, for the lists around it, too."
        ),
        "object",
        minProperties=1,
        examples=[{"name": "{{ state.names[client.id] | default('guest') }}"}],
    ),
    check=_check,
    effect=_let,
    binds=True,
)
