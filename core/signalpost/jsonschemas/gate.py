r"""The JSON Schema gate: whether an instance matches, and the words for its sender if it does not.

`jsonschema_rs` decides: it reads Python objects as they are and needs about 0.15 us. `jsonschema` is the reference in
the tests, which pin every case in which the two differ.

What a user's schema may contain:

* The draft is the one ``$schema`` names (4, 6, 7, 2019-09, 2020-12); without it, 2020-12.
* ``format`` follows its draft: checked in drafts 4, 6 and 7, an annotation without effect in 2019-09
  and 2020-12 (JSON Schema 2020-12, validation section 7.2.1).
* ``pattern`` is matched in time linear in the text, so that no client can stall the server with one
  (``^(a+)+$``). In return, look-around (``(?=…)``, ``(?!…)``, ``(?<=…)``, ``(?<!…)``) and back-references
  (``\1``) are rejected when the schema is compiled.
* ``$ref`` reaches the schema itself and the meta-schemas of the drafts. Nothing is ever fetched, neither
  from the network nor from a file.

No message blocks the loop for long, whatever the schema. The engine validates a short one directly, since it cannot
cost much. The cost of a longer one is estimated first (`signalpost.jsonschemas.cost`), and the engine's slow keywords
are replaced by `signalpost.jsonschemas.keywords`, which count their work. A message that would cost more than `BUDGET`
is rejected without validation, and its sender is told why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import ValidationError

from signalpost.jsonschemas.cost import Schema, SchemaCost, amount, amount_of_text, cost_of, paths_of, without_strings
from signalpost.jsonschemas.keywords import (
    Draft,
    Meter,
    careful_cost,
    factories,
    pattern_costs,
    plain_cost,
    with_own_keywords,
)
from signalpost.jsonschemas.rejection import (
    TOO_DEEP,
    TOO_LARGE,
    UNEXPLAINED,
    Rejection,
    explain_error,
    refusal_of,
    too_costly,
)
from signalpost.jsonschemas.unions import without_unions
from signalpost.jsonschemas.walk import pairs

Document = Mapping[str, Any] | bool

BUDGET: Final = 20_000_000
"""Nanoseconds that the validation of one message may take at most."""

METERED: Final = 10_000_000
_TO_EXPLAIN: Final = 15_000_000
_SHORT: Final = 500_000  # maximum for the engine's own slow keywords, if a text is short
_SHORT_UNIQUE = 400  # bytes, in which `uniqueItems` is quadratic
_ANY_LENGTH = 1 << 62
_COPYING = 150  # nanoseconds for each value that an error of the engine copies
_EXPLAINING = 3  # factor by which finding a mismatch takes longer than validating
_DEEP = 64
# Lower limits than these are worth a note.
_MANY_VALUES, _MANY_KILOBYTES, _LONG_TEXT = 30_000, 1_024, 16_384

# Keywords whose check can raise instead of returning: `uniqueItems` gives up on items nested deeper than 255 levels,
# while all other keywords handle any depth that orjson accepts.
_UNIQUE = frozenset({"uniqueItems"})
_SLOW = frozenset({"uniqueItems", "multipleOf"})
_WITH_CONDITIONS = (
    jsonschema_rs.Draft7Validator,
    jsonschema_rs.Draft201909Validator,
    jsonschema_rs.Draft202012Validator,
)
_WITH_FORMATS = (jsonschema_rs.Draft4Validator, jsonschema_rs.Draft6Validator, jsonschema_rs.Draft7Validator)
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})

Engine = Callable[[Schema], jsonschema_rs.Validator]


@dataclass(frozen=True, slots=True)
class SchemaGate:
    """A compiled JSON Schema. Create one with `compile`.

    Attributes:
        accepts: whether an instance (as orjson reads it) matches. Never raises. It is the engine's own bound method
            wherever that cannot raise, since every message passes the gate. Only for trusted values, and for texts of
            up to `short` bytes: these take no longer than `BUDGET`.
        short: how many bytes the text of an instance may have for a call of `accepts`.
        document: what it was compiled from.
    """

    accepts: Callable[[Any], bool]
    short: int
    document: Document = field(compare=False, repr=False)
    _explainer: "_Explainer"
    _weighed: "_Weighed"

    @classmethod
    def compile(cls, document: Document) -> "SchemaGate":
        """Compile a schema: a mapping or a boolean.

        Raises:
            ValueError: the schema cannot be used; the text, one line, says why and where in the schema.
        """
        if not isinstance(document, Mapping | bool):
            raise ValueError("a schema is a mapping, true or false")  # noqa: TRY004 - as wrong as any other bad schema
        try:
            plain = _plain(document)
            validator = _engine(plain)
            return cls._compiled(document, plain, validator)
        except ValidationError as error:
            raise ValueError(refusal_of(error)) from None
        except RecursionError:
            raise ValueError("the schema is nested too deeply") from None
        except _TooSlowError:
            raise
        except ValueError as error:
            raise ValueError(f"the schema cannot be read as JSON: {' '.join(str(error).split())}") from None

    @classmethod
    def _compiled(cls, document: Document, plain: Schema, validator: jsonschema_rs.Validator) -> "SchemaGate":
        weighed = _Weighed.compile(plain, validator)
        cost = cost_of(plain, partial(plain_cost, _checks_formats(plain, validator)))
        explainer = _Explainer.compile(plain, validator, _engine, cost)
        accepts = _guarded(validator) if _uses(plain, _UNIQUE) else validator.is_valid
        return cls(accepts, _short(plain, cost, weighed), document, explainer, weighed)

    @property
    def bounds(self) -> tuple[str, ...]:
        """The limits that the cost of the schema sets for messages, in words for its author."""
        return tuple(self._weighed.bounds())

    def explain(self, instance: Any) -> Rejection:
        """Return why `accepts` rejected the instance: only the first mismatch, so no client can force a long answer.

        Never raises. The client is told what the schema requires: a schema must not contain secrets.
        """
        return self._explainer.explain(instance)

    def rejection(self, instance: Any, text: bytes) -> Rejection | None:
        """Validate an instance; return why it does not match, or None if it does.

        Never raises, and takes at most `BUDGET` to validate and as much again to explain. An instance that would take
        longer is rejected as a mismatch.

        Args:
            instance: as orjson reads it.
            text: from which it was read.
        """
        if len(text) > self.short:
            return self._weighed.rejection(instance, text)
        return None if self.accepts(instance) else self.explain(instance)


class _TooSlowError(ValueError):
    """A schema takes too long for any message."""


@dataclass(frozen=True, slots=True)
class _Explainer:
    """Finds the first rejection.

    Attributes:
        validator: finds it at about the cost of validation; None if there is none.
        paths: see `paths_of`.
        cost: of validation.
    """

    validator: jsonschema_rs.Validator | None
    paths: int
    cost: SchemaCost

    @classmethod
    def compile(
        cls, schema: Schema, validator: jsonschema_rs.Validator, engine: Engine, cost: SchemaCost
    ) -> "_Explainer":
        """Create one for a schema, with a validator that finds the first mismatch at about the cost of validation."""
        equivalent = without_unions(schema, conditions=isinstance(validator, _WITH_CONDITIONS))
        if equivalent is schema:
            return cls(validator, paths_of(schema), cost)
        try:
            return cls(None if equivalent is None else engine(equivalent), paths_of(equivalent), cost)
        except ValueError:  # a reference points into a union, which has moved
            return cls(None, 0, cost)

    def explain(self, instance: Any) -> Rejection:
        if self.validator is None:
            return UNEXPLAINED
        if not self._affords(instance):
            return TOO_LARGE
        try:
            self.validator.validate(instance)
        except ValidationError as error:
            return explain_error(error, instance)
        except ValueError:  # the engine copies what it explains, and copies 255 levels at most
            return TOO_DEEP
        return UNEXPLAINED

    def _affords(self, instance: Any) -> bool:
        """Return whether there is time to explain; short texts are not inspected."""
        values, huge = amount(instance, _TO_EXPLAIN // _COPYING)
        cost = _EXPLAINING * self.cost.of(values, huge, 0) + _COPYING * values
        if self.paths > 1:
            cost *= self.paths ** _depth(instance)
        return cost <= _TO_EXPLAIN


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Validates messages of any length.

    Attributes:
        accepts: whether an instance matches, within the budget of `meter`.
        cost: that `meter` does not count.
        light: how many bytes a text may have without a count of its values.
        careful: whether any keyword is not the engine's own.
        texts: how many bytes of text its patterns can be matched with.
    """

    accepts: Callable[[Any], bool]
    cost: SchemaCost
    meter: Meter
    light: int
    careful: bool
    texts: int
    explainer: _Explainer

    @classmethod
    def compile(cls, plain: Schema, validator: jsonschema_rs.Validator) -> "_Weighed":
        """Compile a schema that the engine has compiled.

        Raises:
            _TooSlowError: it takes too long.
        """
        formats, const = isinstance(validator, _WITH_FORMATS), not isinstance(validator, jsonschema_rs.Draft4Validator)
        schema = with_own_keywords(plain, Draft(formats, const))
        cost = cost_of(schema, partial(careful_cost, _checks_formats(plain, validator)))
        if cost.once > BUDGET:
            raise _TooSlowError(
                f"the schema takes up to {cost.once // 1_000_000} ms for any message, and may take "
                f"{BUDGET // 1_000_000}: what is referred to twice is checked twice, and so on in what refers to it"
            )
        meter = Meter(METERED)
        careful = schema != plain or _uses(plain, _SLOW)
        engine = partial(_engine, keywords=factories(meter, _engine, _draft(plain))) if careful else _engine
        judge = engine(schema) if careful else validator
        texts = METERED // max(pattern_costs(schema), default=1)
        explainer = _Explainer.compile(schema, judge, engine, cost)
        return cls(judge.is_valid, cost, meter, _affordable(cost, BUDGET), careful, texts, explainer)

    def rejection(self, instance: Any, text: bytes) -> Rejection | None:
        """Validate an instance: see `SchemaGate.rejection`."""
        if len(text) > self.light and not self._affords(text):
            return too_costly(self.most)
        self.meter.start()
        accepted = self.accepts(instance)
        if self.meter.left < 0:
            return too_costly()
        if accepted:
            return None
        self.meter.start()
        found = self.explainer.explain(instance)
        return found if self.meter.left >= 0 else TOO_LARGE

    def _affords(self, text: bytes) -> bool:
        """Return whether there is time for the contents of a text."""
        if self.cost.of(*amount_of_text(text), len(text)) <= BUDGET:
            return True
        outside = without_strings(text)
        return len(outside) < len(text) and self.cost.of(*amount_of_text(outside), len(text)) <= BUDGET

    @property
    def most(self) -> int:
        """The number of values that a message may have."""
        return (BUDGET - self.cost.once) // max(self.cost.each.value, 1)

    def bounds(self) -> Iterator[str]:
        """Yield the limits for messages."""
        if self.most < _MANY_VALUES:
            yield f"with more than {self.most} values"
        kilobytes = (BUDGET - self.cost.once) // max(self.cost.each.byte, 1) >> 10
        if kilobytes < _MANY_KILOBYTES:
            yield f"of more than {kilobytes} KiB"
        if self.texts < _LONG_TEXT:
            yield f"with a text of more than {self.texts} bytes for a pattern"


