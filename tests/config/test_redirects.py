"""Endpoints that redirect to another one, as routes.yaml says them."""

import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app

WEB = "- {name: web, address: 127.0.0.1, port: 8443, protocol: http}"
LIVE = "- {name: live, address: 127.0.0.1, port: 8444, protocol: ws}"


@pytest.fixture
def problems(tmp_path):
    """Load endpoints and more, and return each problem with its line, the underlined word and its text."""

    def load(*endpoints, more=""):
        text = "endpoints:\n" + "".join(f"  {each}\n" for each in endpoints) + textwrap.dedent(more)
        try:
            load_app(text, tmp_path)
        except ConfigError as failed:
            return [(each.line, each.source[each.column - 1 :][: each.width], each.text) for each in failed.problems]
        return []

    return load


def plain(rest, name="plain", protocol="http", port=8080):
    return f"- {{name: {name}, address: 127.0.0.1, port: {port}, protocol: {protocol}, {rest}}}"


@pytest.mark.parametrize(
    ("redirect", "says"),
    [
        ("wep", 'no endpoint named "wep"; did you mean "web"? (known: web, live)'),
        ("plain", '"plain" is this endpoint itself: name the one that answers, or leave redirect out'),
        ("live", '"live" is ws; an endpoint that is http redirects to one that is http or https'),
    ],
)
def test_an_endpoint_that_cannot_take_it_is_a_problem(problems, redirect, says):
    assert problems(plain(f"redirect: {redirect}"), WEB, LIVE) == [(2, redirect, says)]


def test_a_chain_is_a_problem_at_the_one_that_redirects_to_a_redirect(problems):
    found = problems(plain("redirect: middle"), plain("redirect: web", "middle", port=8081), WEB)
    assert found == [(2, "middle", '"middle" redirects, too (to "web"): name the one that answers')]


def test_a_circle_is_a_problem_at_both(problems):
    found = problems(plain("redirect: b", "a"), plain("redirect: a", "b", port=8081))
    assert [line for line, *_ in found] == [2, 3]


def test_a_unix_socket_is_no_address_for_a_client(problems):
    found = problems(plain("redirect: s"), "- {name: s, address: unix:app.sock, protocol: http}")
    assert found == [(2, "s", '"s" is a Unix socket, to which no client could be sent')]


@pytest.mark.parametrize("key", ["fallbacks: [sse]", "origins: ['http://a.example']", "keepalive: {every: 5s}"])
def test_keys_of_what_is_served_have_no_place_beside_it(problems, key):
    found = problems(plain(f"redirect: web, {key}"), WEB)
    assert {(line, word) for line, word, _ in found} == {(2, word := key.partition(":")[0])}
    assert found[-1][2] == f"nothing is served here but a redirect, so {word} has no effect: leave it out"


def test_a_route_or_a_signal_that_names_it_is_a_problem(problems):
    found = problems(
        plain("redirect: web"),
        plain("redirect: live", "old", "ws", 8081),
        WEB,
        LIVE,
        more="""
        routes: [{path: /a, endpoint: plain, handler: x}]
        signals: [{path: /b, endpoint: [live, old]}]
        """,
    )
    assert [(word, text) for _, word, text in found if "redirects" in text] == [
        ("plain", 'the endpoint "plain" redirects to "web", and nothing is served there: name another (known: web)'),
        ("old", 'the endpoint "old" redirects to "live", and nothing is served there: name another (known: live)'),
    ]


def test_routes_and_signals_that_name_no_endpoint_are_not_served_there(tmp_path):
    app = f"endpoints:\n  {plain('redirect: web')}\n  {WEB}\n  {plain('redirect: live', 'old', 'ws', 8081)}\n  {LIVE}\n"
    plan = load_app(app + "routes: [{path: /a, do: [{respond: {}}]}]\nsignals: [{path: /b}]\n", tmp_path)
    assert plan.routes[0].endpoints == {"web"}
    assert plan.signals[0].endpoints == {"live"}


def test_an_app_that_redirects_everything_serves_no_routes(problems):
    found = problems(
        plain("redirect: web"), plain("redirect: web", "web"), more="routes: [{path: /a, do: [{respond: {}}]}]"
    )
    assert any("nothing serves these" in text for *_, text in found)


def test_what_browsers_or_others_cannot_follow_is_noted(tmp_path):
    app = f"""
endpoints:
  - {{name: plain, address: "*", port: 8080, protocol: http, redirect: web}}
  {plain("redirect: live", "old", "ws", 8081)}
  {WEB}
  {LIVE}
"""
    far, old = [note.partition(": ")[2] for note in load_app(app, tmp_path).notes if "redirects" in note]
    assert far == (
        "the endpoint plain redirects to web, which only this machine can reach (127.0.0.1); if a proxy stands before "
        "it, let the proxy redirect"
    )
    assert old == (
        "the endpoint old redirects WebSockets, and browsers do not follow that: pages must open ws:// themselves"
    )
