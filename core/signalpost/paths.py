"""Paths of routes and signals: the patterns that routes.yaml declares, and the table that finds the best of them.

A pattern is ``/`` or segments behind slashes: a literal, ``<name>`` (any one segment), ``<name:int>`` (a whole number),
or a final ``<name:path>`` (all the rest, at least one segment)::

    /                       /rooms/<room>              /orders/<number:int>           /files/<name:path>

A path has three forms, with one conversion between them:

* *asked*: as in a request line, percent-encoded. `path_segments` splits it at its raw slashes and decodes each
  segment once, so that ``%2F`` never splits.
* *segments*: decoded, none of them empty, without control characters.
* *text*: as in `Client.path`, targets and `broadcast(path=…)`: the decoded segments behind slashes,
  except that a slash in a segment is ``%2F`` (and a percent sign is ``%25`` if it would be read as part of one).
  `split_path` and `join_segments` are each other's inverse, so two paths of different segments never share a text.

A trailing slash has no meaning (``/rooms/`` is ``/rooms``). A path with an empty segment (``//``) matches no declared
path; where undeclared paths are served, it is one of them, unchanged. Literals of signals ignore the case (Pode
behaviour 17) of A to Z: no letter of Unicode equals another. HTTP routes are case-sensitive.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes

T = TypeVar("T")

Params = Mapping[str, str | int]

MAX_SEGMENTS = 64
_LONGEST_KEPT = 256  # of paths whose segments are cached

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# At most 18 digits: the number fits into 64 bits everywhere, and int() is fast.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
SEGMENT_SAFE = "-._~!$&'()*+,;=:@"
"""Characters allowed in a segment unencoded, besides letters and digits (RFC 3986 section 3.3)."""

# What the text of a path encodes in a segment: a slash, and a percent sign that would be read as an escape of one.
_TO_ENCODE = re.compile(r"/|%(?=2[Ff]|25)")
_ENCODED = re.compile(r"%2[Ff]|%25")
# C0, DEL and C1 (Unicode's Cc), separators of lines and paragraphs, overrides of direction, which make a path look like
# another one, and lone surrogates. Joiners, blanks and marks of direction belong to letters, and what this Python's
# Unicode does not know yet may be a future emoji.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Invisible characters that no script needs: in a declared path they were pasted by mistake, and no client sends them.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}


class Apart(NamedTuple):
    """The place of a path that a signal has at some endpoints only. It equals no text that a client can write.

    Attributes:
        path: the text of the path.
        endpoints: their names, sorted.
    """

    path: str
    endpoints: tuple[str, ...]


Place = str | Apart
"""Whose clients are one audience: a path, or a path together with the endpoints of its signal."""


def path_of(place: Place | None) -> str | None:
    """Return the path of a place."""
    return place.path if isinstance(place, Apart) else place


class ParameterType(StrEnum):
    """The type of a parameter; the values are the words of the pattern."""

    STR = "str"
    INT = "int"
    PATH = "path"


_RANK = {ParameterType.INT: 1, ParameterType.STR: 2, ParameterType.PATH: 3}  # literals are 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A segment in angle brackets: ``<number:int>``."""

    name: str
    type: ParameterType


