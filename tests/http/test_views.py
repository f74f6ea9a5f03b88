"""Views: what a template sees, and what becomes of one that fails."""

import logging
import os

import pytest

from signalpost.errors import OperatorError
from signalpost.http.views import View, ViewError


@pytest.fixture
def view(write, tmp_path):
    def load(source, name="web/page.html", **others):
        for other, text in others.items():
            write(f"web/{other}.html", text)
        return View.load(write(name, source), tmp_path)

    return load


def test_values_are_escaped(view):
    assert view("<p>{{ params.name }}</p>").render({"params": {"name": "<b>"}}) == "<p>&lt;b&gt;</p>"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ state.votes[n] }}", "a"),
        ("{{ n in state.votes }} {{ 4 in state.votes }} {{ '3' in state.votes }}", "True False True"),
        ("{{ n not in state.votes }} {{ 4 not in state.votes }}", "False True"),
        ("{% if 2 < n in state.votes %}yes{% endif %}", "yes"),
        ("{{ [3, 4] | select('in', state.votes) | list }}", "[3]"),
        ("{{ true in state.votes }} {{ n in [n] }} {{ 'b' in 'abc' }}", "False True True"),
    ],
)
def test_a_number_is_found_among_the_keys_of_a_mapping(view, source, shown):
    assert view(source).render({"n": 3, "state": {"votes": {"3": "a"}}}) == shown


def test_a_template_that_cannot_be_used_is_refused_when_it_is_loaded(view):
    with pytest.raises(OperatorError, match=r"^web/page.html:2: unexpected '}'$"):
        view("\n{{ x }")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("<p>\n\n{{ missing }}", r"web/page.html:3: UndefinedError: 'missing' is undefined"),
        ("{{ params.nam }}", r"web/page.html:1: UndefinedError: .*no attribute 'nam'"),
        ("\n{% include 'web/part.html' %}", r"web/part.html:2: UndefinedError: 'other' is undefined"),
        ("\n{{ 1 / 0 }}", r"web/page.html:2: ZeroDivisionError"),
        ("{% set x = params.update({'a': 1}) %}", r"web/page.html:1: SecurityError"),
        ("{{ ''.__class__.__mro__ }}", r"web/page.html:1: SecurityError"),
        ("\n{{ fail() }}", r"web/page.html:2: KeyError"),
    ],
)
def test_a_failure_names_the_innermost_template_and_its_line(view, source, place):
    def fail():
        raise KeyError("x")

    with pytest.raises(ViewError, match=f"^{place}"):
        view(source, part="\n{{ other }}").render({"params": {"name": "ann"}, "fail": fail})


def test_a_failure_below_a_template_is_told_at_the_line_of_the_template(view, write):
    source = write("plugins/shop.py", "def price():\n    return 1 / 0\n")
    module = {}
    exec(compile(source.read_text(), source, "exec"), module)
    with pytest.raises(ViewError, match=r"^web/page.html:3: ZeroDivisionError"):
        view("\n\n{{ price() }}").render({"price": module["price"]})


def test_a_template_and_those_it_names_stay_as_they_were_judged(view, write):
    write("web/base.html", "base {% block inside %}{% endblock %}")
    write("web/late.html", "late")
    page = view("{% extends 'web/base.html' %}{% block inside %}{% include which %}{% endblock %}")
    for text in ("two", "\n{{", "{% if %}"):
        for name in ("web/page.html", "web/base.html"):
            os.utime(write(name, text), (1, 1))
        assert page.render({"which": "web/late.html"}) == "base late"
    for name in ("web/page.html", "web/base.html"):
        write(name, "").unlink()
    assert page.render({"which": "web/late.html"}) == "base late"


def test_a_template_that_only_an_expression_names_is_read_when_it_is_rendered(view, write):
    page = view("{% include which %}")
    for time, text in enumerate(("one", "two")):
        os.utime(write("web/late.html", text), (time, time))
        assert page.render({"which": "web/late.html"}) == text
    os.utime(write("web/late.html", "\n{{"), (5, 5))
    with pytest.raises(ViewError, match=r"^web/late.html:2: TemplateSyntaxError"):
        page.render({"which": "web/late.html"})


async def test_a_template_sees_params_request_path_now_state_and_settings(serve, services, rule, write):
    source = (
        "{{ params.name }}|{{ request.method }}|{{ request.query.q }}|{{ request.query.get('r', '-') }}|"
        "{{ request.headers['x-a'] }}|{{ request.peer[0] }}|{{ path }}|{{ now.tzinfo is none }}|"
        "{{ state.count }}|{{ settings.clock.format }}"
    )
    made = services(settings={"clock": {"format": "%H"}})
    made.shared.state["count"] = 7
    site = await serve(
        rule("/hello/<name>", view=write("web/hello.html", source)),
        shared=made.shared,
        settings=made.settings,
    )
    answer = await site.client.get("/hello/J%C3%BCrgen", params={"q": "<1>"}, headers={"x-a": "b"})
    assert answer.text == "Jürgen|GET|&lt;1&gt;|-|b|127.0.0.1|/hello/Jürgen|False|7|%H"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_view_is_of_the_type_that_its_name_tells(serve, rule, write):
    site = await serve(rule("/robots.txt", view=write("web/robots.txt", "a & {{ path }}\n")))
    answer = await site.client.get("/robots.txt")
    assert (answer.text, answer.headers["content-type"]) == ("a & /robots.txt\n", "text/plain; charset=utf-8")


async def test_includes_and_extends_work_from_the_app_folder(serve, rule, write):
    write("web/base.html", "<title>{% block title %}{% endblock %}</title>{% include 'parts/foot.html' %}")
    write("parts/foot.html", "<footer>{{ path }}</footer>")
    page = write("web/a.html", "{% extends 'web/base.html' %}{% block title %}A{% endblock %}")
    site = await serve(rule("/a", view=page))
    assert (await site.client.get("/a")).text == "<title>A</title><footer>/a</footer>"


async def test_a_failing_view_is_500_and_a_line_in_the_log(serve, rule, write, caplog):
    caplog.set_level(logging.INFO, "signalpost")
    site = await serve(rule("/a", view=write("web/secret-name.html", "\n{{ missing }}")))
    answer = await site.client.get("/a", headers={"accept": "text/html"})
    assert answer.status_code == 500
    assert "missing" not in answer.text
    assert "secret-name" not in answer.text
    assert caplog.messages == ["GET /a: web/secret-name.html:2: UndefinedError: 'missing' is undefined"]
