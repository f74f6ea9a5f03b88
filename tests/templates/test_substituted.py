"""What variables put into a template: values, and no part of the program."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.templates.compiler import Compiler
from signalpost.templates.value import Fixed
from signalpost.yaml.variables import substitute


@pytest.fixture(scope="module")
def filled():
    """Compile a text after its variables were put in; the problems found come with it."""

    def compile_filled(text, compiler=Compiler(), **environment):  # noqa: B008 - it has no state
        found = []
        made = substitute(text, environment)
        stretches = [(each.start, each.start + len(each.text)) for each in made.hidden if each.text]
        value = compiler.compile(
            made.text,
            ("value",),
            frozenset({"message"}),
            lambda _, words, **_place: found.append(words),
            lambda _, **_place: "routes.yaml:1:1",
            outside=lambda _, text: stretches if text == made.text else (),
        )
        return value, found

    return compile_filled


@pytest.mark.parametrize("held", ["{{ message }}", "{% raw %}", "{# no #}", "${X}", "plain"])
def test_a_variable_alone_is_no_template(filled, held):
    value, found = filled("${X}", X=held)
    assert isinstance(value, Fixed)
    assert (value.value, found) == (held, [])


@pytest.mark.parametrize(
    ("text", "held", "rendered"),
    [
        ("${X}: {{ message }}", "a 'b' \"c\" \\n }} %}", "a 'b' \"c\" \\n }} %}: hi"),
        ("{{ message ~ '${X}' }}", "a b {{", "hia b {{"),
        ("{{ message[${X}] }}", "1", "i"),
        ("{{ ${X}[1:] }}", "message", "i"),
        ("{{ '${X}' ~ '${X}' }}", "a", "aa"),
        ("{{ message }}${X}", "", "hi"),
    ],
)
def test_beside_and_inside_a_template_a_variable_is_a_value(filled, text, held, rendered):
    value, found = filled(text, X=held)
    assert found == []
    assert value.render({"message": "hi"}) == rendered


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("${X} {{ message }}", "{{ 7 * 7 }}"),
        ("${X} {{ message }}", "{% if"),
        ("{${X} {{ message }}", "{ message }}"),
        ("{{ message ~ '${X}' }}", "' ~ message ~ '"),
        ("{{ message ~ '${X}' }}", "it's"),
        ("{{ message ~ '${X}' }}", "a\\nb"),
        ("{{ message${X} }}", ".upper()"),
        ("{{ ${X} }}", "7 * 7"),
        ("{{ message }}${X}", "{#"),
    ],
)
def test_what_would_change_a_template_is_refused(filled, text, held):
    _, (words,) = filled(text, X=held)
    assert words.startswith("what a variable or a secret holds here would be read as a part of the template")


TEMPLATES = ["<${X}>{{ message }}", "<{{ message ~ '${X}' }}", '<{{ "${X}" }}-${X}>']


@given(st.text("ab' \"{}%#\\~\n"), st.sampled_from(TEMPLATES))
def test_whatever_is_rendered_is_what_the_variable_held(filled, held, text):
    value, found = filled(text, X=held)
    if not found:
        expected = text.replace("{{ message }}", "hi").replace("{{ message ~ '${X}' }}", f"hi{held}")
        expected = expected.replace('{{ "${X}" }}', held).replace("${X}", held)
        assert value.render({"message": "hi"}) == expected
