"""The document of the console: its example runs, and its words are those that are shown."""

import re
from pathlib import Path

from signalpost.console.reading import MOST_CLIENTS
from signalpost.signals.watching import KEPT, LASTS, LONGEST, MOST_PATHS
from signalpost.testing import serve

TEXT = (Path(__file__).parents[2] / "core" / "docs" / "console.md").read_text(encoding="utf-8")


async def test_the_example_serves_a_console(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "secrets.yaml").write_text("token: a secret of the tests that is long enough for HS256\n")
    (tmp_path / "secrets.yaml").chmod(0o600)
    free = re.sub(r"port: \d+", "port: 0", example)
    async with serve(free, folder=tmp_path) as app:
        assert app.server.plan.config.monitor.console.path == "/console"
        assert app.server.plan.console is not None


def test_its_bounds_are_those_of_the_code():
    assert f"its last {KEPT} messages" in TEXT
    assert f"{KEPT} messages of a path are kept, {LONGEST // 1024} KiB of each, of {MOST_PATHS} paths" in TEXT
    assert f"{LASTS:g} seconds after the last look" in TEXT
    assert f"{MOST_CLIENTS} at most" in TEXT
