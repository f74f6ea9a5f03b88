"""Problems as text, JSON and GitHub's workflow commands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.errors import Problem
from signalpost.problemtext import Style, excerpt, render_problems

ECKO = Problem("routes.yaml", 14, 13, "signals[0].handler", 'no handler named "ecko"', "    handler: ecko  # loud", 4)


def test_a_problem_shows_its_line_and_carets_under_the_place():
    assert render_problems([ECKO]) == (
        'routes.yaml:14:13: signals[0].handler: no handler named "ecko"\n'
        "        handler: ecko  # loud\n"
        "            ^^^^\n"
        "1 problem"
    ).replace("            ^^^^", "                ^^^^")


def test_a_problem_of_the_whole_file_has_no_line():
    assert render_problems([Problem("routes.yaml", 0, 0, "", "no such file")] * 2) == (
        "routes.yaml: no such file\nroutes.yaml: no such file\n2 problems"
    )


def line_with(source, column, width=1):
    return excerpt(Problem("f", 1, column, "", "t", source, width))


def test_carets_stand_right_after_tabs_wide_and_combining_characters():
    assert line_with("\ta: b", 5) == ("    a: b", "       ^")
    assert line_with("日本: b", 5) == ("日本: b", "      ^")
    assert line_with("e\u0301: b", 5) == ("e\u0301: b", "   ^")
    assert line_with("a: 日本", 4, 2) == ("a: 日本", "   ^^^^")
    assert line_with("a\x1b\ud800: b", 6) == ("a\ufffd\ufffd: b", "     ^")


def test_a_long_line_is_cut_around_the_place():
    source, carets = line_with("x" * 50_000 + "HERE" + "y" * 50_000, 50_001, 4)
    assert len(source) < 120
    assert source[carets.index("^") : carets.rindex("^") + 1] == "HERE"
    assert (source[0], source[-1]) == ("…", "…")


def test_a_place_behind_the_line_is_shown_behind_it():
    assert line_with("handler:", 9) == ("handler:", "        ^")


@given(st.text(max_size=300), st.integers(1, 310), st.integers(1, 310))
def test_any_line_can_be_shown(source, column, width):
    shown, carets = line_with(source, column, width)
    assert "\n" not in shown
    assert set(carets.lstrip()) == {"^"}


def test_json_is_a_list_of_objects():
    (fields,) = json.loads(render_problems([ECKO], Style.JSON))
    assert (fields["file"], fields["line"], fields["column"], fields["keys"]) == (
        "routes.yaml", 14, 13, "signals[0].handler",
    )  # fmt: skip
    assert fields["width"] == 4
    assert json.loads(render_problems([], Style.JSON)) == []


def test_github_gets_its_escapes():
    problem = Problem("a,b:c.yaml", 3, 5, "x", "100% wrong", "", 2)
    assert render_problems([problem], Style.GITHUB) == (
        "::error file=a%2Cb%3Ac.yaml,line=3,col=5,endColumn=7::x: 100%25 wrong"
    )
    assert render_problems([Problem("f", 0, 0, "", "gone")], Style.GITHUB) == "::error file=f::gone"


def test_colour_only_if_asked():
    assert "\x1b" not in render_problems([ECKO])
    assert "\x1b[" in render_problems([ECKO], colour=True)


@pytest.mark.parametrize("style", Style)
def test_half_characters_and_control_characters_never_reach_the_output(style):
    written = render_problems([Problem("f\ud800", 1, 1, "k\x1b", "t\ud800", "\ud800\x1b")], style)
    assert "\x1b" not in written
    written.encode()
