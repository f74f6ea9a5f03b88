"""Precedence: which routes or signals of a plan match a path, which of them serves it, and where two overlap.

The tables that serve (`signalpost.paths.PathTable`, `signalpost.http.router.RouteTable`) find the one that serves a
path; here the others are found as well, to explain why.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

from signalpost.paths import Parameter, ParameterType, Params, PathPattern, Segment, fold_case
from signalpost.plan.plan import Plan, RouteRule
from signalpost.signals.rule import SignalRule

R = TypeVar("R", RouteRule, SignalRule)


@dataclass(frozen=True, slots=True)
class Claim(Generic[R]):
    """The paths that a part of the plan claims at an endpoint.

    Attributes:
        methods: of a route; empty for a signal.
    """

    pattern: PathPattern
    rule: R
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contender(Generic[R]):
    """A claim that matches a path, with the parameters from the path."""

    claim: Claim[R]
    params: Params


@dataclass(frozen=True, slots=True)
class Overlap(Generic[R]):
    """Two claims that overlap.

    Attributes:
        paths: those that both match, as a pattern: ``/rooms/lobby``.
        taker: the claim that serves them.
        other: the one that does not.
    """

    paths: str
    taker: Claim[R]
    other: Claim[R]


def route_claims(plan: Plan, endpoint: str) -> tuple[Claim[RouteRule], ...]:
    """Return the claims of an http endpoint's routes, in the order of the plan."""
    return claims_of([rule for rule in plan.routes if endpoint in rule.endpoints])


def claims_of(rules: Sequence[RouteRule]) -> tuple[Claim[RouteRule], ...]:
    """Return the claims of one endpoint's routes, in their order.

    A folder claims its own path and all paths below it, except those of other routes, which take precedence, method by
    method.
    """
    declared = {
        (rule.config.path.identity(ignore_case=False), method)
        for rule in rules
        if rule.config.static is None
        for method in rule.config.methods
    }
    claims: list[Claim[RouteRule]] = []
    for rule in rules:
        if (below := rule.below) is None:
            claims.append(Claim(rule.config.path, rule, rule.config.methods))
            continue
        for pattern in (rule.config.path, below):
            identity = pattern.identity(ignore_case=False)
            methods = tuple(method for method in rule.config.methods if (identity, method) not in declared)
            if methods:
                claims.append(Claim(pattern, rule, methods))
    return tuple(claims)


def signal_claims(plan: Plan, endpoint: str) -> tuple[Claim[SignalRule], ...]:
    """Return the claims of a ws endpoint's signals, in the order of the plan."""
    return tuple(Claim(rule.config.path, rule) for rule in plan.signals if endpoint in rule.endpoints)


def contenders(claims: Iterable[Claim[R]], segments: Sequence[str], *, ignore_case: bool) -> list[Contender[R]]:
    """Return the claims that match a path; the first one serves it.

    Args:
        claims: of one endpoint.
        segments: of the path, percent-decoded.
        ignore_case: whether literals ignore case, as those of signals do.
    """
    found: list[Contender[R]] = []
    for claim in claims:
        params = claim.pattern.match(segments, ignore_case=ignore_case)
        if params is not None:
            found.append(Contender(claim, params))
    return sorted(found, key=lambda each: each.claim.pattern.exactness)


def answering(found: Sequence[Contender[RouteRule]], method: str | None) -> list[Contender[RouteRule]]:
    """Return those routes of a path that answer a method: they share the path that serves it.

    Args:
        found: result of `contenders`, at least one.
        method: upper case; HEAD falls back to GET if no route names it. None is any.
    """
    identity = found[0].claim.pattern.identity(ignore_case=False)
    same = [each for each in found if each.claim.pattern.identity(ignore_case=False) == identity]
    if method is None:
        return same
    named = [each for each in same if method in each.claim.methods]
    return named or [each for each in same if method == "HEAD" and "GET" in each.claim.methods]


def precedence(taker: PathPattern, other: PathPattern) -> str:
    """Return why `taker` takes precedence over `other`, for a path that both match.

    ``/rooms/lobby`` goes before ``/rooms/<room>`` since ``lobby goes before <room>``.
    """
    pairs = zip(taker.segments, other.segments, taker.exactness, other.exactness, strict=False)
    for ours, theirs, rank, their_rank in pairs:
        if rank != their_rank:
            return f"{_named(ours)} goes before {_named(theirs)}"
    return "it is the same path"


def overlaps(claims: Sequence[Claim[R]], *, ignore_case: bool) -> Iterator[Overlap[R]]:
    """Return the pairs of claims of one endpoint that have paths in common, and no claim in common."""
    for one, other in combinations(claims, 2):
        if one.rule is other.rule or one.pattern.exactness == other.pattern.exactness:
            continue  # two overlapping patterns of equal exactness are one path, which only different methods may share
        paths = _common(one.pattern.segments, other.pattern.segments, ignore_case=ignore_case)
        if paths is not None:
            taker, left = sorted((one, other), key=lambda claim: claim.pattern.exactness)
            yield Overlap("/" + "/".join(map(_named, paths)), taker, left)


def meeting(route: PathPattern, signal: PathPattern) -> str | None:
    """Return the paths that a route and a signal have in common, as a pattern; None if there are none."""
    paths = _common(route.segments, signal.segments, ignore_case=True)
    return None if paths is None else "/" + "/".join(map(_named, paths))


def _common(one: Sequence[Segment], other: Sequence[Segment], *, ignore_case: bool) -> list[Segment] | None:
    """Return the pattern that both match, segment by segment; None if there is none."""
    common: list[Segment] = []
    for index in range(max(len(one), len(other))):
        if index >= len(one) or index >= len(other):
            return None
        ours, theirs = one[index], other[index]
        if _is_rest(ours):
            return [*common, *other[index:]]
        if _is_rest(theirs):
            return [*common, *one[index:]]
        both = _meet(ours, theirs, ignore_case=ignore_case)
        if both is None:
            return None
        common.append(both)
    return common


def _meet(one: Segment, other: Segment, *, ignore_case: bool) -> Segment | None:
    exact, loose = sorted((one, other), key=lambda each: PathPattern("", (each,)).exactness)
    if isinstance(loose, str):
        same = isinstance(exact, str) and (exact == loose or (ignore_case and fold_case(exact) == fold_case(loose)))
        return exact if same else None
    if isinstance(exact, str) and PathPattern("", (loose,)).match((exact,)) is None:
        return None
    return exact


def _is_rest(segment: Segment) -> bool:
    return isinstance(segment, Parameter) and segment.type is ParameterType.PATH


def _named(segment: Segment) -> str:
    if isinstance(segment, str):
        return segment
    kind = "" if segment.type is ParameterType.STR else f":{segment.type.value}"
    return f"<{segment.name}{kind}>"
