"""A value keeps its type, a text stays text, and what costs nothing is not computed."""

import pytest

from signalpost.actions.value import Computed, Failure, Fixed, TemplateFailedError


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", "", "{# no comment #}", [1, {"a": []}], {}])
def test_a_value_without_templates_is_fixed(compiled, value):
    assert compiled(value) == Fixed(value)


def test_a_whole_expression_keeps_its_type(render):
    for message in (None, True, 5, 1.5, "", "[1,2]", "None", "{{ 7*7 }}", [1, "2"], {"a": None}):
        assert render("{{ message }}", message=message) is message


def test_names_are_those_that_are_used(compiled):
    value = compiled({"a": ["{{ message }}", 5], "b{{ path }}": "{{ data.x }} and {{ message }}"})
    assert isinstance(value, Computed)
    assert value.names == {"message", "path", "data"}


def test_lists_mappings_and_keys_are_rendered(render):
    value = {"a": ["{{ message }}", 5], "to {{ path }}": {"b": "{{ message }}!"}}
    assert render(value, message=1, path="/x") == {"a": [1, 5], "to /x": {"b": "1!"}}


def test_an_undefined_key_fails_with_the_place_of_its_text(compiled):
    with pytest.raises(TemplateFailedError, match=r"^routes\.yaml:7:4: ") as failed:
        compiled({"a": ["{{ data.mesage }}"]}).render({"data": {"message": 1}})
    assert failed.value.kind is Failure.UNDEFINED


def test_an_unknown_name_is_told_with_the_nearest(compiled, problems):
    compiled({"a": "{{ mesage }}"})
    assert problems[0][0] == ("do", 0, "a")
    assert problems[0][1].startswith('no name named "mesage"; did you mean "message"?')
