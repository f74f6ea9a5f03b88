"""A plain EventSource in a real browser: it comes back by itself, and has everything once and in order."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.slow]

ROUTES = """\
endpoints:
  - {{name: web, address: 127.0.0.1, port: {port}, protocol: http, fallbacks: [sse], hosts: [signalpost.test]}}
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
routes: [{{path: /, file: page.html}}]
signals:
  - {{path: '/rooms/<room>', rebroadcast: path, history: {{keep: 100}}}}
history: {{file: history.db}}
"""
PAGE = """\
<!doctype html>
<title>An event source</title>
<p id="state">waiting</p>
<ol id="values"></ol>
<ol id="others"></ol>
<script>
  const show = (list, text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.querySelector(list).append(item);
  };
  const source = new EventSource("/rooms/blue");
  source.onopen = () => document.querySelector("#state").textContent = "open";
  source.onerror = () => document.querySelector("#state").textContent = source.readyState === 2 ? "over" : "lost";
  source.onmessage = event => show("#values", event.data);
  for (const name of ["gap", "lagged", "close"]) {
    source.addEventListener(name, event => show("#others", `${name} ${event.data}`));
  }
  const send = message => fetch("/rooms/blue", {method: "POST", body: JSON.stringify({message})}).then(r => r.status);
</script>
"""


@pytest.fixture
def served(make_app: Callable[[], Any]) -> Any:
    app = make_app()
    (app.folder / "routes.yaml").write_text(ROUTES.format(port=app.url.rpartition(":")[2]))
    (app.folder / "page.html").write_text(PAGE)
    app.start()
    return app


@pytest.fixture
def page(served: Any, browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.url.replace("127.0.0.1", "signalpost.test"))  # which it cannot reach without a network
    expect(page.locator("#state")).to_have_text("open")
    yield page
    context.close()


def say(app: Any, *values: str) -> None:
    for value in values:
        assert httpx.post(f"{app.url}/rooms/blue", json={"message": value}).status_code == 202


def values(page: Page) -> Any:
    return page.locator("#values li")


def test_a_page_reads_and_sends_without_a_websocket(served: Any, page: Page):
    say(served, "from elsewhere", "two\nlines", "<b>&amp;</b>")
    assert page.evaluate("send('from the page')") == 202

    expect(values(page)).to_have_text(
        ["from elsewhere", "two\nlines", "<b>&amp;</b>", "from the page"], use_inner_text=False
    )


def test_when_the_server_restarts_nothing_is_missing_and_nothing_comes_twice(served: Any, page: Page):
    say(served, "1", "2")
    expect(values(page)).to_have_text(["1", "2"])

    for number in (3, 6):
        served.stop()
        expect(page.locator("#state")).to_have_text("lost")
        served.start()
        say(served, *(str(number + more) for more in range(3)))  # it may be back by now, or not
        expect(values(page)).to_have_text([str(each) for each in range(1, number + 3)])

    expect(page.locator("#others li")).to_have_text(['close {"code":1012,"reason":"the server restarts"}'] * 2)


def test_values_that_are_sent_while_the_page_is_away_come_when_it_is_back(served: Any, page: Page):
    say(served, "before")
    expect(values(page)).to_have_text(["before"])
    served.stop()
    expect(page.locator("#state")).to_have_text("lost")
    page.context.set_offline(True)  # so that it is away for certain
    served.start()
    say(served, "meanwhile 1", "meanwhile 2")
    page.context.set_offline(False)

    expect(values(page)).to_have_text(["before", "meanwhile 1", "meanwhile 2"])
    say(served, "after")
    expect(values(page)).to_have_text(["before", "meanwhile 1", "meanwhile 2", "after"])


def test_when_the_server_is_killed_the_page_comes_back_too(served: Any, page: Page):
    say(served, "before")
    expect(values(page)).to_have_text(["before"])
    served.kill()
    expect(page.locator("#state")).to_have_text("lost")
    served.start()
    expect(page.locator("#state")).to_have_text("open")
    say(served, "after")

    expect(values(page).last).to_have_text("after")


def test_a_page_is_told_of_a_history_that_was_lost(served: Any, page: Page):
    say(served, "1", "2")
    expect(values(page)).to_have_text(["1", "2"])
    served.stop()
    for file in served.folder.glob("history.db*"):
        file.unlink()
    served.start()

    gap = page.locator("#others li").last
    expect(gap).to_contain_text("gap")
    expect(gap).to_contain_text('"why":"lost"')
    say(served, "3")
    expect(values(page)).to_have_text(["1", "2", "3"])
    served.stop()  # and from then on it has a position that is known
    expect(page.locator("#state")).to_have_text("lost")
    served.start()
    say(served, "4")
    expect(values(page)).to_have_text(["1", "2", "3", "4"])
    expect(page.locator("#others li").filter(has_text="gap")).to_have_count(1)


def test_a_signal_that_is_gone_for_good_ends_the_source(served: Any, page: Page):
    served.stop()
    expect(page.locator("#state")).to_have_text("lost")
    file = served.folder / "routes.yaml"
    file.write_text(file.read_text().replace("/rooms/", "/halls/"))
    served.start()

    expect(page.locator("#state")).to_have_text("over")