Segment = str | Parameter


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A declared path.

    Attributes:
        text: as declared, without a trailing slash.
        segments: literals as `str` in their declared spelling, and parameters.

    ``PathPattern.parse("/Orders/<number:int>")`` has the segments ``("Orders", Parameter("number", INT))``, the
    identity ``/orders/<int>`` without case, and matches ``["ORDERS", "7"]`` with ``{"number": 7}``.
    """

    text: str
    segments: tuple[Segment, ...] = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Parse a path as routes.yaml or a decorator declares it.

        Raises:
            ValueError: one line with what is wrong and what is allowed.
        """
        if not text.startswith("/"):
            raise ValueError(f'a path starts with "/": write {"/" + text.strip()!r}')
        if text.strip() != text or _CONTROL.search(text):
            raise ValueError(f"a path has no line breaks, tabs, control characters or spaces at its ends: {text!a}")
        if (unseen := _INVISIBLE.search(text)) is not None:
            raise ValueError(
                f"there is an invisible character U+{ord(unseen[0]):04X} in the path {text!a}: take it out"
            )
        text = text.rstrip("/") if text.count("/") > 1 and not text.endswith("//") else text
        parts = [] if text == "/" else text[1:].split("/")
        if len(parts) > MAX_SEGMENTS:
            raise ValueError(f"a path has at most {MAX_SEGMENTS} segments, this one has {len(parts)}")
        segments = tuple(_parse_segment(part) for part in parts)
        _check_parameters(segments)
        return cls(text, segments)

    def identity(self, *, ignore_case: bool) -> str:
        """Return what two patterns share if they match the same paths: literals, and parameters by type only."""
        parts = (
            f"<{segment.type.value}>"
            if isinstance(segment, Parameter)
            else (fold_case(segment) if ignore_case else segment)
            for segment in self.segments
        )
        return "/" + "/".join(parts)

    @property
    def key(self) -> str:
        """The identity among signals, whose literals ignore case."""
        return self.identity(ignore_case=True)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        return tuple(segment for segment in self.segments if isinstance(segment, Parameter))

    @property
    def sanic(self) -> str:
        """The pattern in Sanic's syntax: every parameter with its type, literals percent-encoded.

        Sanic compares literals with the request's encoded path; its parameters need ``unquote=True``.
        """
        parts = (
            f"<{segment.name}:{segment.type.value}>"
            if isinstance(segment, Parameter)
            else quote(segment, safe=SEGMENT_SAFE)
            for segment in self.segments
        )
        return "/" + "/".join(parts)

    @property
    def exactness(self) -> tuple[int, ...]:
        """The rank of each segment; of the patterns that match a path, the one with the smallest wins."""
        return tuple(0 if isinstance(segment, str) else _RANK[segment.type] for segment in self.segments)

    def match(self, segments: Sequence[str], *, ignore_case: bool = True) -> dict[str, str | int] | None:
        """Return the parameters from a path's segments; None if it does not match."""
        params: dict[str, str | int] = {}
        for index, segment in enumerate(self.segments):
            if index >= len(segments):
                return None
            given = segments[index]
            if isinstance(segment, str):
                if segment != given and not (ignore_case and fold_case(segment) == fold_case(given)):
                    return None
                continue
            if segment.type is ParameterType.PATH:
                rest = "/".join(segments[index:])
                params[segment.name] = rest
                return params if all(rest.split("/")) else None
            value = _convert(segment.type, given)
            if value is None:
                return None
            params[segment.name] = value
        return params if len(segments) == len(self.segments) else None

    def canonical(self, segments: Sequence[str]) -> list[str]:
        """Return the canonical form of matching segments: literals as declared, numbers without leading zeros."""
        canonical = list(segments)
        for index, segment in enumerate(self.segments):
            if isinstance(segment, str):
                canonical[index] = segment
            elif segment.type is ParameterType.INT:
                canonical[index] = str(int(segments[index]))
        return canonical

    def __str__(self) -> str:
        return self.text


