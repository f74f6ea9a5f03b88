"""Rewrites a schema so that the first mismatch is found without an explanation of every form of a union.

For a failed ``anyOf`` or ``oneOf`` the engine collects every error of every form, forms within forms included: a client
could make one answer cost seconds by nesting them, or by sending a long list. `without_unions` makes an equivalent
schema without that cost, whose errors are also better:

* Forms that differ by ``type`` become ``{"type": […]}`` and one ``if``/``then`` a type.
* Objects that differ by a required property with a fixed text (``{"kind": {"const": "chat"}}``) become an ``enum`` of
  those texts and one ``if``/``then`` a text.
* Any other union becomes ``{"not": {"not": …}}``, which the engine answers by yes or no.
"""

from collections.abc import Sequence
from typing import Any, Final

from signalpost.jsonschemas.walk import inside, pairs, pointed

Schema = Any
"""A schema in plain dicts and lists, or any part of one."""

UNIONS: Final = ("anyOf", "oneOf")
OWN: Final = "signalpost-"
"""Prefix of the name of a keyword that is checked by us instead of the engine; its value is data."""

_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
# These see what the forms of a union have covered, but not through ``not``.
_UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_COMMENTS = frozenset({"title", "description", "$comment", "deprecated"})
_META_SCHEMAS = ("http://json-schema.org/", "https://json-schema.org/")
_HOPS = 8


def without_unions(document: Schema, *, conditions: bool) -> Schema | None:
    """Return an equivalent of the schema, or None if there is none.

    A schema without unions is returned as it is. There is no equivalent if ``unevaluatedProperties`` or
    ``unevaluatedItems`` are beside a union of the third kind, through which they cannot see, or if the schema refers to
    a meta-schema, whose unions cannot be rewritten.

    Args:
        document: a schema that compiles, in plain dicts and lists.
        conditions: whether its draft has ``if`` and ``then`` (draft 7 and later).
    """
    keywords = list(pairs(document))
    if any(key in _REFERENCES and str(value).startswith(_META_SCHEMAS) for key, value in keywords):
        return None
    if not any(key in UNIONS for key, _ in keywords):
        return document
    rewriter = _Rewriter(document, conditions=conditions)
    rewritten = rewriter.rewrite(document)
    if rewriter.opaque and any(key in _UNEVALUATED for key, _ in keywords):
        return None
    return rewritten


class _Rewriter:
    """Rewrites the parts of one document.

    Attributes:
        opaque: whether a union has been hidden behind ``not``.
    """

    def __init__(self, document: dict[str, Any], *, conditions: bool) -> None:
        self._document = document
        self._conditions = conditions
        self.opaque = False
        # Below an identifier of its own, pointers start at that part; references are then not followed.
        identified = [key for key, value in pairs(document) if key in ("$id", "id") and isinstance(value, str)]
        own = [key for key in ("$id", "id") if isinstance(document.get(key), str)]
        self._followed = len(identified) == len(own)

    def rewrite(self, schema: Schema) -> Schema:
        """Rewrite a schema, or any value that may contain schemas: references may point into unknown keywords."""
        if isinstance(schema, list):
            return [self.rewrite(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        rewritten = {key: self._value(key, value) for key, value in schema.items() if not self._is_union(key, value)}
        conjuncts = [
            part for key, value in schema.items() if self._is_union(key, value) for part in self._union(key, value)
        ]
        if conjuncts:
            rewritten["allOf"] = [*rewritten.get("allOf", ()), *conjuncts]
        return rewritten

    def _value(self, key: str, value: Any) -> Any:
        return value if key.startswith(OWN) else inside(key, value, self.rewrite)

    @staticmethod
    def _is_union(key: str, value: Any) -> bool:
        return key in UNIONS and isinstance(value, list)

    def _union(self, keyword: str, forms: Sequence[Schema]) -> list[Schema]:
        """Return schemas of which a value matches all exactly if it matches the union."""
        typed = [self._types(form) for form in forms]
        if not self._conditions or not all(typed):
            return [self._opaque(keyword, forms)]
        groups = _by_type(forms, typed)
        together = list(dict.fromkeys(name for types in typed for name in types))
        return [
            {"type": together},
            *({"if": {"type": types}, "then": self._group(keyword, group)} for types, group in groups),
        ]

    def _group(self, keyword: str, forms: Sequence[Schema]) -> Schema:
        """Rewrite forms that share a type, for values of that type."""
        if len(forms) == 1:
            return self.rewrite(forms[0])
        return self._discriminated(forms) or self._opaque(keyword, forms)

    def _opaque(self, keyword: str, forms: Sequence[Schema]) -> Schema:
        self.opaque = True
        return {"not": {"not": {keyword: [self.rewrite(form) for form in forms]}}}

    def _discriminated(self, forms: Sequence[Schema]) -> Schema | None:
        """Distinguish objects by a property that each form requires, with a different text in each."""
        labels = [self._labels(form) for form in forms]
        for name in labels[0]:
            texts = [label.get(name) for label in labels]
            if None not in texts and len(set(texts)) == len(texts):
                return {
                    "required": [name],
                    "properties": {name: {"enum": texts}},
                    "allOf": [
                        {
                            "if": {"required": [name], "properties": {name: {"const": text}}},
                            "then": self.rewrite(form),
                        }
                        for text, form in zip(texts, forms, strict=True)
                    ],
                }
        return None

    def _labels(self, form: Schema) -> dict[str, str]:
        """Return the required properties of a form that are fixed to one text, if it is a form of object."""
        form = self._resolved(form)
        if form.get("type") not in ("object", ["object"]):
            return {}
        properties = form.get("properties", {})
        fixed = {name: _fixed_text(properties[name]) for name in form.get("required", ()) if name in properties}
        return {name: text for name, text in fixed.items() if text is not None}

    def _types(self, form: Schema) -> list[str]:
        """Return the types that a form is limited to; empty if it names none."""
        types = self._resolved(form).get("type", [])
        return [types] if isinstance(types, str) else types

    def _resolved(self, form: Schema) -> dict[str, Any]:
        """Follow a form that is only a reference into the document. Return an empty one if it has no content itself."""
        for _ in range(_HOPS):
            if not isinstance(form, dict):
                return {}
            if "$ref" not in form:
                return form
            if not self._followed or not form.keys() <= {"$ref", *_COMMENTS}:
                return {}  # drafts differ in the keywords allowed beside a reference
            form = pointed(self._document, form["$ref"])
        return {}


def _fixed_text(schema: Schema) -> str | None:
    """Return the one text that a schema allows, e.g. of ``{"const": "chat"}`` and ``{"enum": ["chat"]}``."""
    if not isinstance(schema, dict) or "$ref" in schema:
        return None
    match schema:
        case {"const": str(text)} | {"enum": [str(text)]}:
            return text
        case _:
            return None


def _by_type(forms: Sequence[Schema], typed: Sequence[Sequence[str]]) -> list[tuple[list[str], list[Schema]]]:
    """Split forms into groups that have no type in common, each with its types. An integer is a number here."""
    groups: list[tuple[list[str], list[tuple[int, Schema]]]] = []
    for position, (form, own) in enumerate(zip(forms, typed, strict=True)):
        types = ["number" if name == "integer" else name for name in own]
        members = [(position, form)]
        apart = []
        for group in groups:
            if set(group[0]) & set(types):
                types = [*group[0], *types]
                members = [*group[1], *members]
            else:
                apart.append(group)
        groups = [*apart, (list(dict.fromkeys(types)), members)]
    return [(types, [form for _, form in sorted(members, key=lambda member: member[0])]) for types, members in groups]
