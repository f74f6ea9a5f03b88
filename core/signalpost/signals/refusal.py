"""Why a schema cannot be compiled, in one line for whoever wrote it."""

import json
import re
from collections.abc import Sequence

import jsonschema_rs
from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

_LIMIT = 300
_UNREACHABLE = re.compile(r"Resource '(.*)' is not present in a registry", re.DOTALL)
_DANGLING = re.compile(r"(?:Pointer|Anchor) '(.*)' does not exist", re.DOTALL)
_UNKNOWN_DRAFT = re.compile(r"Unknown meta-schema: '(.*)'\. ", re.DOTALL)


def refusal_of(error: ValidationError) -> str:
    """Word the engine's error about a schema, with its place in the schema as a JSON Pointer."""
    text = _without_place(error.message) or _of_pattern(error) or error.message
    place = _place(error.instance_path)
    line = " ".join(f"{place}: {text}".split() if place else text.split())
    return line if len(line) <= _LIMIT else f"{line[: _LIMIT - 1]}…"


def _without_place(message: str) -> str:
    """Word the errors that the engine does not place: references and drafts."""
    if found := _UNREACHABLE.search(message):
        return (
            f'"$ref" to {json.dumps(found[1], ensure_ascii=False)} leaves the schema, and nothing is fetched; '
            'move what it refers to into "$defs"'
        )
    if found := _DANGLING.search(message):
        return f'"$ref" points to {json.dumps(found[1], ensure_ascii=False)}, which the schema does not have'
    if found := _UNKNOWN_DRAFT.search(message):
        return (
            f'"$schema" names {json.dumps(found[1], ensure_ascii=False)}, which is not a known draft '
            "(known: draft-04, draft-06, draft-07, 2019-09, 2020-12; without it, 2020-12)"
        )
    return ""


def _of_pattern(error: ValidationError) -> str:
    """Word the refusal of a regular expression: wrong in itself, or beyond matching in linear time."""
    match error.kind:
        case Kind.Format(format="regex"):
            pattern = error.instance
        case _:
            return ""
    quoted = json.dumps(pattern, ensure_ascii=False)
    if _needs_backtracking(pattern):
        return (
            f"the pattern {quoted} uses look-around or a back-reference; patterns are matched in linear time here, "
            "which has neither"
        )
    return f"the pattern {quoted} is not a regular expression, or too large a one"


def _needs_backtracking(pattern: object) -> bool:
    """Whether only a backtracking engine can match the pattern; it is compiled, never run."""
    try:
        jsonschema_rs.validator_for(
            {"pattern": pattern}, pattern_options=jsonschema_rs.FancyRegexOptions(), offline=True
        )
    except ValueError:
        return False
    return True


def _place(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