def fold_case(text: str) -> str:
    """Return text with A to Z in lower case, and all other letters unchanged."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def path_segments(asked: str) -> list[str] | None:
    """Return the decoded segments of a path in a request line, without its query.

    None if it is not a path, has an empty segment or a control character, or is not UTF-8. ``/caf%C3%A9/`` has
    ``["café"]``, ``/u/a%2Fb`` has ``["u", "a/b"]``, and ``/`` has none.
    """
    if len(asked) > _LONGEST_KEPT:
        return _segments_of(asked)
    found = _segments_kept(asked)
    return None if found is None else list(found)


def _segments_of(asked: str) -> list[str] | None:
    text = path_text(asked)
    return None if text is None else split_path(text)


@lru_cache(maxsize=1_024)
def _segments_kept(asked: str) -> tuple[str, ...] | None:
    found = _segments_of(asked)
    return None if found is None else tuple(found)


def path_text(asked: str) -> str | None:
    """Return the text of a path in a request line, without its query.

    None if it is not a path, has a control character, or is not UTF-8. ``/u/a%2fb/`` is ``/u/a%2Fb``.
    """
    if not asked.startswith("/"):
        return None
    if "%" not in asked:
        return plain_path(asked)
    try:
        segments = [unquote_to_bytes(part).decode() for part in _all_parts(asked)]
    except UnicodeDecodeError:
        return None
    return None if any(map(_CONTROL.search, segments)) else join_segments(segments)


def plain_path(text: str) -> str:
    """Return the canonical form of the text of a path, whatever is declared; text that is not a path is unchanged."""
    if not text.startswith("/"):
        return text
    if "%" not in text:
        return text if "//" in text or text == "/" else text.removesuffix("/")
    return join_segments(map(_decoded, _all_parts(text)))


def split_path(text: str) -> list[str] | None:
    """Return the segments of the text of a path; None if it is not a path or has an empty segment.

    ``/`` has no segments; ``/Rooms/blue/`` has ``["Rooms", "blue"]``.
    """
    if not text.startswith("/") or "//" in text:
        return None
    parts = _all_parts(text)
    return parts if "%" not in text else list(map(_decoded, parts))


def join_segments(segments: Iterable[str]) -> str:
    """Return the text of a path; the inverse of `split_path`."""
    segments = tuple(segments)
    plain = "/" + "/".join(segments)
    if "%" not in plain and plain.count("/") == (len(segments) or 1):
        return plain
    return "/" + "/".join(map(_encoded, segments))


def _all_parts(path: str) -> list[str]:
    """Split a path at its slashes; a single one at its end is ignored, unless there are empty segments."""
    inner = path[1:] if "//" in path else path.strip("/")
    return inner.split("/") if inner else []


def _decoded(segment: str) -> str:
    return _ENCODED.sub(lambda found: "%" if found[0] == "%25" else "/", segment)


def _encoded(segment: str) -> str:
    return _TO_ENCODE.sub(lambda found: quote(found[0], safe=""), segment)


def _parse_segment(part: str) -> Segment:
    if not part:
        raise ValueError('a path has no empty segments: "//" is one slash too many')
    if part.startswith("<") and part.endswith(">"):
        return _parse_parameter(part)
    if "<" in part or ">" in part:
        raise ValueError(f"a parameter fills its whole segment, as in /rooms/<room>: {part!r} mixes it with text")
    _check_literal(part)
    return part


def _parse_parameter(part: str) -> Parameter:
    name, colon, kind = part[1:-1].partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError(f"a parameter's name is letters, digits and _, not starting with a digit: {part!r}")
    if not colon:
        return Parameter(name, ParameterType.STR)
    try:
        return Parameter(name, ParameterType(kind))
    except ValueError:
        raise ValueError(
            f"no parameter type {kind!r} in {part!r} (known: <{name}>, <{name}:int>, and at the end <{name}:path>)"
        ) from None


def _check_literal(part: str) -> None:
    for char, meaning in (("?", "query"), ("#", "fragment")):
        if char in part:
            raise ValueError(f'a path has no {meaning}: leave out "{char}" and what follows it')
    if part == "*":
        raise ValueError("no wildcard *: write <name> for one segment, or a final <name:path> for all the rest")
    if part[0] == ":" or (part[0] == "{" and part[-1] == "}"):
        name = part.strip(":{}") or "name"
        raise ValueError(f"a parameter is written in angle brackets: <{name}>, not {part}")
    if part in (".", ".."):
        raise ValueError(f'no segment "{part}": clients resolve it before they ask')
    if "\\" in part:
        raise ValueError('segments are parted by "/", not by a backslash')
    if _PERCENT.search(part):
        raise ValueError(f"a path is written without percent-encoding: {unquote(part)!r} rather than {part!r}")


def _check_parameters(segments: Sequence[Segment]) -> None:
    seen: set[str] = set()
    for segment in segments:
        if isinstance(segment, str):
            continue
        if segment.name in seen:
            raise ValueError(f"two parameters are named {segment.name!r}")
        seen.add(segment.name)
        if segment.type is ParameterType.PATH and segment is not segments[-1]:
            raise ValueError(f"<{segment.name}:path> takes all the rest, so it must be the last segment")


def _convert(kind: ParameterType, given: str) -> str | int | None:
    if kind is ParameterType.INT:
        return int(given) if _INTEGER.fullmatch(given) else None
    return given or None


@dataclass(frozen=True, slots=True)
class PathMatch(Generic[T]):
    """The declared path that a given path matches.

    Attributes:
        value: added with the pattern.
        params: the given path's parameters.
        path: the given path in its canonical form: literals as declared, parameters as given (numbers without
            leading zeros), no trailing slash. It matches the same pattern, with the same parameters.
    """

    value: T
    pattern: PathPattern
    params: Params
    path: str


@dataclass(slots=True)
class _Node(Generic[T]):
    """A node of the table: its children, best first, and what ends here."""

    literals: "dict[str, _Node[T]]" = field(default_factory=dict)
    integer: "_Node[T] | None" = None
    string: "_Node[T] | None" = None
    end: tuple[PathPattern, T] | None = None
    rest: tuple[PathPattern, T] | None = None

    def step(self, segment: Segment) -> "_Node[T]":
        """Return the child for `segment`, created if necessary."""
        if isinstance(segment, str):
            return self.literals.setdefault(fold_case(segment), _Node())
        if segment.type is ParameterType.INT:
            self.integer = self.integer or _Node()
            return self.integer
        self.string = self.string or _Node()
        return self.string


class PathTable(Generic[T]):
    """Finds the best declared pattern for a path, ignoring the case of literals.

    If several match, the one whose first differing segment is more exact wins: literal, int, str, path. The search
    backtracks, so a path that any pattern matches is always found. It visits each declared segment at most once, and
    for a path of literals only, it is one lookup in a dict.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._static: dict[str, PathMatch[T]] = {}

    def add(self, pattern: PathPattern, value: T) -> None:
        """Declare `pattern`.

        Raises:
            ValueError: a pattern with the same `key` exists already.
        """
        node = self._root
        for segment in pattern.segments:
            if isinstance(segment, Parameter) and segment.type is ParameterType.PATH:
                if node.rest:
                    raise _taken(pattern, node.rest[0])
                node.rest = (pattern, value)
                return
            node = node.step(segment)
        if node.end:
            raise _taken(pattern, node.end[0])
        node.end = (pattern, value)
        if not pattern.parameters:
            self._static[pattern.key] = PathMatch(value, pattern, {}, pattern.text)

    def match(self, path: str) -> PathMatch[T] | None:
        """Return the best match for the text of a path, or None if no declared pattern matches."""
        static = self._static.get(path) or self._static.get(fold_case(path))
        if static is not None:
            return static
        segments = split_path(path)
        while segments is not None and (found := _find(self._root, segments, 0)) is not None:
            pattern, value = found
            canonical = pattern.canonical(segments)
            if canonical == segments or _find(self._root, canonical, 0) is found:
                params = pattern.match(canonical)
                return None if params is None else PathMatch(value, pattern, params, join_segments(canonical))
            # The number 007 is 7, which a better pattern may declare: one path must have one rule. Each round converts
            # another segment to its canonical form, so there are at most as many rounds as segments.
            segments = canonical
        return None


def _taken(pattern: PathPattern, other: PathPattern) -> ValueError:
    return ValueError(f"{pattern} is declared already, as {other}")


def _find(node: _Node[T], segments: Sequence[str], index: int) -> tuple[PathPattern, T] | None:
    """Search from `node`, best child first; as deep as the deepest pattern, so at most MAX_SEGMENTS calls."""
    if index == len(segments):
        return node.end
    given = segments[index]
    literal = node.literals.get(fold_case(given))
    found = _find(literal, segments, index + 1) if literal else None
    if found is None and node.integer and _INTEGER.fullmatch(given):
        found = _find(node.integer, segments, index + 1)
    if found is None and node.string:
        found = _find(node.string, segments, index + 1)
    return found or node.rest
