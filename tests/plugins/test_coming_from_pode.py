"""The page for people who come from Pode: its example runs, with actions and with a handler."""

import re
from pathlib import Path

import httpx
import pytest

import signalpost
from signalpost.testing import load_app, serve

PAGE = (Path(__file__).parents[2] / "core" / "docs" / "coming-from-pode.md").read_text(encoding="utf-8")
(APP,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(PLUGIN,) = re.findall(r"^```python\n# plugins/messages\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(BOUND,) = re.findall(r"`routes\.yaml` says `(\{path: /messages, .*?\})`", PAGE)
ANYWHERE = re.sub(r"port: \d+", "port: 0", APP)


def with_handler():
    """Return the app with the handler in place of the list of actions, as the page says."""
    before, _, rest = ANYWHERE.partition("  - path: /messages\n")
    return f"{before}  - {BOUND}\ntimers:{rest.partition('timers:')[2]}"


@pytest.mark.parametrize("text", [ANYWHERE, with_handler()], ids=["actions", "handler"])
async def test_the_app_of_the_page_does_what_its_script_does(text):
    async with serve(text, plugins={"messages": PLUGIN}) as app, app.connect("/messages") as client:
        await client.send("[DATE]")
        assert re.match(r"20\d\d-\d\d-\d\dT", await client.receive())
        await client.send("hello")
        assert await client.receive() == "hello"
        async with httpx.AsyncClient(base_url=app.url("web")) as browser:
            assert (await browser.post("/broadcast", json={"message": "from outside"})).is_success
        assert await client.receive() == "from outside"


def test_the_jobs_of_the_page_are_planned(tmp_path):
    assert {job.name for job in load_app(ANYWHERE, tmp_path).jobs} == {"figures", "nightly"}


def test_what_the_page_says_of_events_exists():
    named = set(re.findall(r"`(?:await )?event\.(\w+)", PAGE))
    assert named
    events = (signalpost.SignalEvent, signalpost.FeedEvent)
    assert all(any(hasattr(event, name) for event in events) for name in named)
