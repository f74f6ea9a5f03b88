"""An action: a plugin's function that routes.yaml names as a step of a ``do`` list, with what its options may be."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signalpost.foreign import Code, Seat
from signalpost.jsonschemas.gate import SchemaGate

Schema = Mapping[str, Any] | bool
ActionFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Action:
    """A plugin's function under its name.

    Attributes:
        name: unique among all actions of all plugins, and none of the built-in ones.
        function: ``def`` or ``async def`` taking the event and the step's options, rendered; what it returns is
            ignored.
        schema: a JSON Schema (draft 2020-12) of the options; True allows anything.
        plugin: the name of the plugin it comes from; empty until discovery has filled it in, as are the next two.
        where: ``file:line`` of the function.
        gate: judges rendered options by `schema`.
        seat: where the plugin's instance sits.

    """

    name: str
    function: ActionFunction = field(compare=False)
    schema: Schema = True
    plugin: str = ""
    where: str = ""
    gate: SchemaGate | None = field(default=None, compare=False, repr=False)
    seat: Seat | None = field(default=None, compare=False, repr=False)

    @property
    def code(self) -> Code:
        """What the log calls it."""
        return Code(f'action "{self.name}"', self.plugin, self.where, self.seat)

    @property
    def waits(self) -> bool:
        """Whether the function is to be awaited."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def described(self) -> Mapping[str, Any]:
        """The schema for editors: with the function's name and its docstring's first line where it has none."""
        document = dict(self.schema) if isinstance(self.schema, Mapping) else {} if self.schema else {"not": {}}
        document.setdefault("title", f"Action {self.name}")
        lines = (inspect.getdoc(self.function) or "").splitlines()
        if lines:
            document.setdefault("description", lines[0])
        return document


@dataclass(frozen=True, slots=True)
class SettingsSchema:
    """What a plugin says its settings may be.

    Attributes:
        document: a JSON Schema (draft 2020-12) of the mapping under ``plugins: settings:``.
        plugin: the plugin's name.
        where: ``file:line`` of what gave it.

    """

    document: Mapping[str, Any]
    plugin: str
    where: str
