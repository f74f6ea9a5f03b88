"""Schemas with what their references mean: what a schema of any draft refers to, and which names its parts have."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # comes with jsonschema
from referencing import Registry, Resource, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

NEWEST = "https://json-schema.org/draft/2020-12/schema"
"""The draft of a schema that names none."""

_ALONE = ("draft-04", "draft-06", "draft-07")  # drafts in which what stands beside a $ref is ignored
_IN_PLACE = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Part:
    """A schema in a document, or the document itself.

    Attributes:
        schema: a mapping or a boolean; anything else is as good as true.
    """

    schema: Any
    _resolver: Any
    _specification: "Specification[Any]"
    _draft: str

    @classmethod
    def whole(cls, document: Mapping[str, Any] | bool) -> "Part":
        """Return a document; its references are known to lead somewhere (`signalpost.config.userschemas`)."""
        draft = str(document.get("$schema", NEWEST)) if isinstance(document, Mapping) else NEWEST
        specification = specification_with(draft)
        resource: Resource[Any] = Resource.from_contents(document, default_specification=specification)
        registry: Registry[Any] = REGISTRY.with_resource(resource.id() or "", resource).crawl()
        return cls(document, registry.resolver_with_root(resource), specification, draft)

    def below(self, schema: Any) -> "Part":
        """Return a part of this one."""
        if not isinstance(schema, Mapping):
            return Part(schema, self._resolver, self._specification, self._draft)
        resource = self._specification.create_resource(schema)
        return Part(schema, self._resolver.in_subresource(resource), self._specification, self._draft)

    @property
    def is_alone(self) -> bool:
        """Whether its ``$ref`` is all that counts."""
        return self.reference is not None and any(draft in self._draft for draft in _ALONE)

    @property
    def has_lists(self) -> bool:
        """Whether a list in ``items`` has a schema for each item: before 2020-12."""
        return "2020-12" not in self._draft

    @property
    def has_const(self) -> bool:
        """Whether ``const`` is a keyword: not in draft 4."""
        return "draft-04" not in self._draft

    @property
    def reference(self) -> str | None:
        """What its ``$ref`` says; None if it has none."""
        found = self.schema.get("$ref") if isinstance(self.schema, Mapping) else None
        return found if isinstance(found, str) else None

    def target(self) -> "Part | None":
        """Return what its ``$ref`` leads to; None if it has none, or that is no schema of the document."""
        reference = self.reference
        if reference is None:
            return None
        try:
            found = self._resolver.lookup(reference)
        except (Unresolvable, LookupError, TypeError, ValueError):
            return None
        if not isinstance(found.contents, Mapping | bool) or "json-schema.org/" in reference:
            return None
        return Part(found.contents, found.resolver, self._specification, self._draft)

    def in_place(self) -> Iterator["Part"]:
        """Yield what applies to the same value: what it refers to, and what it combines."""
        if not isinstance(self.schema, Mapping):
            return
        target = self.target()
        if target is not None:
            yield target
        if self.is_alone:
            return
        for key in _IN_PLACE:
            parts = self.schema.get(key)
            yield from (self.below(each) for each in (parts if isinstance(parts, list) else ()))

    def leads_to_itself(self) -> bool:
        """Return whether it applies to the same value again, by way of references; then it says nothing."""
        seen: set[int] = set()
        stack = list(self.in_place())
        while stack:
            part = stack.pop()
            if part.schema is self.schema:
                return True
            if isinstance(part.schema, Mapping) and id(part.schema) not in seen:
                seen.add(id(part.schema))
                stack += part.in_place()
        return False


class Names:
    """Names of what references lead to, in all documents of one output. Equal documents share theirs.

    Args:
        spell: makes a name of a text, by the rules of the output.
    """

    def __init__(self, spell: Callable[[str], str]) -> None:
        self._spell = spell
        self._documents: dict[str, Any] = {}
        self._owners: dict[int, str] = {}
        self._by_part: dict[int, str] = {}
        self._taken: set[str] = set()
        self._kept: list[Any] = []  # whose ids are keys
        self._new: list[tuple[str, Part]] = []

    def reserve(self, name: str) -> None:
        """Give a name to nothing."""
        self._taken.add(name)

    def document(self, document: Mapping[str, Any] | bool, owner: str) -> Part:
        """Return a document, or an equal one that is known.

        Args:
            document: a schema.
            owner: names the document, should it refer to itself.
        """
        text = json.dumps(document, sort_keys=True, default=str)
        known = self._documents.setdefault(text, document)
        self._owners.setdefault(id(known), owner)
        return Part.whole(known)

    def of(self, target: Part, reference: str) -> str:
        """Return the name of a part: after the last word of the reference that leads to it."""
        found = self._by_part.get(id(target.schema))
        if found is None:
            owner = self._owners.get(id(target.schema))
            word = reference.replace("#", "/").rstrip("/").rpartition("/")[2]
            found = self.unique(owner or word.replace("~1", "/").replace("~0", "~"))
            self._by_part[id(target.schema)] = found
            self._kept.append(target.schema)
            self._new.append((found, target))
        return found

    def unique(self, word: str) -> str:
        """Return a name that no other part has."""
        spelled = name = self._spell(word)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{spelled}{number}"
        self._taken.add(name)
        return name

    def take_new(self) -> list[tuple[str, Part]]:
        """Return the parts that were named since the last call, with their names."""
        new, self._new = self._new, []
        return new
