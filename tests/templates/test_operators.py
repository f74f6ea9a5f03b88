"""Arithmetic is Python's, as long as JSON can carry what comes of it."""

import operator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.templates.compiler import Compiler
from signalpost.templates.operators import BINARY
from signalpost.templates.value import FailureKind, TemplateFailedError

NUMBERS = st.integers(-(2**64) + 1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
RENDER = {
    sign: Compiler()
    .compile(f"{{{{ [a {sign} b] }}}}", (), ("a", "b"), None, lambda _keys, **_: "routes.yaml:1:1")
    .render
    for sign in BINARY
}


@pytest.mark.slow
@pytest.mark.parametrize("sign", BINARY)
@given(a=NUMBERS, b=NUMBERS)
def test_a_result_is_pythons_or_a_failure(sign, a, b):
    with suppress(TemplateFailedError):
        (result,) = RENDER[sign]({"a": a, "b": b})
        assert result == BINARY[sign](a, b)
        assert isinstance(result, float) or abs(result) < 2**64


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 ** 63", 2**63),
        ("(-1) ** (10 ** 15)", 1),
        ("0 ** (10 ** 15)", 0),
        ("2 ** -1", 0.5),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("+5", 5),
        ("-message", -5),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'-' * 3", "---"),
        ("3 * '-'", "---"),
        ("[0] * 2", [0, 0]),
        ("(1, 2) + [3] + (4,) * 2", [1, 2, 3, 4, 4]),
        ("'-' * -1", ""),
        ("1 + 2 * 3 == 7 and not 1 > 2", True),
        ("1 < message <= 5", True),
        ("'b' in 'abc' and 4 not in [1]", True),
    ],
)
def test_an_expression_gives(render, expression, result):
    assert render(f"{{{{ {expression} }}}}", message=5) == result


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'a' + 5", '+ does not take the text "a" and the number 5; ~ joins anything as text'),
        ("[1] + 'a'", '+ does not take a list and the text "a"'),
        ("'a' * 'b'", '* does not take the text "a" and the text "b"'),
        ("'a' - 1", '- does not take the text "a" and the number 1'),
        ("none / 1", "/ does not take nothing and the number 1"),
        ("'%d' % 5", '% does not take the text "%d" and the number 5'),
        ("-'a'", '- takes a number, not the text "a"'),
        ("+[]", "+ takes a number, not a list"),
        ("1 / 0", "division by zero"),
        ("(-8) ** 0.5", "(1.73"),
        ("'a' < 1", "'<' not supported between"),
    ],
)
def test_what_an_operator_does_not_take_is_told(compiled, expression, text):
    with pytest.raises(TemplateFailedError) as failed:
        compiled(f"{{{{ {expression} }}}}").render({})
    assert failed.value.kind is FailureKind.VALUE
    assert failed.value.text.startswith(text)


@pytest.mark.parametrize("expression", ["data.x + 1", "1 + data.x", "-data.x", "data.x * 'a'", "data.x < 1"])
def test_an_undefined_value_is_told_as_such(compiled, expression):
    with pytest.raises(TemplateFailedError) as failed:
        compiled(f"{{{{ {expression} }}}}").render({"data": {}})
    assert failed.value.kind is FailureKind.UNDEFINED


def test_the_table_of_operators_is_pythons():
    assert BINARY["+"] is operator.add
