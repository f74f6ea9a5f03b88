"""What stands in the place of values, and where they are looked for."""

import html
import json
import textwrap
from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import escape

from signalpost.scalars import shorten
from signalpost.words import printable
from signalpost.yaml.masks import Mask, secrets_mask
from signalpost.yaml.nodes import Hidden

LONG = "the quick brown fox jumps over the lazy dog, and over it again"


def hide(value, secret=True):
    return Hidden("LABEL", value, secret=secret)


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("hunter2", "no hunter2, hunter22 nor xhunter2", "no LABEL, hunter22 nor xhunter2"),
        ("hunter2222", "xhunter2222x", "xLABELx"),
        (LONG, f'no "{shorten(LONG)}" here', 'no "LABEL" here'),
        ("Hunter2", "hunter2 is not allowed", "LABEL is not allowed"),
        ("a\"\\'\n", repr("a\"\\'\n"), "'LABEL'"),
        ("a\nb\tc", json.dumps({"x": "a\nb\tc"}), '{"x": "LABEL"}'),
        ("éa\u2028b", printable("éa\u2028b"), "LABEL"),
        (" hunter2 ", "[hunter2]", "[LABEL]"),
        ("", "nothing", "nothing"),
    ],
)  # fmt: skip
def test_a_value_is_hidden_however_it_is_written(value, text, shown):
    assert Mask([hide(value)])(text) == shown


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("/abc/def", 'the segment "abc" is none', 'the segment "LABEL" is none'),
        ("/abc/def", "the segment 'ABC' is none", "the segment 'LABEL' is none"),
        ("/abc/def", 'begins with "/" or "a"', 'begins with "/" or "a"'),
        ("hunter2-horse", "it ends in -horse, and begins with HUNTER", "it ends in LABEL, and begins with LABEL"),
        ("hunter2-horse", "no horse", "no horse"),
        ("abc", "abcd is no abc", "abcd is no LABEL"),
    ],
)
def test_of_what_a_problem_is_about_pieces_are_hidden(value, text, shown):
    about = hide(value)
    assert Mask([about])(text, [about]) == shown


def test_the_longer_of_two_values_is_hidden_as_a_whole():
    mask = Mask([Hidden("SHORT", "hunter2222"), Hidden("LONG", "hunter2222-and-more")])
    assert mask("hunter2222-and-more, hunter2222") == "LONG, SHORT"


def test_only_secrets_that_are_long_enough_are_looked_for_everywhere():
    mask = secrets_mask([hide("ab"), hide("abc"), Hidden("VARIABLE", "abcdefghi")])
    assert mask("ab abc abcdefghi") == "ab LABEL abcdefghi"


def test_what_a_text_already_has_in_the_place_of_a_mark_is_no_label():
    assert Mask([hide("hunter2")])("\U000f0000 hunter2") == "\ufffd LABEL"


@pytest.mark.slow
@given(st.text(min_size=1), st.text(), st.text())
def test_no_text_holds_a_long_value_afterwards(value, before, after):
    value = value * 8
    shown = Mask([Hidden("\u2020", value)])(before + value + after)
    assert value not in shown


@given(st.lists(st.text(max_size=12), max_size=4), st.text())
def test_any_text_can_be_masked(values, text):
    hidden = [hide(value) for value in values]
    assert isinstance(Mask(hidden)(text, hidden), str)
    assert Mask([])(text, []) == text


