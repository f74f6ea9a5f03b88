"""Lists of actions that answer requests, on a real server."""

import pytest


async def test_a_route_answers_as_it_says_after_all_steps_are_done(ask, site):
    routes = """
routes:
  - path: /rooms/<room>
    do:
      - respond: {status: 202, json: {room: "{{ params.room }}", said: "{{ data.text }}", by: "{{ request.method }}"}}
      - broadcast: {value: "{{ data.text }}", path: /wall}
"""
    async with site(routes) as app, app.connect("/wall") as wall:
        answer = await ask(app, "/rooms/blue", json={"text": "hi"})
        assert (answer.status_code, answer.json()) == (202, {"room": "blue", "said": "hi", "by": "POST"})
        assert answer.headers["content-type"] == "application/json"
        assert await wall.receive() == "hi"


@pytest.mark.parametrize(
    ("respond", "answered"),
    [
        ('{text: "Hi {{ request.query.name }}"}', (200, "text/plain; charset=utf-8", "Hi <b>")),
        ('{html: "<p>{{ request.query.name }}</p>"}', (200, "text/html; charset=utf-8", "<p>&lt;b&gt;</p>")),
        ('{html: "{{ request.query.name }}"}', (200, "text/html; charset=utf-8", "&lt;b&gt;")),
        ('{json: "{{ request.query.name }}"}', (200, "application/json", '"<b>"')),
        ("{json: null}", (200, "application/json", "null")),
        ("{status: 404}", (404, "text/plain; charset=utf-8", "")),
        ("{}", (204, None, "")),
        ('{text: "a,b", headers: {Content-Type: text/csv}}', (200, "text/csv", "a,b")),
    ],
)
async def test_a_response_is_json_text_or_html_which_is_escaped(ask, site, respond, answered):
    routes = f"routes: [{{path: /, method: GET, do: [{{respond: {respond}}}]}}]"
    async with site(routes) as app:
        answer = await ask(app, "/", "GET", params={"name": "<b>"})
        assert (answer.status_code, answer.headers.get("content-type"), answer.text) == answered


async def test_a_redirect_goes_to_an_address_that_is_encoded(ask, site):
    routes = """
routes:
  - {path: /go, method: GET, do: [{respond: {redirect: "/é?x={{ request.query.x }}", headers: {X-Seen: "{{ path }}"}}}]}
"""
    async with site(routes) as app:
        answer = await ask(app, "/go", "GET", params={"x": "ü&y"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/%C3%A9?x=%C3%BC&y")
        assert answer.headers["x-seen"] == "/go"


@pytest.mark.parametrize("where", ["redirect", "headers"])
@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b"])
async def test_no_template_makes_a_second_header(ask, failures, where, name, site):
    value = '"{{ data.name }}"'
    respond = f"{{redirect: {value}}}" if where == "redirect" else f"{{headers: {{X-Name: {value}}}}}"
    async with site(f"routes: [{{path: /, do: [{{respond: {respond}}}]}}]") as app:
        answer = await ask(app, "/", json={"name": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler-failed")
        assert "set-cookie" not in answer.headers
        assert ": respond: " in failures()[0]


async def test_a_route_without_a_respond_answers_204(ask, site):
    async with site("routes: [{path: /, do: [{broadcast: {value: x}}]}]") as app:
        assert (await ask(app, "/")).status_code == 204


async def test_a_body_may_be_a_form(ask, site):
    routes = """
routes:
  - path: /
    schema: {type: object, required: [name], properties: {name: {type: string, minLength: 2}}}
    do: [{respond: {json: "{{ data }}"}}]
"""
    async with site(routes) as app:
        assert (await ask(app, "/", data={"name": "Ada", "x": ""})).json() == {"name": "Ada", "x": ""}
        assert (await ask(app, "/", data={"name": "A"})).status_code == 422
        form = {"content-type": "application/x-www-form-urlencoded"}  # as curl says of everything
        assert (await ask(app, "/", content=b' {"name": "Ada"}', headers=form)).json() == {"name": "Ada"}
        assert (await ask(app, "/", content=b"name=%ff%fe", headers=form)).json() == {"name": "\ufffd\ufffd"}
        assert (await ask(app, "/", content=b"name=\xff", headers=form)).status_code == 400
        assert (await ask(app, "/", content=b"a=1&" * 2_000 + b"name=Ada", headers=form)).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"\xff", b"a=1"])
async def test_a_body_that_cannot_be_read_is_the_clients_mistake(ask, failures, body, site):
    async with site('routes: [{path: /, do: [{respond: {json: "{{ data }}"}}]}]') as app:
        answer = await ask(app, "/", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad-message")
        assert failures() == []


async def test_a_step_that_fails_on_a_route_is_answered_with_500_and_nothing_of_the_server(ask, failures, site):
    async with site('routes: [{path: /, do: [{respond: {text: "{{ data.name }}"}}]}]') as app:
        answer = await ask(app, "/", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler-failed")
        assert "name" not in answer.text
        (line,) = failures()
        assert ": respond: " in line
        assert "POST /" in line


async def test_broadcast_on_a_route_is_short_for_a_list_that_counts_whom_it_matched(ask, site):
    async with (
        site('routes: [{path: /bell, broadcast: {value: "{{ data.who }} rang"}}]') as app,
        app.connect("/") as client,
    ):
        answer = await ask(app, "/bell", json={"who": "Ada"})
        assert (answer.status_code, answer.json()) == (202, {"sent": True, "matched": 1})
        assert await client.receive() == "Ada rang"
