from pathlib import Path

from signalpost.actions.builtin import routes_schema
from signalpost.cli.reference import reference
from signalpost.config import COOKBOOK

REFERENCE = Path(__file__).parents[2] / "core" / "reference.md"


def test_the_reference_in_the_repository_is_made_from_the_schema_as_it_is():
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "make it anew: signalpost reference > core/reference.md"
    )


def test_every_section_of_the_schema_has_its_heading():
    headings = [line.removeprefix("## ") for line in reference().splitlines() if line.startswith("## ")]
    assert headings == ["Values from outside", *routes_schema()["properties"], "Actions", "Templates", "Cookbook"]


def test_keys_of_items_are_told_from_keys_of_mappings():
    text = reference()
    assert "| `signals[].path` |" in text
    assert "| `limits.message` |" in text


def test_every_action_of_the_schema_has_its_row():
    rows = {line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")}
    assert rows >= set(routes_schema()["$defs"]["step"]["properties"])


def test_the_readme_shows_an_app_of_the_cookbook():
    chat = (COOKBOOK / "chat.yaml").read_text(encoding="utf-8")
    assert chat.partition("endpoints:")[2] in (REFERENCE.parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_app_of_the_cookbook_is_shown_whole():
    text = reference()
    for app in COOKBOOK.glob("*.yaml"):
        assert app.read_text(encoding="utf-8").partition("endpoints:")[2] in text


def test_the_guide_to_memory_has_the_reference_s_table_of_what_may_be_lost():
    def table(text):
        return [line for line in text.splitlines() if line.startswith("|")]

    guide = (REFERENCE.parent / "docs/memory-guide.md").read_text(encoding="utf-8").partition("## What may be lost")[2]
    assert table(guide)[1:]
    assert "\n".join(table(guide)) in REFERENCE.read_text(encoding="utf-8")
