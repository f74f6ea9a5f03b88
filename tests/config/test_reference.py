from pathlib import Path

from signalpost.config.reference import reference
from signalpost.config.schema import routes_schema

REFERENCE = Path(__file__).parents[2] / "core" / "reference.md"


def test_the_reference_in_the_repository_is_made_from_the_schema_as_it_is():
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "make it anew: python -m signalpost.config.reference > core/reference.md"
    )


def test_every_section_of_the_schema_has_its_heading():
    headings = [line.removeprefix("## ") for line in reference().splitlines() if line.startswith("## ")]
    assert headings == list(routes_schema()["properties"])


def test_keys_of_items_are_told_from_keys_of_mappings():
    text = reference()
    assert "| `signals[].path` |" in text
    assert "| `limits.message` |" in text
