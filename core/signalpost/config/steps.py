"""The lists of actions of routes.yaml (``do``): which steps there are, and which may stand where.

The routes schema has judged the options of the built-in actions. A step of another name may be a plugin's action: that
is known to the plan only.
"""

from collections.abc import Iterator
from enum import StrEnum

from signalpost.config.model import StepConfig
from signalpost.config.section import Section
from signalpost.config.words import quoted


class Place(StrEnum):
    """Where a list of actions stands, as people call it."""

    SIGNAL = "signal"


def read_steps(section: Section, name: str, place: Place) -> tuple[StepConfig, ...]:
    """Read the list of actions at the key `name`; empty if there is none."""
    return tuple(_steps(section, name, place))


def _steps(section: Section, name: str, place: Place) -> Iterator[StepConfig]:
    for step in section.sections(name):
        read = _read_step(step, place)
        if read is not None:
            yield read


def _read_step(step: Section, _place: Place) -> StepConfig | None:
    names = list(step.data)
    if len(names) != 1:
        found = " and ".join(map(quoted, names[:3])) if names else "nothing"
        step.problem(None, f'a step is one action, not {found}: begin each action with "- "')
        return None
    return StepConfig(step.keys, names[0], step.data[names[0]])
