"""Every piece of code in the guide of the Python client runs."""

import asyncio
import re
import sys
import textwrap
from pathlib import Path

import pytest

from signalpost.client import connect
from signalpost.testing import serve

GUIDE = (Path(__file__).parents[3] / "core" / "docs" / "python-client.md").read_text(encoding="utf-8")
PROGRAM, *PARTS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    undeclared: refuse
    signals: [{path: /rooms/blue, rebroadcast: path, history: 100, presence: true}]
"""


async def test_the_program_prints_what_comes():
    async with serve(APP) as app:
        code = PROGRAM.replace("ws://localhost:8080", app.url())
        assert code != PROGRAM
        running = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        assert await running.stdout.readline() == b"hello\n"
        running.kill()
        await running.communicate()


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_runs_in_a_room(part):
    async with serve(APP) as app, connect(app.url() + "/rooms/blue") as room:
        names = {"connect": connect, "room": room, "url": app.url() + "/rooms/blue"}
        for text in ("one", "two", "three"):
            await room.ask({"message": text})
        names["signal"] = await anext(room)
        exec(f"async def part():\n{textwrap.indent(part, '    ')}", names)
        await names["part"]()


def test_every_kind_that_can_be_listened_to_is_explained():
    from signalpost.client.listeners import KINDS

    table = re.search(r"^\| kind \| tells \|\n\|---\|---\|\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)[1]
    explained = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert explained == set(KINDS)
