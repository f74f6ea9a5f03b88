"""Pages of others in a real browser, which would read or change what a server on this machine has."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

OWN_PAGE = """<!doctype html><title>own</title>
<form method="post" action="/bell"><button>ring</button></form>
"""
ROUTES = """
endpoints:
  - {{name: web, address: 127.0.0.1, port: {web}, protocol: http, fallbacks: [sse], origins: [{listed}]}}
  - {{name: live, address: 127.0.0.1, port: {web}, protocol: ws}}
routes:
  - {{path: /own, file: web/own.html}}
  - {{path: /shy, file: web/own.html, headers: {{referrer-policy: no-referrer}}}}
  - {{path: /signalpost.js, client: true}}
  - {{path: /rings, method: GET, do: [{{respond: {{json: "{{{{ state.rings | default(0) }}}}"}}}}]}}
  - path: /bell
    do:
      - {{set: {{rings: "{{{{ (state.rings | default(0)) + 1 }}}}"}}}}
      - {{respond: {{json: "{{{{ state.rings }}}}"}}}}
signals:
  - {{path: /}}
  - {{path: /rooms/blue, rebroadcast: path, history: 10}}
"""


@pytest.fixture
def target(make_app: Any, attacker: str) -> Any:
    """Serve a bell, and a page that rings it. One page of others is listed: that of ``friend.test``."""
    app = make_app()
    (app.folder / "web" / "own.html").write_text(OWN_PAGE)
    listed = attacker.replace("attacker.test", "friend.test")
    (app.folder / "routes.yaml").write_text(ROUTES.format(web=app.url.rpartition(":")[2], listed=listed))
    app.start()
    return app


class Blank(http.server.BaseHTTPRequestHandler):
    """Answers every request with an empty page."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>attacker</title>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def attacker() -> Iterator[str]:
    """Serve pages of another site, on this machine too: browsers guard it from those of the internet by themselves."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://attacker.test:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def rings(app: Any) -> int:
    return int(httpx.get(f"{app.url}/rings").json())


def test_a_page_whose_name_leads_to_this_machine_reads_and_hears_nothing(target: Any, browser: Browser):
    url = target.url.replace("127.0.0.1", "evil.test")
    page = browser.new_context(bypass_csp=True).new_page()
    # The error page stands for one of the attacker's that the name led to before; its policy is not in force.
    assert page.goto(f"{url}/own").status == 421

    got = page.evaluate("async () => { const a = await fetch('/own'); return [a.status, await a.text()] }")
    posted = page.evaluate("async () => (await fetch('/bell', {method: 'POST', body: '{}'})).status")
    opened = page.evaluate(
        """() => new Promise(done => {
            const socket = new WebSocket(`ws://${location.host}/`);
            socket.onopen = () => done("open");
            socket.onerror = () => done("refused");
        })"""
    )

    assert (got[0], posted, opened) == (421, 421, "refused")
    assert "ring" not in got[1]
    assert rings(target) == 0
    page.context.close()


@pytest.mark.slow
def test_a_page_of_another_site_changes_nothing_by_fetch_or_form(target: Any, attacker: str, page: Page):
    page.goto(attacker)
    sent = page.evaluate(
        """async url => {
            const answer = await fetch(url, {method: "POST", mode: "no-cors", body: '{"value": 1}'});
            return answer.type;
        }""",
        f"{target.url}/bell",
    )
    assert sent == "opaque"  # it was sent, and answered
    page.set_content(f'<form method="post" action="{target.url}/bell"><button>win</button></form>')
    with page.expect_navigation() as navigation:
        page.click("button")
    assert navigation.value.status == 403
    assert rings(target) == 0


@pytest.mark.slow
def test_a_form_of_an_own_page_says_its_origin_and_is_heard(target: Any, page: Page):
    page.goto(f"{target.url}/own")
    with page.expect_navigation() as navigation:
        page.click("button")
    assert navigation.value.request.header_value("origin") == target.url
    assert navigation.value.status == 200
    assert rings(target) == 1


@pytest.mark.slow
def test_a_form_that_hides_its_origin_is_refused_as_the_reference_says(target: Any, page: Page):
    page.goto(f"{target.url}/shy")
    with page.expect_navigation() as navigation:
        page.click("button")
    assert navigation.value.status == 403


@pytest.mark.slow
def test_a_listed_page_may_send_json_and_read_the_answer_and_another_may_not(target: Any, attacker: str, page: Page):
    ring = """async url => {
        const headers = {"content-type": "application/json"};
        try { return await (await fetch(url, {method: "POST", headers, body: "{}"})).json() } catch { return "refused" }
    }"""
    page.goto(attacker)
    assert page.evaluate(ring, f"{target.url}/bell") == "refused"
    page.goto(attacker.replace("attacker.test", "friend.test"))
    assert page.evaluate(ring, f"{target.url}/bell") == 1
    assert rings(target) == 1


@pytest.mark.slow
def test_a_listed_page_reads_events_and_has_the_client_without_a_websocket_and_another_has_nothing(
    target: Any, attacker: str, page: Page
):
    read = """url => new Promise(done => {
        const source = new EventSource(`${url}/rooms/blue`);
        source.onopen = () => fetch(`${url}/rooms/blue`, {method: "POST", body: '{"message": "posted"}'});
        source.onmessage = ({data}) => { source.close(); done(data) };
        source.onerror = () => done("refused");
    })"""
    ask = """async url => {
        globalThis.WebSocket = class {
            constructor() { setTimeout(() => this.onclose({code: 1006, reason: ""})) }
            close() {}
        };
        const {connect} = await import(`${url}/signalpost.js`);
        const room = connect(url).open("/rooms/blue");
        const {kind} = await room.ask({message: "asked"}); // with a session, so that the browser asks before
        const {signals} = await room.history();
        room.close();
        return [kind, ...signals.map(({value}) => value)];
    }"""
    page.goto(attacker)
    assert page.evaluate(read, target.url) == "refused"
    page.goto(attacker.replace("attacker.test", "friend.test"))
    assert page.evaluate(read, target.url) == "posted"
    assert page.evaluate(ask, target.url) == ["ack", "posted", "asked"]


@pytest.mark.slow
def test_a_page_of_another_site_cannot_frame_an_own_one(target: Any, attacker: str, page: Page):
    page.goto(attacker)
    page.set_content(f'<iframe src="{target.url}/own"></iframe>')
    page.wait_for_load_state("networkidle")
    assert [frame.title() for frame in page.frames[1:]] != ["own"]
    page.goto(f"{target.url}/own")
    page.evaluate("document.body.innerHTML = '<iframe src=/own></iframe>'")
    page.wait_for_function("frames[0]?.document.title === 'own'")
