"""The console in a real browser before a real server, as somebody who may use it sees it."""

import json
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import App
from websockets import ConnectionClosed
from websockets.sync.client import connect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

OpenPage = Callable[..., Page]

SECRET = "0123456789abcdef0123456789abcdef"
ROUTES = """\
endpoints:
  - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
undeclared: refuse
auth: {{tokens: {{keys: {{secret: {secret}}}, algorithms: [HS256]}}, cookie: who}}
signals:
  - {{path: /rooms/<room>, rebroadcast: path, presence: true, may: {{connect: anyone}}}}
  - path: /strict
    may: {{connect: anyone, publish: "{{{{ message != 'forbidden' }}}}"}}
    schema: {{type: object, required: [message], properties: {{message: {{type: string, maxLength: 10}}}}}}
timers:
  - {{name: tick, every: 1h, do: [{{broadcast: {{value: tick, path: /rooms/tea}}}}]}}
monitor: {{console: /console, may: "{{{{ 'admin' in claims.roles }}}}"}}
"""


def token(user: str, *roles: str) -> str:
    claims = {"sub": user, "roles": roles, "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[App]:
    """Serve an app with a console; a test that changes it or stops it brings it back."""
    app = App(tmp_path_factory.mktemp("console"), shared=True)
    (app.folder / "routes.yaml").write_text(ROUTES.format(port=app.url.rpartition(":")[2], secret=SECRET))
    app.start()
    yield app
    app.kill()


@pytest.fixture
def open_console(served, open_page) -> Callable[..., Page]:
    """Open the console as somebody who may use it."""

    def open_console(query: str = "", **options: object) -> Page:
        cookie = {"name": "who", "value": token("ann", "admin"), "url": served.url}
        options = {"viewport": {"width": 1100, "height": 900}, **options}
        page = open_page(f"{served.url}/console{query}", None, connected=False, cookies=[cookie], **options)
        expect(page.locator("#state")).to_have_text("Live")
        return page

    return open_console


def send(socket, message: object) -> None:
    socket.send(json.dumps({"message": message}))


def rows(page: Page, table: str):
    return page.locator(f"#{table} tbody tr")


def test_the_console_shows_signals_clients_and_jobs(served, open_console):
    with connect(f"{served.signals_url}/rooms/tea"):
        page = open_console()
        expect(rows(page, "signals").filter(has_text="/rooms/<room>").locator(".number").first).to_have_text("1")
        expect(rows(page, "clients")).to_have_count(1)
        expect(rows(page, "clients")).to_contain_text("/rooms/tea")
        expect(rows(page, "jobs")).to_contain_text("tick")
        expect(page.locator("#you")).to_have_text("user 'ann'")
    expect(rows(page, "clients")).to_have_count(0)


def test_a_message_of_the_path_that_is_looked_at_appears_with_its_way(served, open_console):
    page = open_console("?path=/rooms/tea")
    expect(page.locator("#watched")).to_be_visible()
    with connect(f"{served.signals_url}/rooms/tea") as socket:
        send(socket, "<b>hello</b>")
        message = page.locator("#messages > li")
        expect(message).to_have_count(1)
        expect(message.locator(".text")).to_have_text('{"message": "<b>hello</b>"}')
        message.locator("summary").press("Enter")
        expect(message.locator(".way")).to_contain_text('message = "<b>hello</b>"; asks for nothing')
        expect(message.locator(".way")).to_contain_text("re-broadcast to clients on /rooms/tea")
        expect(message.locator(".way")).to_contain_text("1 client here: clients on /rooms/tea")
        expect(page.locator("#messages b")).to_have_count(0)


def test_a_refused_message_says_by_which_line(served, open_console):
    page = open_console("?path=/strict")
    with connect(f"{served.signals_url}/strict") as socket:
        for message in ("forbidden", "far too long a text"):
            send(socket, message)
        expect(page.locator("#messages > li[data-refused=true]")).to_have_count(2)
    newest, older = page.locator("#messages > li").all()
    newest.locator("summary").click()
    expect(newest.locator(".way")).to_contain_text("refused: schema-mismatch at /message")
    older.locator("summary").click()
    expect(older.locator(".way")).to_contain_text("no: may.publish (routes.yaml:9:")


def test_the_list_stays_as_it_is_while_a_message_is_open(served, open_console):
    page = open_console("?path=/rooms/held")
    with connect(f"{served.signals_url}/rooms/held") as socket:
        send(socket, "first")
        page.locator("#messages summary").click()
        send(socket, "second")
        expect(page.locator("#held")).to_have_text("1 newer: they are shown when no message is open.")
        expect(page.locator("#messages > li")).to_have_count(1)
        page.locator("#messages summary").click()
        expect(page.locator("#messages .text").first).to_have_text('{"message": "second"}')


def test_a_client_is_kicked_only_when_that_is_confirmed(served, open_console):
    page = open_console()
    with connect(f"{served.signals_url}/rooms/tea") as socket:
        kick = rows(page, "clients").get_by_role("button", name="Kick")
        kick.focus()
        page.keyboard.press("Enter")
        expect(kick).to_have_text("Sure?")
        page.keyboard.press("Enter")
        expect(page.locator("#told")).to_have_text("1 client sent away")
        expect(rows(page, "clients")).to_have_count(0)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd.code == 4009
    assert "user 'ann' (console) kicks" in (served.folder / "server.log").read_text()


def test_a_value_is_published_and_a_job_run(served, open_console):
    page = open_console("?path=/rooms/tea")
    with connect(f"{served.signals_url}/rooms/tea") as socket:
        page.get_by_label("Publish to this path").fill('{"from": "above"}')
        page.get_by_label("Publish to this path").press("Control+Enter")
        assert json.loads(socket.recv(timeout=30)) == {"from": "above"}
        expect(page.get_by_label("Publish to this path")).to_have_value("")
        page.get_by_role("button", name="Run tick now").click()
        assert socket.recv(timeout=30) == "tick"
        expect(page.locator("#told")).to_have_text("tick has run")


def test_what_the_server_refuses_is_said(open_console, complaints):
    page = open_console("?path=/rooms/tea")
    page.get_by_label("Publish to this path").fill("null")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#told")).to_have_text("null and an empty text are not sent: leave the value out")
    assert "400" in complaints.pop()  # the browser's own note


def test_a_path_is_chosen_by_its_client_and_stands_in_the_address(served, open_console):
    page = open_console()
    with connect(f"{served.signals_url}/rooms/tea"):
        rows(page, "clients").get_by_role("button", name="/rooms/tea").click()
        expect(page.locator("#watched")).to_be_visible()
        assert page.url.endswith("?path=%2Frooms%2Ftea")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#watched")).to_be_hidden()


def test_a_hidden_page_asks_nothing(served, open_console):
    page = open_console()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/console/data*"):
        pass
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
            window.away = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    # By the page's own clock: three of its seconds, in which it would have asked three times.
    asked.clear()
    page.evaluate("() => new Promise((done) => setTimeout(done, 3000))")
    assert asked == []
    with page.expect_request("**/console/data*"):
        page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")


def test_the_page_says_when_the_server_is_away_and_goes_on_when_it_is_back(served, open_console):
    page = open_console()
    served.stop()
    expect(page.locator("#state")).to_have_text("The server is away")
    served.start()
    expect(page.locator("#state")).to_have_text("Live")


def test_a_reload_with_problems_is_shown(served, open_console):
    page = open_console()
    file = served.folder / "routes.yaml"
    sound = file.read_text()
    file.write_text(sound.replace("rebroadcast: path", "rebroadcast: pth"))
    expect(page.locator("#reloads .problems")).to_contain_text('did you mean "path"?')
    file.write_text(sound)
    expect(page.locator("#reloads > li").first).to_contain_text("reloaded: nothing changed")


@pytest.mark.parametrize("width", [320, 390, 768, 1100])
def test_the_page_fits_any_width(served, open_console, width):
    with connect(f"{served.signals_url}/rooms/{'long' * 20}"), connect(f"{served.signals_url}/rooms/wide") as socket:
        page = open_console("?path=/rooms/wide", viewport={"width": width, "height": 800})
        send(socket, "x" * 300)
        page.locator("#messages summary").first.click()
        expect(page.locator("#messages .way").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_told_from_its_ground(served, open_console, scheme):
    page = open_console("?path=/strict", color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert min(contrasts) >= 4.5  # WCAG 2.2, 1.4.3


CONTRASTS = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("h1, h2, p, th, td, label, button, .aside")]
    .filter((element) => element.textContent.trim() && element.offsetParent)
    .map((element) => {
      const [one, other] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
}"""


def test_nodes_with_other_plans_say_in_what_they_differ(served, open_console):
    """The answer is changed on its way; what two real nodes say of themselves is in tests/console."""
    page = open_console()
    node = {
        "host": "sea",
        "process": 1,
        "version": "1",
        "clients": 2,
        "silent": 1.0,
        "plan": {"timers": "aa", "auth": "b"},
    }
    other = {**node, "node": "n2", "silent": 99.0, "plan": {**node["plan"], "timers": "cc"}}

    def answer(route):
        found = route.fetch().json()
        route.fulfill(json={**found, "cluster": {"here": True, "node": "n1", "nodes": [{**node, "node": "n1"}, other]}})

    page.route("**/console/data*", answer)
    expect(rows(page, "nodes").nth(0)).to_contain_text("n1, this one")
    expect(rows(page, "nodes").nth(1)).to_contain_text("other timers")
    expect(rows(page, "nodes").nth(1)).to_contain_text("does not answer")
    page.unroute_all(behavior="wait")