def _short(plain: Schema, cost: SchemaCost, weighed: _Weighed) -> int:
    """Return up to how many bytes of text the engine needs no budget, given its worst-case cost."""
    short = _affordable(cost, _SHORT if weighed.careful else BUDGET)
    return min(short, _SHORT_UNIQUE) if _uses(plain, _UNIQUE) else short


def _affordable(cost: SchemaCost, room: int) -> int:
    """Return how many bytes of any text can be validated in this many nanoseconds."""
    # The shortest values are two bytes with their comma, the shortest huge numbers five: 1e19.
    for_byte = cost.each.value / 2 + cost.each.huge / 5 + cost.each.byte
    room = max(room - cost.once - cost.each.value, 0)
    return int(room / for_byte) if for_byte else _ANY_LENGTH


def _depth(instance: Any) -> int:
    """Return the nesting depth of a value, up to `_DEEP`."""
    level, depth = [instance], 0
    while level and depth < _DEEP:
        parts = (part.values() if type(part) is dict else part for part in level if type(part) in (dict, list))
        level = [each for part in parts for each in part]
        depth += 1
    return depth


def _engine(schema: Schema, keywords: dict[str, Any] | None = None) -> jsonschema_rs.Validator:
    options = jsonschema_rs.RegexOptions()
    return jsonschema_rs.validator_for(schema, pattern_options=options, keywords=keywords, offline=True)


