"""What the commands say of endpoints that redirect, and of broadcast levels."""

import pytest

APP = """
endpoints:
  - {name: plain, address: 127.0.0.1, port: 8080, protocol: http, redirect: web}
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
undeclared: refuse
broadest: path
routes:
  - {path: /later, do: [{reply: {value: done}}]}
signals:
  - {path: /orders, broadest: client, rebroadcast: none, from_elsewhere: true, targets: [path, clientId]}
  - {path: /news, rebroadcast: path}
"""


@pytest.fixture
def run(folder, signalpost):
    """Run a command on the app, and return its words, one space between each two."""
    (folder / "routes.yaml").write_text(APP)
    return lambda *command: " ".join(signalpost(*command).output.split())


def test_routes_and_explain_say_where_an_endpoint_redirects(run):
    assert "any any redirects to web (308) routes.yaml:3" in run("routes")
    assert "plain http://127.0.0.1:8080/news does redirects to web (308)" in run("explain", "/news")


def test_explain_says_how_broad_broadcasts_may_be(run):
    assert "broadest broadcasts that reach its clients go to a client at most" in run("explain", "/orders")
    assert "broadest broadcasts that reach its clients go to a path at most" in run("explain", "/news")


def test_try_shows_that_a_message_asks_for_more_than_is_allowed(run):
    shown = run("try", "/news", '{"message": "x", "path": "/orders"}')
    assert "target-not-allowed" in shown
    assert "a message must name its clientId, or be direct" in shown


def test_try_says_why_a_route_cannot_answer_its_sender(run):
    shown = run("try", "/later", "{}", "--method", "POST")
    assert "name the session of your welcome in the header signalpost-session" in shown
    assert "Traceback" not in shown


def test_a_plan_names_the_level_that_has_changed(run, folder):
    (folder / "before.yaml").write_text(APP.replace("broadest: client, ", ""))
    assert "~ signal /orders" in run("plan", "--against", "before.yaml")
