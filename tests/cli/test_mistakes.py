"""The page of mistakes (core/mistakes.md): every command on it says what the page says."""

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "core" / "mistakes.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=[section.partition("\n")[0] for section in SECTIONS])
def test_what_the_page_shows_is_what_is_said(section, folder, signalpost):
    commands = 0
    for language, text in FENCE.findall(section):
        first, _, said = text.partition("\n")
        if language == "console":
            program, *arguments = shlex.split(first.removeprefix("$ "))
            assert program == "signalpost"
            assert signalpost(*arguments).output == said
            commands += 1
        else:
            # A file names itself in its first line, a comment.
            file = folder / first.removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    assert commands
