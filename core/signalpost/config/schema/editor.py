"""The routes schema for editors: for a file with more than plain values.

The values of ``port: !secret port`` and ``port: ${PORT}`` are known when the server reads the file, and those of ``{{ …
}}`` in an action's options when a message arrives. For an editor they are a tag and texts, so here every value may be
one of these, too. And an editor shows descriptions only: so they contain defaults and examples.

Made for yaml-language-server, which most editors use (https://github.com/redhat-developer/yaml-language-server); for
other readers of JSON Schema it is an ordinary schema.
"""

from typing import Any

import yaml

from signalpost.yaml.tags import TAGS

Schema = dict[str, Any]

# For the editor's setting yaml.customTags: each stands on a scalar, and what comes of it counts as a mapping, which is
# how `_TAG` tells it from a text.
CUSTOM_TAGS = tuple(f"{tag} scalar:object" for tag in TAGS)

# No mapping matches these bounds, so none passes for a tag; they do not apply to a scalar that counts as a mapping.
_TAG: Schema = {"type": "object", "minProperties": 1, "maxProperties": 0}
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{|\{[{%]"}
_IS_TAG: Schema = {"$ref": "#/$defs/tag"}
_IS_VARIABLE: Schema = {"$ref": "#/$defs/variable"}

_ABOUT = ("title", "description", "default", "examples")
_NAMED = ("properties", "patternProperties")
_BELOW = ("items", "additionalProperties")
_SAME_VALUE = ("if", "then", "else")
_SAME_VALUE_LISTS = ("anyOf", "oneOf", "allOf")


def editor_schema(schema: Schema) -> Schema:
    """Convert the routes schema, with or without plugins' additions, to the one for editors.

    Args:
        schema: draft 2020-12, all its references to its own ``$defs``; left as it is.
    """
    definitions = schema["$defs"]
    made: Schema = _Editor(definitions).inside(schema)
    # A reference to a definition has its own description; the definition's would be shown as well.
    made["$defs"] = {name: _without(each, _ABOUT[1:]) for name, each in _Editor(definitions).each(definitions).items()}
    made["$defs"] |= {"tag": _TAG, "variable": _VARIABLE}
    return made


class _Editor:
    """Converts a schema; has its definitions."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def each(self, schemas: Schema) -> Schema:
        """Convert the parts of each of several schemas, by name."""
        return {name: self.inside(each) for name, each in schemas.items()}

    def inside(self, schema: Any) -> Any:
        """Return a schema whose value itself is neither tag nor variable, while values inside it may be."""
        if not isinstance(schema, dict):
            return schema  # true or false
        made = {keyword: self._keyword(keyword, value) for keyword, value in schema.items()}
        if "oneOf" in made:  # all of them accept a tag, so it would match more than once
            made["anyOf"] = [*made.get("anyOf", ()), {"oneOf": made.pop("oneOf")}, _IS_TAG]
        if "pattern" in made and "description" in made:
            made["patternErrorMessage"] = made["description"]  # instead of the pattern itself
        return made

    def _keyword(self, keyword: str, value: Any) -> Any:
        if keyword in _NAMED:
            return {name: self.value(each, name) for name, each in value.items()}
        if keyword in _BELOW:
            return self.value(value)
        if keyword in _SAME_VALUE:
            return self.inside(value)
        if keyword in _SAME_VALUE_LISTS:
            return [self.inside(each) for each in value]
        return value

    def value(self, schema: Any, name: str = "") -> Any:
        """Return a schema that accepts a tag and a variable, too; its description is outside."""
        if not isinstance(schema, dict):
            return schema
        whole = self._resolved(schema)
        about, core = _about(whole, name), self.inside(_without(schema, _ABOUT))
        kinds = [whole["type"]] if isinstance(whole.get("type"), str) else whole.get("type", [])
        if kinds == ["object"] or (not kinds and "enum" not in whole):
            return core | about  # a tag counts as a mapping, which a variable is not; otherwise everything is allowed
        if "title" in whole:
            core["title"] = whole["title"]  # an editor's name for the expected value
        if kinds == ["array"]:
            # The outer type makes editors start a list.
            return about | {"type": ["array", "object"], "anyOf": [core, _IS_TAG]}
        return about | {"anyOf": [core, _IS_TAG, _IS_VARIABLE]}

    def _resolved(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return schema
        return {**self._resolved(self._definitions[schema["$ref"].rpartition("/")[2]]), **schema}


def _about(schema: Schema, name: str) -> Schema:
    """Return the description of a key, in the places where editors look.

    They insert a default or an example into the file, which helps for a word, but not for a mapping or an empty list:
    these are shown, and not offered.
    """
    made = {key: schema[key] for key in _ABOUT if key in schema}
    text = schema.get("description", "")
    if "default" in schema and schema["default"] not in ([], {}):
        text += f"\n\nDefault: {_flow(schema['default'])}"
    example = next((each for each in schema.get("examples", ()) if not _plain(each)), None)
    if text:
        made["description"] = text
        if name and example is not None:
            shown = text.replace("<", "&lt;").replace("*", "\\*")
            made["markdownDescription"] = f"{shown}\n\nExample:\n\n```yaml\n{_flow({name: example})}\n```"
    if not _plain(made.get("default", "")):
        del made["default"]
    if not all(_plain(each) for each in made.get("examples", ())):
        del made["examples"]
    return made


def _flow(value: Any) -> str:
    """Return a value as one would write it in routes.yaml."""
    text = yaml.safe_dump(value, default_flow_style=None, allow_unicode=True, sort_keys=False, width=100)
    return text.removesuffix("\n...\n").rstrip("\n")


def _plain(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _without(schema: Schema, keys: tuple[str, ...]) -> Schema:
    return {key: value for key, value in schema.items() if key not in keys}
