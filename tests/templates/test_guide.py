"""What the reference says of templates holds."""

import json
import re
from datetime import UTC, datetime
from importlib.resources import files

import pytest

from signalpost.templates.attributes import MOMENT, TEXT
from signalpost.templates.scope import ITEM, Limits

GUIDE = files("signalpost.config").joinpath("templates.md").read_text(encoding="utf-8")
SCOPE = {
    "message": "hi",
    "data": {"message": "hi", "n": 5, "list": [1, 2], "user": {"name": "Ann"}},
    "now": datetime(2026, 11, 24, 12, tzinfo=UTC),
}
EXAMPLES = {
    template.replace("\\|", "|"): gives
    for template, gives in re.findall(r"^\| `([^`]*\{[{%].*)` \| (.*) \|$", GUIDE, re.MULTILINE)
    if gives.startswith("`")
}


@pytest.mark.parametrize("template", EXAMPLES)
def test_an_example_gives_what_stands_beside_it(render, template):
    assert render(template, **SCOPE) == json.loads(EXAMPLES[template].strip("`"))


def test_the_guide_of_templates_has_examples():
    assert len(EXAMPLES) > 10


def test_the_scope_of_the_examples_is_told():
    assert f"`data` is `{json.dumps(SCOPE['data'])}`" in GUIDE


def test_every_filter_is_named_and_no_other(compiler):
    _, _, filters = GUIDE.partition("### Filters")
    filters, _, left_out = filters.partition("Left out")
    named = set(re.findall(r"`(\w+)(?:\([\w, ]*\))?`", filters)) - {"value"}
    assert named == set(compiler.filters)
    assert not set(re.findall(r"`(\w+)`", left_out.partition("###")[0])) & set(compiler.filters)


@pytest.mark.parametrize("names", [TEXT, MOMENT])
def test_every_method_is_named(names):
    (row,) = (line for line in GUIDE.splitlines() if all(f"`{name}`" in line for name in names))
    assert set(re.findall(r"`(\w+)`", row)) == names


def test_the_limits_are_told():
    limits = Limits()
    for text in (
        f"after {limits.seconds * 1000:g} ms",
        f"{limits.characters:,} characters",
        f"{limits.characters // ITEM:,} items",
        f"{limits.made // limits.characters} times as much",
        f"{limits.depth} deep",
    ):
        assert text in " ".join(GUIDE.split())
