"""The map in core/README.md has the layers that import-linter checks, in their order, and stays a map."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "core" / "README.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def test_the_map_has_every_layer_of_the_contract_in_its_order():
    (contract,) = (each for each in CONTRACTS if each["type"] == "layers")
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", MAP, re.MULTILINE)
    told = [{name.removesuffix(".py").rstrip("/") for name in re.findall(r"`(.*?)`", cell)} for _, cell in rows]
    assert told == layers
    assert [int(number) for number, _ in rows] == list(range(len(layers), 0, -1))


def test_the_map_is_no_longer_than_a_map():
    assert len(MAP.splitlines()) <= 246


def test_the_map_leads_to_every_page_about_how_things_work_and_every_decision_is_in_the_index():
    docs = ROOT / "core" / "docs"
    assert {f"docs/internals/{file.name}" for file in (docs / "internals").iterdir()} <= set(
        re.findall(r"\((.*?)\)", MAP)
    )
    index = (docs / "decisions" / "README.md").read_text(encoding="utf-8")
    for file in sorted((docs / "decisions").glob("0*.md")):
        title = file.read_text(encoding="utf-8").partition("\n")[0].partition(". ")[2]
        assert f"| [{file.name[:4]}]({file.name}) | {title} |" in index
