"""Patterns of paths, and the table that finds the best of them."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.paths import ParameterType, PathPattern, PathTable, join_segments, path_segments, split_path


def table(*patterns: str) -> PathTable[str]:
    made: PathTable[str] = PathTable()
    for pattern in patterns:
        made.add(PathPattern.parse(pattern), pattern)
    return made


@pytest.mark.parametrize(
    ("text", "sanic"),
    [
        ("/", "/"),
        ("/rooms", "/rooms"),
        ("/rooms/", "/rooms"),
        ("/Rooms/<room>", "/Rooms/<room:str>"),
        ("/rooms/<room:str>", "/rooms/<room:str>"),
        ("/orders/<number:int>/lines", "/orders/<number:int>/lines"),
        ("/files/<name:path>", "/files/<name:path>"),
        ("/straße/50%", "/stra%C3%9Fe/50%25"),
    ],
)
def test_a_pattern_is_written_in_sanics_syntax(text, sanic):
    assert PathPattern.parse(text).sanic == sanic


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", 'starts with "/"'),
        ("rooms", "write '/rooms'"),
        ("/a//b", "one slash too many"),
        ("//", "one slash too many"),
        ("/a//", "one slash too many"),
        ("/a b\n", "no line breaks"),
        ("/ a ", "spaces at its ends"),
        ("/\ud800", "control characters"),
        ("/<a>/<a>", "two parameters are named 'a'"),
        ("/<1a>", "a parameter's name"),
        ("/<>", "a parameter's name"),
        ("/<a:float>", "no parameter type 'float'"),
        ("/<a:path>/b", "must be the last segment"),
        ("/room-<a>", "fills its whole segment"),
        ("/<a", "fills its whole segment"),
        ("/x?y=1", "no query"),
        ("/x#y", "no fragment"),
        ("/rooms/*", "a final <name:path>"),
        ("/rooms/{room}", "<room>, not {room}"),
        ("/rooms/:room", "<room>, not :room"),
        ("/a/../b", "clients resolve it"),
        ("/a\\b", "not by a backslash"),
        ("/a%20b", "'a b' rather than 'a%20b'"),
        ("/a" * 65, "at most 64 segments"),
    ],
)
def test_a_bad_pattern_is_refused_in_one_line_that_helps(text, says):
    with pytest.raises(ValueError, match=r".") as caught:
        PathPattern.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_identity_knows_parameters_by_type_and_literals_with_or_without_case():
    one, two = PathPattern.parse("/Rooms/<room>"), PathPattern.parse("/rooms/<other:str>")
    assert one.key == two.key == "/rooms/<str>"
    assert one.identity(ignore_case=False) != two.identity(ignore_case=False)
    assert PathPattern.parse("/rooms/<n:int>").key != one.key


def test_literals_match_without_case_and_the_path_comes_back_in_the_declared_spelling():
    found = table("/Rooms/<room>").match("/rOOMS/Blue/")
    assert found is not None
    assert (found.path, found.params) == ("/Rooms/Blue", {"room": "Blue"})
    assert found.pattern.text == found.value == "/Rooms/<room>"
    static = table("/MSG").match("/msg")
    assert static is not None
    assert static.path == "/MSG"


def test_the_best_pattern_wins_literal_before_int_before_str_before_path():
    found = table("/<any:path>", "/a/<s>", "/a/<n:int>", "/a/7", "/")
    for path, best in {
        "/a/7": "/a/7",
        "/a/8": "/a/<n:int>",
        "/a/x": "/a/<s>",
        "/a": "/<any:path>",
        "/a/x/y": "/<any:path>",
        "/": "/",
    }.items():
        match = found.match(path)
        assert match is not None
        assert match.value == best


def test_a_branch_that_leads_nowhere_is_given_up_for_the_next():
    found = table("/a/b/c", "/a/<x>/d", "/<n:int>/x", "/<s>/y", "/a/<rest:path>")
    for path, best in {"/a/b/d": "/a/<x>/d", "/5/y": "/<s>/y", "/a/b": "/a/<rest:path>"}.items():
        match = found.match(path)
        assert match is not None
        assert match.value == best


@pytest.mark.parametrize("path", ["", "a", "//", "/a//b", "/b", "/a/b/c", "/a/٣", "/a/1234567890123456789"])
def test_a_path_that_nothing_declares_is_not_found(path):
    assert table("/a/<n:int>", "/a/b").match(path) is None


def test_a_number_has_one_form():
    match = table("/a/<n:int>").match("/a/007")
    assert match is not None
    assert (match.params, match.path) == ({"n": 7}, "/a/7")


def test_one_path_cannot_be_declared_twice():
    twice = table("/Rooms/<room>", "/files/<name:path>")
    with pytest.raises(ValueError, match="declared already, as /Rooms/<room>"):
        twice.add(PathPattern.parse("/rooms/<r>"), "")
    with pytest.raises(ValueError, match="declared already"):
        twice.add(PathPattern.parse("/files/<n:path>"), "")


segment_texts = st.text(min_size=1, max_size=6).filter(lambda text: "/" not in text)
values = {
    ParameterType.STR: segment_texts,
    ParameterType.INT: st.integers(-(10**18) + 1, 10**18 - 1),
    ParameterType.PATH: st.lists(segment_texts, min_size=1, max_size=3).map("/".join),
}


@st.composite
def patterns(draw):
    kinds = draw(st.lists(st.sampled_from(["Lit", "ß", ParameterType.STR, ParameterType.INT]), max_size=5))
    if draw(st.booleans()):
        kinds.append(ParameterType.PATH)
    parts = [f"<p{i}:{kind.value}>" if isinstance(kind, ParameterType) else kind for i, kind in enumerate(kinds)]
    return PathPattern.parse("/" + "/".join(parts))


def written(pattern, params):
    segments = []
    for each in pattern.segments:
        text = each if isinstance(each, str) else str(params[each.name])
        is_path = not isinstance(each, str) and each.type is ParameterType.PATH
        segments += text.split("/") if is_path else [text]
    return join_segments(segments)


@given(st.data(), patterns())
def test_writing_then_matching_gives_back_the_parameters(data, pattern):
    params = {each.name: data.draw(values[each.type]) for each in pattern.parameters}
    path = written(pattern, params)
    segments = split_path(path)
    assert segments is not None
    assert pattern.match(segments) == params
    found = table(pattern.text).match(path)
    assert found is not None
    assert (found.params, found.path) == (params, path)


@given(st.lists(patterns(), max_size=6), patterns(), st.data())
def test_a_path_that_any_pattern_matches_is_always_found(others, pattern, data):
    made: PathTable[str] = PathTable()
    for each in {each.key: each for each in [*others, pattern]}.values():
        made.add(each, each.key)
    path = written(pattern, {each.name: data.draw(values[each.type]) for each in pattern.parameters})
    found = made.match(path)
    assert found is not None
    assert made.match(found.path) == found


@given(st.text())
def test_any_text_is_a_pattern_or_a_value_error(text):
    try:
        pattern = PathPattern.parse(text)
    except ValueError:
        return
    assert PathPattern.parse(pattern.text) == pattern
    assert pattern.sanic.isascii()


@given(st.text(alphabet="/aA1<>é ", max_size=12))
def test_any_text_can_be_looked_up(path):
    found = table("/", "/a", "/<s>/a", "/<n:int>", "/<r:path>").match(path)
    assert (found is not None) == (split_path(path) is not None)


@pytest.mark.parametrize(
    "segment",
    [
        "می\N{ZERO WIDTH NON-JOINER}خواهم",
        "क्\N{ZERO WIDTH JOINER}ष",
        "👨\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧",
        "a\N{NO-BREAK SPACE}b",
        "\N{LEFT-TO-RIGHT MARK}a",
        "\U0001fae8",  # an emoji of Unicode 15
        "\U0001fadf",  # and one of Unicode 16
    ],
)
def test_joiners_blanks_and_new_emoji_may_stand_in_declared_paths_and_in_those_that_are_asked_for(segment):
    declared = PathPattern.parse(f"/u/{segment}")
    asked = quote(f"/u/{segment}")
    assert path_segments(asked) == ["u", segment]
    assert declared.match(path_segments(asked)) == {}
    assert path_segments(declared.sanic) == ["u", segment]  # what Sanic leaves as it is may differ


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u2066"])
def test_controls_and_what_turns_the_direction_may_not_stand_in_declared_paths(character):
    assert path_segments("/u/" + quote(f"a{character}b")) is None
    with pytest.raises(ValueError, match="control characters"):
        PathPattern.parse(f"/u/a{character}b")


def test_half_of_a_surrogate_pair_may_not_stand_in_a_declared_path():
    assert path_segments("/u/%ED%A0%80") is None
    with pytest.raises(ValueError, match="control characters"):
        PathPattern.parse("/u/\ud800")


@pytest.mark.parametrize("character", ["\u200b", "\ufeff", "\u2060", "\u00ad"])
def test_a_declared_path_has_nothing_that_nobody_sees(character):
    with pytest.raises(ValueError, match=rf"an invisible character U\+{ord(character):04X}"):
        PathPattern.parse(f"/u/a{character}b")
