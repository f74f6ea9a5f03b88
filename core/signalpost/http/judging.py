"""Validation by a route's schemas: bodies, queries and parameters of paths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from signalpost.errors import ClientError, ErrorCode
from signalpost.fields import query_values
from signalpost.http.forms import NO_TYPES, body_of, text_of
from signalpost.http.request import WebRequest
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.typed import FieldTypes
from signalpost.plan import RouteRule

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})

Params = Mapping[str, Any]


def is_judged(rule: RouteRule, request: WebRequest) -> bool:
    """Return whether a schema has validated the body of a request, which is then its `document`."""
    return rule.gate is not None and request.method not in _WITHOUT_BODY


@dataclass(frozen=True, slots=True)
class Texts:
    """A schema for values that arrive as text: a query, or the parameters of a path."""

    name: str
    gate: SchemaGate
    types: FieldTypes

    @classmethod
    def of(cls, name: str, gate: SchemaGate | None) -> "Texts | None":
        """Read the types of a schema."""
        return None if gate is None else cls(name, gate, FieldTypes.of(gate.document))

    def judged_each(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the typed values of texts, one for each name.

        Raises:
            ClientError: as in `judged`.
        """
        return self.judged({name: (value,) for name, value in values.items()})

    def judged(self, fields: Mapping[str, Sequence[Any]]) -> Mapping[str, Any]:
        """Return the typed values of texts.

        Args:
            fields: all values of each name.

        Raises:
            ClientError: `SCHEMA_MISMATCH`.
        """
        values = self.types.read(fields)
        rejection = self.gate.rejection(values, orjson.dumps(values))
        if rejection is not None:
            where = f"the {self.name}, at {rejection.pointer}" if rejection.pointer else f"the {self.name}"
            raise ClientError(ErrorCode.SCHEMA_MISMATCH, f"{where}: {rejection.detail}")
        return values


def query_texts(rule: RouteRule) -> Texts | None:
    """Return the validation of a route's queries."""
    return Texts.of("query", rule.query)


def params_texts(rule: RouteRule) -> Texts | None:
    """Return the validation of the parameters of a route's path."""
    return Texts.of("path", rule.params)


@dataclass(frozen=True, slots=True)
class Judge:
    """Validates the requests of a route. Create one with `of`."""

    rule: RouteRule
    types: FieldTypes  # of the fields of a form
    query: Texts | None
    params: Texts | None

    @classmethod
    def of(cls, rule: RouteRule) -> "Judge | None":
        """Create the validation of a route; None if there is nothing to validate."""
        if rule.gate is None and rule.query is None and rule.params is None:
            return None
        types = NO_TYPES if rule.gate is None else FieldTypes.of(rule.gate.document)
        return cls(rule, types, query_texts(rule), params_texts(rule))

    def let_pass(self, request: WebRequest, params: Params) -> Params:
        """Validate a request and set its `typed_query` and `document`; return the parameters of its path.

        Raises:
            ClientError: `BAD_MESSAGE` if its body cannot be read, `SCHEMA_MISMATCH` if a schema rejects it.
        """
        if self.params is not None:
            params = self.params.judged_each(params)
        if self.query is not None:
            request.typed_query = self.query.judged(query_values(request.query_string))
        if is_judged(self.rule, request):
            request.document = self._document(request)
        return params

    def _document(self, request: WebRequest) -> Any:
        gate, forms = self.rule.gate, self.rule.do is not None
        document = body_of(request, forms=forms, types=self.types)
        if document is None and not request.body:
            raise ClientError(ErrorCode.BAD_MESSAGE, "The body is empty; JSON is expected.")
        rejection = None if gate is None else gate.rejection(document, text_of(document, request, forms=forms))
        if rejection is not None:
            raise ClientError(ErrorCode.SCHEMA_MISMATCH, rejection.detail, rejection.pointer)
        return document
