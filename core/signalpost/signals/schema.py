r"""The JSON Schema gate: whether an instance passes, and what to tell its sender when it does not.

`jsonschema_rs` decides: it reads Python objects as they are and answers in about 0.15 us. `jsonschema` is the
reference it is held against in the tests, where every case in which the two differ is pinned.

What a user's schema may say:

* The draft is the one ``$schema`` names (4, 6, 7, 2019-09, 2020-12); without it, 2020-12.
* ``format`` is what its draft makes of it: checked in drafts 4, 6 and 7, an annotation without effect in 2019-09
  and 2020-12 (JSON Schema 2020-12, validation section 7.2.1).
* ``pattern`` is matched in time linear in the text, so that no client can stall the server with one
  (``^(a+)+$``). The price is that look-around (``(?=…)``, ``(?!…)``, ``(?<=…)``, ``(?<!…)``) and back-references
  (``\1``) are refused when the schema is compiled.
* ``$ref`` reaches what the schema itself holds and the meta-schemas of the drafts. Nothing is ever fetched, neither
  from the network nor from a file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
from jsonschema_rs import ValidationError

from signalpost.signals.mismatch import Mismatch, explain_error, too_deep, unexplained
from signalpost.signals.refusal import refusal_of
from signalpost.signals.unions import without_unions

Document = Mapping[str, Any] | bool

# Keywords whose check can raise instead of answering: `uniqueItems` gives up on items nested deeper than 255 levels,
# while every other keyword walks any depth that orjson lets through.
_CAN_RAISE = frozenset({"uniqueItems"})
_WITH_CONDITIONS = (
    jsonschema_rs.Draft7Validator,
    jsonschema_rs.Draft201909Validator,
    jsonschema_rs.Draft202012Validator,
)
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, slots=True)
class SchemaGate:
    """A compiled JSON Schema. Make one with `compile`.

    Attributes:
        accepts: whether an instance (as orjson reads it) matches. Never raises and never blocks. It is the engine's
            own bound method wherever that cannot raise: the gate stands before every message.
        document: what it was compiled from.

    """

    accepts: Callable[[Any], bool]
    document: Document = field(compare=False, repr=False)
    _explainer: jsonschema_rs.Validator | None

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
        except ValidationError as error:
            raise ValueError(refusal_of(error)) from None
        except RecursionError:
            raise ValueError("the schema is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"the schema cannot be read as JSON: {' '.join(str(error).split())}") from None
        accepts = _guarded(validator) if _may_raise(plain) else validator.is_valid
        return cls(accepts, document, _explainer(plain, validator))

    def explain(self, instance: Any) -> Mismatch:
        """Say why `accepts` refused the instance: the first mismatch only, so that no client can buy a long answer.

        Never raises. What the schema asks for is told to the client: a schema is no place for secrets.
        """
        if self._explainer is None:
            return unexplained()
        try:
            self._explainer.validate(instance)
        except ValidationError as error:
            return explain_error(error, instance)
        except ValueError:  # the engine copies what it explains, and copies 255 levels at most
            return too_deep()
        return unexplained()


def _engine(plain: dict[str, Any] | bool) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(plain, pattern_options=jsonschema_rs.RegexOptions(), offline=True)


def _explainer(plain: dict[str, Any] | bool, validator: jsonschema_rs.Validator) -> jsonschema_rs.Validator | None:
    """Return a validator that finds the first mismatch at about the cost of `accepts`; None when there is none."""
    equivalent = without_unions(plain, conditions=isinstance(validator, _WITH_CONDITIONS))
    if equivalent is plain:
        return validator
    if equivalent is None:
        return None
    try:
        return _engine(equivalent)
    except ValueError:  # a reference points into a union, which is no longer where it was
        return None


def _guarded(validator: jsonschema_rs.Validator) -> Callable[[Any], bool]:
    """Turn the engine's giving up into a refusal: what cannot be checked does not pass."""
    is_valid = validator.is_valid

    def accepts(instance: Any) -> bool:
        try:
            return is_valid(instance)
        except ValueError:
            return False

    return accepts


def _plain(document: Any) -> Any:
    """Copy a schema into dicts and lists, which is all the engine reads."""
    if isinstance(document, Mapping):
        return {key: _plain(value) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str | bytes):
        return [_plain(value) for value in document]
    return document


def _may_raise(document: Any) -> bool:
    """Whether the schema, or a meta-schema it refers to, uses a keyword of `_CAN_RAISE`. Errs on the safe side."""
    return any(
        key in _CAN_RAISE or (key in _REFERENCES and not str(value).startswith("#")) for key, value in _pairs(document)
    )


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of every mapping in a schema."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(document, list):
        for value in document:
            yield from _pairs(value)