TOKEN = "x7Gq/pL2+vT9&wK4=zR8 mN3'bY6\"cD1"
WRITTEN = {
    "in an address": quote(TOKEN),
    "as a part of an address": quote(TOKEN, safe=""),
    "as a form": quote_plus(TOKEN),
    "in HTML": html.escape(TOKEN),
    "in JSON in JSON": json.dumps(json.dumps({"a": TOKEN})),
    "in capitals": TOKEN.upper(),
    "in small letters": TOKEN.lower(),
    "as hexadecimal digits": TOKEN.encode().hex(),
    "as hexadecimal capitals": TOKEN.encode().hex().upper(),
    **{
        f"in {name} after {before}": encode(f"{'a' * before}{TOKEN}:b".encode()).decode()
        for before in range(3)
        for name, encode in (("base64", b64encode), ("base64 for addresses", urlsafe_b64encode))
    },
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_secret_is_hidden_in_other_spellings(text):
    shown = secrets_mask([hide(TOKEN)])(f"before {text} after")
    assert "LABEL" in shown
    # Around base64 stand a few letters of what is beside it.
    assert len(shown) <= len("before LABEL after") + (18 if "==" in text or len(text) > 40 else 0)
    assert "before " in shown
    assert " after" in shown


ENCODERS = {
    "Jinja's filter e": lambda text: str(escape(text)),
    "HTML without quotes": lambda text: html.escape(text, quote=False),
    "HTML by numbers": lambda text: "".join(f"&#{ord(char)};" if not char.isalnum() else char for char in text),
    "HTML by hexadecimal numbers": lambda text: (
        text.encode("ascii", "xmlcharrefreplace").decode().replace("/", "&#X2F;")
    ),
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "JSON": json.dumps,
    "JSON three times": lambda text: json.dumps(json.dumps(json.dumps(text))),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)),
    "JSON in a script": htmlsafe_json_dumps,
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "a repr": repr,
    "a repr in a repr": lambda text: repr(repr(text)),
    "a repr of bytes": lambda text: repr(text.encode()),
    "ASCII": ascii,
    "an address": quote,
    "an address by a browser": lambda text: quote(text, safe="!'()*~"),
    "an address in an address": lambda text: quote(quote(text, safe=""), safe=""),
    "an address in small letters": lambda text: quote(text, safe="").lower(),
    "a form": quote_plus,
    "SQL": lambda text: text.replace("'", "''"),
    "several lines": lambda text: textwrap.fill(text, 9),
    "lines that are broken anywhere": lambda text: "\n    ".join(text[at : at + 7] for at in range(0, len(text), 7)),
    "base64 in lines": lambda text: encodebytes(b"a" * 50 + text.encode()).decode(),
}
SECRETS = (
    "pa'ss\"word<x>&1",
    "p\u00e4sswort-\u00fc-1",
    "tok en/with+sl=ash",
    "back\\slash\\\\pw9",
    "emoji\U0001f600pass1",
    "tab\tand (a)!*'x1",
    "two  blanks and \t a tab1",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_a_secret_is_hidden_whichever_characters_of_it_an_encoder_escapes(encode, secret):
    shown = secrets_mask([hide(secret)])(f"before {encode(secret)} after")
    assert "LABEL" in shown
    pieces = (secret[at : at + 6] for at in range(len(secret) - 5))
    assert not any(piece in shown for piece in pieces)


@pytest.mark.parametrize("flood", ["\\", "%25", "&amp;", "p\\", "pass \n", "\n", " ", "''"])
def test_a_flood_of_what_escapes_are_made_of_has_an_end(flood):
    # Tried from each place up to the end, and in all ways there are, it would outlast the time that a test has.
    text = "ord p" + flood * (65_536 // len(flood))
    assert "LABEL" not in secrets_mask([hide("p\\\\\"'ss\\ \\w\"\"''ord")])(text)


@pytest.mark.parametrize("flood", [" \n", "\t", "a \n", " a", "b\n \n", "…", "...", "abcdefg…", "\r\n"])
@pytest.mark.parametrize("secret", ["a b c d e f g h", "pass word", "a\tb\t\tc1"])
def test_a_flood_of_blanks_and_cuts_has_an_end(flood, secret):
    text = f"pass a word{flood * (65_536 // len(flood))}x\n"
    assert "LABEL" not in secrets_mask([hide(secret)])(text)


@pytest.mark.parametrize("limit", range(20, 60))
@pytest.mark.parametrize("before", ["", "Bearer ", "a longer word before it: "])
def test_of_a_secret_that_was_cut_neither_end_is_left(limit, before):
    secret = "abcdefghijklmnopqrstuvwxyz0123456789"
    shown = secrets_mask([hide(secret)])(f'+ does not take the text "{shorten(before + secret + " after", limit)}"')
    pieces = (secret[at : at + 8] for at in range(len(secret) - 7))
    assert not any(piece in shown for piece in pieces)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x hunte…", "x LABEL…"),
        ("…nter22 y", "…LABEL y"),
        ("x HUNT...R22 y", "x LABEL...R22 y"),
        ("x hu…", "x hu…"),
        ("hunter… and …er22", "LABEL… and …LABEL"),
        ("a hunt that ends… so", "a hunt that ends… so"),
    ],
)
def test_what_was_cut_through_a_secret_is_hidden_on_either_side_of_the_cut(text, shown):
    assert secrets_mask([hide("hunter22")])(text) == shown
