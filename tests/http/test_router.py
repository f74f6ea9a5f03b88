"""The order of routes, held against its definition, and what counts as one path."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sanic.exceptions import MethodNotAllowed, NotFound

from signalpost.http.router import RouteTable, path_segments
from signalpost.paths import Parameter, PathPattern
from signalpost.plan.precedence import Claim, contenders


async def handler(request):
    """Stand for any endpoint."""


def table_of(*declared):
    table = RouteTable()
    for number, entry in enumerate(declared):
        path, *methods = entry.split()
        table.add(PathPattern.parse(path).sanic, methods or ["GET"], handler, name=f"{number}", unquote=True)
    table.finalize()
    return table


def found(table, path, method="GET"):
    return int(table.get(path, method, None)[0].name)


LITERALS = st.sampled_from(["a", "b", "1", "A", "x.y"])
SEGMENTS = st.lists(st.one_of(LITERALS, st.sampled_from(["<{}>", "<{}:int>"])), max_size=3)
ENDS = st.sampled_from(["", "<{}:path>"])


@st.composite
def patterns(draw):
    parts = [*draw(SEGMENTS), draw(ENDS)]
    parts = [part.format(f"p{index}") for index, part in enumerate(parts) if part]
    return PathPattern.parse("/" + "/".join(parts))


def exactness(pattern):
    order = {"int": 1, "str": 2, "path": 3}
    return [order[part.type.value] if isinstance(part, Parameter) else 0 for part in pattern.segments]


@given(
    st.lists(patterns(), min_size=1, max_size=7, unique_by=lambda pattern: pattern.identity(ignore_case=False)),
    st.lists(LITERALS, max_size=5),
    st.booleans(),
)
def test_the_first_segment_in_which_routes_differ_decides(declared, segments, slash):
    matching = [pattern for pattern in declared if pattern.match(segments, ignore_case=False) is not None]
    table = table_of(*map(str, declared))
    path = "/" + "/".join(segments) + ("/" if slash and segments else "")
    if matching:
        assert declared[found(table, path)] is min(matching, key=exactness)
    else:
        with pytest.raises(NotFound):
            table.get(path, "GET", None)


@given(
    st.lists(patterns(), min_size=1, max_size=7, unique_by=lambda pattern: pattern.identity(ignore_case=False)),
    st.lists(LITERALS, max_size=5),
)
def test_who_goes_before_whom_is_told_as_the_table_finds_it(declared, segments):
    claims = [Claim(pattern, rule=None, methods=("GET",)) for pattern in declared]
    told = contenders(claims, segments, ignore_case=False)
    if told:
        assert declared[found(table_of(*map(str, declared)), "/" + "/".join(segments))] is told[0].claim.pattern


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_declaration_does_not_matter(order):
    declared = ["/assets/<file:path>", "/<user>/<page>", "/<number:int>/<page>", "/<any:path>"]
    table = table_of(*(declared[index] for index in order))
    paths = ["/assets/app.js", "/ann/home", "/7/home", "/a/b/c"]
    assert [order[found(table, path)] for path in paths] == [0, 1, 2, 3]


def test_literals_keep_their_case():
    table = table_of("/News", "/<page>")
    assert found(table, "/News") == 0
    assert found(table, "/news") == 1


def test_literals_before_parameters_keep_their_case():
    table = table_of("/News/<item>", "/<page>/<item>", "/Files/<rest:path>")
    assert found(table, "/News/1") == 0
    assert found(table, "/news/1") == 1
    with pytest.raises(NotFound):
        table.get("/files/a/b", "GET", None)


@pytest.mark.parametrize("path", ["/caf%C3%A9/@me", "/caf%c3%a9/%40me", "/caf%C3%A9/@me/", "/%63af%C3%A9/@m%65"])
def test_one_path_has_many_spellings(path):
    assert found(table_of("/café/@me"), path) == 0


@pytest.mark.parametrize("path", ["//a", "/a//", "/a//b", "a", "", "/%ff", "?"])
def test_what_is_no_path_is_not_found(path):
    table = table_of("/", "/a", "/a/b", "/<p>", "/<p:path>")
    with pytest.raises(NotFound):
        table.get(path, "GET", None)


def test_a_dot_in_a_literal_is_a_dot():
    table = table_of("/v1.0/<rest:path>", "/v1x0/<rest:path>")
    assert found(table, "/v1x0/a") == 1


def test_an_encoded_slash_stays_inside_its_segment():
    assert path_segments("/rooms/a%2Fb/") == ["rooms", "a/b"]


def test_routes_share_a_path_under_different_names_and_methods():
    table = table_of("/rooms/<room> GET", "/rooms/<id> POST PUT", "/rooms/<id:int> DELETE")
    assert found(table, "/rooms/blue") == 0
    assert found(table, "/rooms/blue", "PUT") == 1
    with pytest.raises(MethodNotAllowed) as refused:
        table.get("/rooms/blue", "DELETE", None)
    assert refused.value.headers == {"Allow": "GET, HEAD, OPTIONS, POST, PUT"}


def test_head_is_get_unless_a_route_names_it():
    table = table_of("/a", "/b GET", "/b HEAD", "/c POST")
    assert found(table, "/a", "HEAD") == 0
    assert found(table, "/b", "HEAD") == 2
    with pytest.raises(MethodNotAllowed):
        table.get("/c", "HEAD", None)


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_the_asterisk_runs_no_route_and_names_all_methods(method):
    with pytest.raises(MethodNotAllowed) as refused:
        table_of("/a GET", "/b DELETE").get("*", method, None)
    assert refused.value.headers == {"Allow": "DELETE, GET, HEAD, OPTIONS"}


def test_no_program_is_made_of_the_routes_that_would_hold_everything_up_while_it_is_compiled():
    assert table_of("/a/<b>", "/c").find_route is None


def test_a_table_without_routes_finds_nothing():
    with pytest.raises(NotFound):
        table_of().get("/", "GET", None)


def test_a_table_can_be_reset_and_finalized_again():
    table = table_of("/a")
    table.reset()
    table.add("/b", ["GET"], handler, name="1")
    table.finalize()
    assert (found(table, "/a"), found(table, "/b")) == (0, 1)