def _draft(plain: Schema) -> str | None:
    return plain.get("$schema") if isinstance(plain, dict) else None


def _checks_formats(plain: Schema, validator: jsonschema_rs.Validator) -> bool:
    """Return whether the schema, or any part with a draft of its own, may check ``format``."""
    drafts = sum(key == "$schema" for key, _ in pairs(plain))
    return isinstance(validator, _WITH_FORMATS) or drafts > 1


def _guarded(validator: jsonschema_rs.Validator) -> Callable[[Any], bool]:
    """Turn an exception of the engine into a rejection: what cannot be checked does not match."""
    is_valid = validator.is_valid

    def accepts(instance: Any) -> bool:
        try:
            return is_valid(instance)
        except ValueError:
            return False

    return accepts


def _plain(document: Any) -> Any:
    """Copy a schema into dicts and lists, which are all that the engine reads."""
    if isinstance(document, Mapping):
        return {key: _plain(value) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str | bytes):
        return [_plain(value) for value in document]
    return document


def _uses(document: Any, keywords: frozenset[str]) -> bool:
    """Return whether the schema, or a referenced meta-schema, may use one of the keywords; true in case of doubt."""
    return any(
        key in keywords or (key in _REFERENCES and not str(value).startswith("#")) for key, value in pairs(document)
    )
