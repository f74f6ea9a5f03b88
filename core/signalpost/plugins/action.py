"""An action: a plugin's function that routes.yaml names as a step of a ``do`` list, with a schema of its options."""

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
    """A plugin's function with its name.

    Attributes:
        name: unique among all actions of all plugins and the built-in ones.
        function: ``def`` or ``async def`` with the event and the step's rendered options as parameters; its result is
            ignored.
        schema: a JSON Schema (draft 2020-12) of the options; True allows anything.
        plugin: the name of its plugin; empty until discovery sets it, as are the next two.
        where: ``file:line`` of the function.
        gate: validates rendered options by `schema`.
        seat: of the plugin's instance.
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
        """Its name in the log."""
        return Code(f'action "{self.name}"', self.plugin, self.where, self.seat)

    @property
    def waits(self) -> bool:
        """Whether the function is to be awaited."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def described(self) -> Mapping[str, Any]:
        """The schema for editors; where it has none, with the function's name and the first line of its docstring."""
        document = dict(self.schema) if isinstance(self.schema, Mapping) else {} if self.schema else {"not": {}}
        document.setdefault("title", f"Action {self.name}")
        lines = (inspect.getdoc(self.function) or "").splitlines()
        if lines:
            document.setdefault("description", lines[0])
        return document


@dataclass(frozen=True, slots=True)
class SettingsSchema:
    """The schema of a plugin's settings.

    Attributes:
        document: a JSON Schema (draft 2020-12) of the mapping under ``plugins: settings:``.
        plugin: the plugin's name.
        where: ``file:line`` of its source.
    """

    document: Mapping[str, Any]
    plugin: str
    where: str
