"""The console in a real browser before a real server, as somebody who may use it sees it."""

import json
import time
from collections.abc import Callable

import jwt
import pytest
from playwright.sync_api import Page, expect
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


@pytest.fixture
def served(make_app):
    app = make_app()
    (app.folder / "routes.yaml").write_text(ROUTES.format(port=app.url.rpartition(":")[2], secret=SECRET))
    app.start()
    return app


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
