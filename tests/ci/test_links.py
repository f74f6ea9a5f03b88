"""No link in a document leads nowhere, and no map names a file that is not there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "core" / "signalpost"

pytestmark = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="an sdist leaves out .ci and .github")


def documents():
    """Return the Markdown files of the repository: those of git, or without it all that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if not listed.returncode:
        return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())
    foreign = {".venv", "node_modules", ".pytest_cache"}
    return sorted(str(file.relative_to(ROOT)) for file in ROOT.rglob("*.md") if foreign.isdisjoint(file.parts))


DOCUMENTS = documents()
# Documents that describe the code as it is; decisions and the changelog name what there was.
MAPS = [name for name in DOCUMENTS if name in {"core/README.md", "CONTRIBUTING.md"} or "docs/internals/" in name]


def prose(name):
    """Return a document without its blocks of code."""
    return re.sub(r"^(```|~~~).*?^\1", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(file):
    """Return what headings of a document can be linked by, as GitHub makes it of them."""
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", prose(file.relative_to(ROOT)), re.MULTILINE):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading.lower())
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (anchor if not number else f"{anchor}-{number}") in found:
            number += 1
        found.add(anchor if not number else f"{anchor}-{number}")
    return found


def broken(name, text):
    """Return the relative links of a document's text that lead to no file, or to no heading of it."""
    for link in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (heading and heading not in anchors(file.resolve())):
            yield link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_and_its_heading(name):
    assert list(broken(name, prose(name))) == []


@pytest.mark.parametrize("name", MAPS)
def test_a_map_names_only_files_that_are_there(name):
    files = set(re.findall(r"(?<![\w/.<-])([a-z_]+(?:/[a-z_]+)*/[a-z_]+\.py)\b", (ROOT / name).read_text("utf-8")))
    assert [file for file in sorted(files) if not (PACKAGE / file).exists() and not (ROOT / file).exists()] == []


def test_a_link_to_nothing_is_found():
    text = "[a](nowhere.md) [b](#the-wire) [c](#no-such-heading) [d](README.md) [e](https://example.org/x)"
    assert list(broken("core/docs/internals/wire.md", text)) == ["nowhere.md", "#no-such-heading", "README.md"]
