"""What an operation is, who calls it, and why it may not be done."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signalpost.config.authmodel import ApiKeyConfig, KeyPermission
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.operations.operator import Operator
from signalpost.words import listing, quoted

Arguments = Mapping[str, Any]
Document = Mapping[str, Any]


class OperationError(Exception):
    """An operation is not done.

    Attributes:
        code: for programs: ``bad-request``, ``forbidden``, ``not-found``, ``unknown-position``, ``unavailable``,
            ``refused`` or the code of a plugin's filter.
        detail: one sentence for people.
        pointer: a JSON Pointer (RFC 6901) to what is wrong in the arguments; empty for the whole.
    """

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        self.code = code
        self.detail = detail
        self.pointer = pointer
        super().__init__(detail)

    @property
    def body(self) -> dict[str, str]:
        """The error object of the wire."""
        body = {"code": self.code, "pointer": self.pointer, "detail": self.detail}
        return {name: text for name, text in body.items() if text}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls an operation.

    Attributes:
        name: for logs.
        key: that was shown; None may do everything, as whoever can use the control socket may.
    """

    name: str
    key: ApiKeyConfig | None = None

    @classmethod
    def of_key(cls, key: ApiKeyConfig) -> "Caller":
        """Return the program whose key was shown."""
        return cls(f"the program {key.name} (API key)", key)

    def require(self, permission: KeyPermission) -> None:
        """Check that the caller's key allows something.

        Raises:
            OperationError: ``forbidden``.
        """
        if self.key is not None and permission not in self.key.may:
            allowed = listing(sorted(each.value for each in self.key.may))
            text = f"the key {quoted(self.key.name)} does not allow {permission.value} (its may: {allowed})"
            raise OperationError("forbidden", text)

    def require_path(self, path: str | None, pointer: str = "/path") -> None:
        """Check that the caller's key allows a path; without a path, that it allows all of them.

        Raises:
            OperationError: ``forbidden``.
        """
        if self.key is None or not self.key.paths or (path is not None and self.key.allows_path(path)):
            return
        allowed = listing([each.text for each in self.key.paths])
        if path is None:
            text = f"the key {quoted(self.key.name)} is for some paths only: name one of these as path ({allowed})"
            raise OperationError("forbidden", text)
        text = f"the key {quoted(self.key.name)} does not allow the path {quoted(path)} (its paths: {allowed})"
        raise OperationError("forbidden", text, pointer)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that other programs may ask for.

    Attributes:
        name: in the path of the API, and on the control socket.
        summary: one line for people.
        needs: what a key must allow; None is nothing in particular.
        reads: whether it changes nothing.
        arguments: the JSON Schema of its arguments.
        answer: the JSON Schema of what it returns.
        function: does it; its arguments match the schema.
        detail: what else there is to know; empty for nothing.
    """

    name: str
    summary: str
    needs: KeyPermission | None
    reads: bool
    arguments: Document
    answer: Document
    function: Callable[[Operator, Caller, Any], Awaitable[Any]]
    detail: str = ""

    @property
    def gate(self) -> SchemaGate:
        """What judges its arguments; compiled when it is needed, as most servers never do."""
        if self.name not in _GATES:
            _GATES[self.name] = SchemaGate.compile(self.arguments)
        return _GATES[self.name]

    async def run(self, operator: Operator, caller: Caller, arguments: Any) -> Any:
        """Do it, and return its answer.

        Args:
            operator: that it is done with.
            caller: who asks for it.
            arguments: as they came.

        Raises:
            OperationError: it is not done.
        """
        if self.needs is not None:
            caller.require(self.needs)
        self.check(arguments)
        return await self.function(operator, caller, arguments)

    def check(self, arguments: Any) -> None:
        """Check the arguments.

        Raises:
            OperationError: ``bad-request``.
        """
        gate = self.gate
        if not gate.accepts(arguments):
            found = gate.explain(arguments)
            raise OperationError("bad-request", self._lacking(arguments, found.pointer) or found.detail, found.pointer)

    def _lacking(self, arguments: Any, pointer: str) -> str:
        """Return which arguments an object lacks of which one is needed; empty if that is not its mistake."""
        schema, given = self.arguments, arguments
        if "else" in schema:
            schema, number = schema["else"], pointer[1:].partition("/")[0]
            given = arguments[int(number)] if isinstance(arguments, list) and number.isdigit() else arguments
        names = [each["required"][0] for each in schema.get("anyOf", ())]
        if not isinstance(given, dict) or not names or any(name in given for name in names):
            return ""
        return f"{self.name} wants at least one of {listing(names)}"


_GATES: dict[str, SchemaGate] = {}
