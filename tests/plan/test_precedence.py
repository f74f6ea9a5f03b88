"""Which of several routes or signals takes a path: held against the tables that serve."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.config.model import RouteConfig
from signalpost.paths import PathPattern, PathTable
from signalpost.plan import RouteRule, build_plan
from signalpost.plan.precedence import Claim, contenders, overlaps, precedence, route_claims, signal_claims
from signalpost.plugins.registry import Registry

LITERALS = st.sampled_from(["a", "b", "1", "A"])
SEGMENTS = st.lists(st.one_of(LITERALS, st.sampled_from(["<{}>", "<{}:int>"])), max_size=3)


@st.composite
def patterns(draw):
    parts = [*draw(SEGMENTS), draw(st.sampled_from(["", "<{}:path>"]))]
    return PathPattern.parse("/" + "/".join(part.format(f"p{index}") for index, part in enumerate(parts) if part))


DECLARED = st.lists(patterns(), min_size=1, max_size=6, unique_by=lambda pattern: pattern.key)


def claims_of(declared):
    return [Claim(pattern, rule=str(pattern)) for pattern in declared]


@given(DECLARED, st.lists(LITERALS, max_size=4))
def test_the_first_contender_is_the_one_that_the_table_finds(declared, segments):
    table = PathTable()
    for pattern in declared:
        table.add(pattern, str(pattern))
    found = contenders(claims_of(declared), segments, ignore_case=True)
    match = table.match("/" + "/".join(segments))
    assert bool(found) == (match is not None)
    if match is not None:
        assert (found[0].claim.rule, found[0].params) == (match.value, match.params)
    assert {each.claim.pattern for each in found} == {
        pattern for pattern in declared if pattern.match(segments) is not None
    }


@given(DECLARED, st.lists(LITERALS, max_size=4), st.booleans())
def test_two_that_match_one_path_overlap_there_and_the_taker_is_the_first(declared, segments, ignore_case):
    claims = claims_of(declared)
    met = {(each.taker.rule, each.other.rule): each.paths for each in overlaps(claims, ignore_case=ignore_case)}
    first, *others = contenders(claims, segments, ignore_case=ignore_case) or [None]
    for other in others:
        if first.claim.pattern.exactness != other.claim.pattern.exactness:
            paths = met[first.claim.rule, other.claim.rule]
            assert PathPattern.parse(paths).match(segments, ignore_case=ignore_case) is not None


@given(DECLARED)
def test_what_two_have_in_common_both_match(declared):
    for each in overlaps(claims_of(declared), ignore_case=True):
        one = ["1" if part.startswith("<") else part for part in each.paths[1:].split("/")] if each.paths != "/" else []
        assert each.taker.pattern.match(one) is not None
        assert each.other.pattern.match(one) is not None


@pytest.mark.parametrize(
    ("taker", "other", "why"),
    [
        ("/rooms/lobby", "/rooms/<room>", "lobby goes before <room>"),
        ("/orders/<n:int>", "/orders/<name>", "<n:int> goes before <name>"),
        ("/<user>/<page>", "/<any:path>", "<user> goes before <any:path>"),
    ],
)
def test_the_reason_is_the_first_segment_in_which_they_differ(taker, other, why):
    assert precedence(PathPattern.parse(taker), PathPattern.parse(other)) == why


TEXT = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: more, address: 127.0.0.1, port: 0, protocol: ws}
routes:
  - {path: /assets, static: .}
  - {path: "/assets/<name:path>", method: POST, broadcast: {value: x}}
  - {path: /assets/logo, broadcast: {value: x}}
  - {path: /docs, static: .}
signals:
  - {path: /Lobby}
  - {path: /<room>, endpoint: live}
"""


@pytest.fixture(scope="module")
def plan():
    return build_plan(
        parse_config(TEXT, file="routes.yaml", folder=Path(__file__).parent, actions=BUILT_IN), Registry()
    )


def test_a_folder_claims_what_is_below_it(plan):
    assert [(str(claim.pattern), claim.methods) for claim in route_claims(plan, "web")] == [
        ("/assets", ("GET",)),
        ("/assets/<file:path>", ("GET",)),
        ("/assets/<name:path>", ("POST",)),
        ("/assets/logo", ("POST",)),
        ("/docs", ("GET",)),
        ("/docs/<file:path>", ("GET",)),
    ]


def test_what_somebody_declares_below_a_folder_is_not_claimed_by_the_folder(plan):
    below = RouteRule(RouteConfig((), PathPattern.parse("/docs/<name:path>"), ("GET",)), "plugin", frozenset({"web"}))
    claims = route_claims(replace(plan, routes=(*plan.routes, below)), "web")
    assert [claim.rule.owner for claim in claims if "/docs/" in str(claim.pattern)] == ["plugin"]


def test_routes_that_share_a_path_do_not_overlap_and_others_do_whatever_their_methods(plan):
    met = [
        (each.paths, str(each.taker.pattern), str(each.other.pattern))
        for each in overlaps(route_claims(plan, "web"), ignore_case=False)
    ]
    assert met == [
        ("/assets/logo", "/assets/logo", "/assets/<file:path>"),
        ("/assets/logo", "/assets/logo", "/assets/<name:path>"),
    ]


def test_signals_of_other_endpoints_are_none_of_an_endpoints_business(plan):
    assert [str(claim.pattern) for claim in signal_claims(plan, "more")] == ["/Lobby"]
    (met,) = overlaps(signal_claims(plan, "live"), ignore_case=True)
    assert (met.paths, met.taker.rule.owner, met.other.rule.owner) == ("/Lobby", "routes.yaml:12", "routes.yaml:13")
