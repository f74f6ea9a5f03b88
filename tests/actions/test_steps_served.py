"""Lists of actions in a routes.yaml, on a real server with real clients."""

import logging

import httpx
import pytest

from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
BOTH = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""


@pytest.fixture
def live():
    """Serve signals, given as YAML."""
    return lambda signals, **options: serve(LIVE + signals, **options)


@pytest.fixture
def ask():
    """Send a request to an app."""

    async def send(app, path, method="POST", **options):
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            return await client.request(method, path, **options)

    return send


@pytest.fixture
def failures(caplog):
    """Give what the log says of failed steps."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_step_broadcasts_a_fixed_value_to_everyone_in_place_of_the_message(live):
    async with (
        live('signals: [{path: /, do: [{broadcast: {value: "fixed"}}]}]') as app,
        app.connect("/") as ada,
        app.connect("/other") as bob,
    ):
        await ada.send("hello")
        assert (await ada.receive(), await bob.receive()) == ("fixed", "fixed")


async def test_a_broadcast_goes_where_it_says_and_else_where_the_client_asks(live):
    signals = """
signals:
  - {path: /aside, do: [{broadcast: {value: "{{ message }}", path: "/rooms/{{ data.room }}"}}]}
  - {path: /asked, do: [{broadcast: {value: "{{ message }}"}}]}
  - {path: /loud, do: [{broadcast: {value: "{{ message }}", to: everyone}}]}
  - {path: /rooms/<room>}
"""
    async with (
        live(signals) as app,
        app.connect("/aside") as aside,
        app.connect("/asked") as asked,
        app.connect("/loud") as loud,
        app.connect("/rooms/blue") as blue,
    ):
        await aside.send("one", room="blue")
        assert await blue.receive() == "one"
        await asked.send("two", path="/ROOMS/blue")
        assert await blue.receive() == "two"
        await loud.send("three", direct=True)
        assert [await each.receive() for each in (aside, asked, loud, blue)] == ["three"] * 4


async def test_one_expression_keeps_its_type_and_text_around_it_makes_text(live):
    do = '[{reply: {value: "{{ message }}"}}, {reply: {value: "<{{ message }}>"}}, {reply: {value: ["{{ message }}"]}}]'
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send({"a": [1, None]})
        assert await client.receive() == '{"a":[1,null]}'
        assert await client.receive() == '<{"a":[1,null]}>'
        assert await client.receive() == '[{"a":[1,null]}]'
        await client.send("[1,2]")
        assert await client.receive() == "[1,2]"


async def test_a_whole_message_is_seen_with_keys_of_the_clients_own_and_null_for_those_it_lacks(live):
    do = '[{reply: {value: "{{ data }}"}}]'
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send_raw('{"Message": "hi", "mood": "good", "ref": 7}')
        assert await client.receive_json() == {
            "message": "hi", "mood": "good", "ref": 7, "path": None, "clientId": None, "group": None, "direct": False,
        }  # fmt: skip
        await client.send("short")
        assert (await client.receive_json())["message"] == "short"


async def test_what_a_client_is_and_where_it_came_from_is_known(live):
    do = '[{reply: {value: ["{{ client }}", "{{ path }}", "{{ params }}", "{{ request.query }}", "{{ group }}"]}}]'
    async with (
        live(f"signals: [{{path: /rooms/<room>, connected: [{{join: [b, a]}}], do: {do}}}]") as app,
        app.connect("/ROOMS/blue?x=1") as client,
    ):
        await client.send("hi", group="b")
        assert await client.receive_json() == [
            {"id": client.id, "path": "/rooms/blue", "groups": ["a", "b"]},
            "/rooms/blue",
            {"room": "blue"},
            {"x": "1"},
            "b",
        ]


async def test_a_condition_chooses_and_stop_ends_everything_around_it(live):
    signals = """
signals:
  - path: /
    do:
      - for: {each: word, in: [a, b, c]}
        do:
          - if: "{{ word == message }}"
            then: [{reply: {value: "stopped at {{ word }}"}}, {stop: true}]
            else: [{reply: {value: "{{ word }}"}}]
      - reply: {value: end}
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send("b")
        assert [await client.receive() for _ in range(2)] == ["a", "stopped at b"]
        await client.send("z")
        assert [await client.receive() for _ in range(4)] == ["a", "b", "c", "end"]


async def test_a_loop_goes_through_lists_and_the_keys_of_mappings_of_clients(live, failures):
    do = '[{for: {each: one, in: "{{ message }}"}, do: [{reply: {value: "<{{ one }}>"}}]}, {reply: {value: end}}]'
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send([1, "x"])
        assert [await client.receive() for _ in range(3)] == ["<1>", "<x>", "end"]
        await client.send({"k": 1})
        assert [await client.receive() for _ in range(2)] == ["<k>", "end"]
        await client.send("text")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ': for: must be a list, not the text "text" (on /, for client ' in failures()[0]


async def test_loops_inside_loops_are_bounded_together(live, failures):
    do = """[{for: {each: a, in: "{{ message }}"}, do: [{for: {each: b, in: "{{ message }}"}, do: [{join: x}]}]}]"""
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send([0] * 400)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert "the loops of one run are done 100,000 times at most, together" in failures()[0]


async def test_a_failed_step_is_logged_with_its_place_told_to_the_sender_alone_and_ends_the_list(live, failures):
    signals = """
signals:
  - path: /
    do:
      - reply: {value: before}
      - reply: {value: "{{ 1 // message }}"}
      - broadcast: {value: after}
"""
    async with live(signals) as app, app.connect("/") as ada, app.connect("/") as bob:
        await ada.send(0, ref="r1")
        assert await ada.receive() == "before"
        error = (await ada.receive_json())["error"]
        assert (error["code"], error["ref"]) == ("handler-failed", "r1")
        (line,) = failures()
        assert line.partition("routes.yaml:")[2].startswith("7:24: reply: ")
        assert line.endswith(f"(on /, for client {ada.id})")
        await ada.send(1)
        assert [await ada.receive() for _ in range(3)] == ["before", "1", "after"]
        assert await bob.receive() == "after"


@pytest.mark.parametrize("target", ["path", "group", "client"])
@pytest.mark.parametrize("given", [None, "", [], {"a": 1}, True])
async def test_a_target_that_is_no_text_is_a_failure_and_never_everyone(live, failures, target, given):
    do = f'[{{broadcast: {{value: leaked, {target}: "{{{{ message.to }}}}"}}}}]'
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send({"to": given})
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert f": broadcast: {target} must be text, not " in failures()[0]


async def test_a_client_is_told_goodbye_with_the_code_and_reason_of_the_step(live):
    signals = 'signals: [{path: /, do: [{close: {code: 4100, reason: "No {{ message }}"}}, {reply: {value: late}}]}]'
    async with live(signals) as app, app.connect("/") as client:
        await client.send("shouting")
        await client.socket.wait_closed()
        assert (client.socket.close_code, client.socket.close_reason) == (4100, "No shouting")


async def test_groups_are_joined_and_left(live):
    signals = """
signals:
  - path: /
    do:
      - if: "{{ message.join is defined }}"
        then: [{join: "{{ message.join }}"}]
      - if: "{{ message.leave is defined }}"
        then: [{leave: "{{ message.leave }}"}]
      - reply: {value: "{{ client.groups }}"}
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send({"join": ["b", "a", 7]})
        assert await client.receive_json() == ["7", "a", "b"]
        await client.send({"leave": "a"})
        assert await client.receive_json() == ["7", "b"]


async def test_no_client_joins_more_groups_than_anybody_means(live, failures):
    async with live('signals: [{path: /, do: [{join: "{{ message }}"}]}]') as app, app.connect("/") as client:
        await client.send([f"group {n}" for n in range(60_000)])
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": join: a client is in 1,000 groups at most (on /" in failures()[0]


async def test_loops_do_not_keep_the_server_from_everybody_else(live, failures, monkeypatch):
    monkeypatch.setattr("signalpost.actions.run.LONGEST_WORK", 0.05)
    do = """[{for: {each: a, in: "{{ message }}"}, do: [{set: {x: "{{ range(20000) | list | length }}"}}]}]"""
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send([0] * 100_000)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": for: the loops of one run work 0.05 s at most, as long as no step waits (on /" in failures()[0]


async def test_a_line_is_logged_on_one_line(live, caplog):
    logs = '{log: "said {{ message }}"}, {log: {message: hm, level: error}}'
    signals = f"signals: [{{path: /, do: [{logs}, {{reply: {{value: 1}}}}]}}]"
    with caplog.at_level(logging.INFO, "signalpost.log"):
        async with live(signals) as app, app.connect("/") as client:
            await client.send("a\nWARNING b")
            await client.receive()
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "signalpost.log"] == [
        ("INFO", "said a\ufffdWARNING b"),
        ("ERROR", "hm"),
    ]


async def test_state_is_set_at_the_end_of_a_path_and_null_takes_out(live):
    signals = """
signals:
  - path: /
    do:
      - set: {"names.{{ data.key }}": "{{ message }}", count: "{{ state.count | default(0) + 1 }}"}
      - reply: {value: "{{ state }}"}
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send("Ada", key="a.b")
        assert await client.receive_json() == {"names": {"a.b": "Ada"}, "count": 1}
        await client.send(None, key="a.b", path="/")
        await client.send("Bob", key=5)
        assert await client.receive_json() == {"names": {"a.b": "Ada", "5": "Bob"}, "count": 2}


@pytest.mark.parametrize("key", [None, "", [], "_private"])
async def test_state_takes_no_key_that_is_no_text_or_belongs_to_plugins(live, failures, key):
    async with (
        live('signals: [{path: /, do: [{set: {"{{ data.key }}": 1}}]}]') as app,
        app.connect("/") as client,
    ):
        await client.send("x", key=key)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert failures()[0].partition(": set: ")[2].startswith(("a key of state must be", "keys of state that start"))


async def test_a_thousand_messages_at_once_count_to_a_thousand(live):
    signals = """
signals:
  - path: /
    do: [{set: {count: "{{ state.count | default(0) + 1 }}"}}, {reply: {value: "{{ state.count }}"}}]
"""
    async with live(signals) as app, app.connect("/") as ada, app.connect("/") as bob:
        for client in (ada, bob):
            for _ in range(500):
                await client.send("x")
        seen = [int(await client.receive()) for client in (ada, bob) for _ in range(500)]
        assert sorted(seen) == list(range(1, 1001))


async def test_what_is_set_stays_plain_data(live):
    signals = """
signals:
  - path: /
    do:
      - set: {at: "{{ now }}", words: "{{ message | map('upper') }}"}
      - reply: {value: ["{{ state.at | length }}", "{{ state.words }}"]}
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send(["a", "b"])
        assert await client.receive_json() == [25, ["A", "B"]]


# When clients come and go


async def test_lists_are_done_when_a_client_has_come_and_when_it_is_gone(live):
    signals = """
signals:
  - path: /here/<name>
    connected:
      - reply: {value: "welcome {{ params.name }}"}
      - broadcast: {value: "{{ params.name }} of {{ clients | length }}"}
    disconnected:
      - broadcast: {value: "{{ params.name }} left with {{ code }}, {{ clients | length }} stay"}
"""
    async with live(signals) as app, app.connect("/here/ada") as ada:
        assert [await ada.receive() for _ in range(2)] == ["welcome ada", "ada of 1"]
        async with app.connect("/here/bob") as bob:
            assert [await bob.receive() for _ in range(2)] == ["welcome bob", "bob of 2"]
            assert await ada.receive() == "bob of 2"
        assert await ada.receive() == "bob left with 1000, 1 stay"


async def test_a_client_may_be_turned_away_at_once_and_is_told_why(live):
    turned_away = '{if: "{{ request.query.key is undefined }}", then: [{close: {reason: "no key"}}]}'
    signals = f"signals: [{{path: /, connected: [{turned_away}]}}]"
    async with live(signals) as app:
        async with app.connect("/") as client:
            await client.socket.wait_closed()
            assert (client.socket.close_code, client.socket.close_reason) == (4009, "no key")
        async with app.connect("/?key=1") as client:
            await client.send("hi")
            assert await client.receive() == "hi"


async def test_a_list_that_fails_when_a_client_comes_or_goes_is_only_logged(live, failures):
    signals = 'signals: [{path: /, connected: [{log: "{{ state.nme }}"}], disconnected: [{log: "{{ state.nme }}"}]}]'
    async with live(signals) as app:
        async with app.connect("/") as client:
            await client.send("hi")
            assert await client.receive() == "hi"
        async with app.connect("/") as client:  # the server goes on
            await client.send("hi")
            assert await client.receive() == "hi"
    assert len(failures()) == 4
    assert all(": log: " in line for line in failures())


# Routes


async def test_a_route_answers_as_it_says_after_all_steps_are_done(ask):
    routes = (
        BOTH
        + """
routes:
  - path: /rooms/<room>
    do:
      - respond: {status: 202, json: {room: "{{ params.room }}", said: "{{ data.text }}", by: "{{ request.method }}"}}
      - broadcast: {value: "{{ data.text }}", path: /wall}
"""
    )
    async with serve(routes) as app, app.connect("/wall") as wall:
        answer = await ask(app, "/rooms/blue", json={"text": "hi"})
        assert (answer.status_code, answer.json()) == (202, {"room": "blue", "said": "hi", "by": "POST"})
        assert answer.headers["content-type"] == "application/json"
        assert await wall.receive() == "hi"


@pytest.mark.parametrize(
    ("respond", "status", "kind", "body"),
    [
        ('{text: "Hi {{ request.query.name }}"}', 200, "text/plain; charset=utf-8", "Hi <b>"),
        ('{html: "<p>{{ request.query.name }}</p>"}', 200, "text/html; charset=utf-8", "<p>&lt;b&gt;</p>"),
        ('{html: "{{ request.query.name }}"}', 200, "text/html; charset=utf-8", "&lt;b&gt;"),
        ('{json: "{{ request.query.name }}"}', 200, "application/json", '"<b>"'),
        ("{json: null}", 200, "application/json", "null"),
        ("{status: 404}", 404, "text/plain; charset=utf-8", ""),
        ("{}", 204, None, ""),
        ('{text: "a,b", headers: {Content-Type: text/csv}}', 200, "text/csv", "a,b"),
    ],
)
async def test_a_response_is_json_text_or_html_which_is_escaped(ask, respond, status, kind, body):
    routes = BOTH + f"routes: [{{path: /, method: GET, do: [{{respond: {respond}}}]}}]"
    async with serve(routes) as app:
        answer = await ask(app, "/", "GET", params={"name": "<b>"})
        assert (answer.status_code, answer.headers.get("content-type"), answer.text) == (status, kind, body)


async def test_a_redirect_goes_to_an_address_that_is_encoded(ask):
    routes = (
        BOTH
        + """
routes:
  - {path: /go, method: GET, do: [{respond: {redirect: "/é?x={{ request.query.x }}", headers: {X-Seen: "{{ path }}"}}}]}
"""
    )
    async with serve(routes) as app:
        answer = await ask(app, "/go", "GET", params={"x": "ü&y"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/%C3%A9?x=%C3%BC&y")
        assert answer.headers["x-seen"] == "/go"


@pytest.mark.parametrize("where", ["redirect", "headers"])
@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b"])
async def test_no_template_makes_a_second_header(ask, failures, where, name):
    value = '"{{ data.name }}"'
    respond = f"{{redirect: {value}}}" if where == "redirect" else f"{{headers: {{X-Name: {value}}}}}"
    async with serve(BOTH + f"routes: [{{path: /, do: [{{respond: {respond}}}]}}]") as app:
        answer = await ask(app, "/", json={"name": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler-failed")
        assert "set-cookie" not in answer.headers
        assert ": respond: " in failures()[0]


async def test_a_route_without_a_respond_answers_204(ask):
    async with serve(BOTH + "routes: [{path: /, do: [{broadcast: {value: x}}]}]") as app:
        assert (await ask(app, "/")).status_code == 204


async def test_a_body_may_be_a_form(ask):
    routes = (
        BOTH
        + """
routes:
  - path: /
    schema: {type: object, required: [name], properties: {name: {type: string, minLength: 2}}}
    do: [{respond: {json: "{{ data }}"}}]
"""
    )
    async with serve(routes) as app:
        assert (await ask(app, "/", data={"name": "Ada", "x": ""})).json() == {"name": "Ada", "x": ""}
        assert (await ask(app, "/", data={"name": "A"})).status_code == 422
        form = {"content-type": "application/x-www-form-urlencoded"}  # as curl says of everything
        assert (await ask(app, "/", content=b' {"name": "Ada"}', headers=form)).json() == {"name": "Ada"}
        assert (await ask(app, "/", content=b"name=%ff%fe", headers=form)).json() == {"name": "\ufffd\ufffd"}
        assert (await ask(app, "/", content=b"name=\xff", headers=form)).status_code == 400
        assert (await ask(app, "/", content=b"a=1&" * 2_000 + b"name=Ada", headers=form)).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"\xff", b"a=1"])
async def test_a_body_that_cannot_be_read_is_the_clients_mistake(ask, failures, body):
    async with serve(BOTH + 'routes: [{path: /, do: [{respond: {json: "{{ data }}"}}]}]') as app:
        answer = await ask(app, "/", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad-message")
        assert failures() == []


async def test_a_step_that_fails_on_a_route_is_answered_with_500_and_nothing_of_the_server(ask, failures):
    async with serve(BOTH + 'routes: [{path: /, do: [{respond: {text: "{{ data.name }}"}}]}]') as app:
        answer = await ask(app, "/", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler-failed")
        assert "name" not in answer.text
        (line,) = failures()
        assert ": respond: " in line
        assert "POST /" in line


async def test_broadcast_on_a_route_is_short_for_a_list_that_counts_whom_it_matched(ask):
    async with (
        serve(BOTH + 'routes: [{path: /bell, broadcast: {value: "{{ data.who }} rang"}}]') as app,
        app.connect("/") as client,
    ):
        answer = await ask(app, "/bell", json={"who": "Ada"})
        assert (answer.status_code, answer.json()) == (202, {"sent": True, "matched": 1})
        assert await client.receive() == "Ada rang"


# Timers and schedules


async def test_a_timer_does_its_list_and_knows_its_run_and_arguments(live):
    timers = """
timers:
  - name: tick
    every: 10ms
    limit: 2
    arguments: {city: London}
    do: [{broadcast: {value: ["{{ run }}", "{{ arguments.city }}", "{{ due.year > 2000 }}"], path: /}}]
"""
    async with live(timers.replace("10ms", "300ms")) as app, app.connect("/") as client:
        assert [await client.receive_json() for _ in range(2)] == [[1, "London", True], [2, "London", True]]


async def test_a_timer_whose_list_fails_is_logged_and_goes_on(live, caplog):
    timers = 'timers: [{name: t, every: 20ms, do: [{broadcast: {value: "{{ run }}"}}, {log: "{{ arguments.x }}"}]}]'
    async with live(timers) as app, app.connect("/") as client:
        first = int(await client.receive())
        assert int(await client.receive()) == first + 1
    assert any('timer "t"' in m and ": log: " in m for m in caplog.messages)


# Handlers

SHOUT = """
from signalpost import signal, route, timer

@signal("shout")
async def shout(event):
    event.broadcast(event.data.message.upper())

@route("double")
async def double(event):
    return {"twice": event.request.json["n"] * 2}

@timer("count")
async def count(event):
    event.broadcast(f"run {event.run}")
"""


async def test_handlers_are_called_with_the_event_of_their_kind_in_the_order_of_the_steps(ask):
    routes = (
        BOTH
        + """
routes: [{path: /double, do: [{call: double}, {broadcast: {value: doubled}}]}]
signals: [{path: /, do: [{reply: {value: before}}, {call: shout}, {reply: {value: after}}]}]
timers: [{name: t, every: 10ms, limit: 1, skip: 20, do: [{call: count}]}]
"""
    )
    async with serve(routes, plugins={"shout": SHOUT}) as app, app.connect("/") as client:
        await client.send("a")
        await client.send("b")
        said = [await client.receive() for _ in range(7)]
        assert [line for line in said if line != "run 1"] == ["before", "A", "after", "before", "B", "after"]
        answer = await ask(app, "/double", json={"n": 21})
        assert (answer.status_code, answer.json()) == (200, {"twice": 42})
        assert await client.receive() == "doubled"


async def test_what_a_called_handler_raises_is_logged_with_its_traceback_and_the_place_of_the_step(live, caplog):
    async with (
        live("signals: [{path: /, do: [{call: shout}, {reply: {value: no}}]}]", plugins={"shout": SHOUT}) as app,
        app.connect("/") as client,
    ):
        await client.send(5)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert ': call: handler "shout" of plugin shout (' in record.getMessage()
        assert record.exc_info[0] is AttributeError


async def test_a_route_may_let_a_called_handler_answer_with_an_error_of_its_own(ask, failures):
    plugin = """
from sanic.exceptions import Forbidden
from signalpost import route

@route("guard")
async def guard(event):
    raise Forbidden("no")
"""
    async with serve(BOTH + "routes: [{path: /, do: [{call: guard}]}]", plugins={"guard": plugin}) as app:
        assert (await ask(app, "/")).status_code == 403
        assert failures() == []


async def test_coming_and_going_take_their_turn_with_messages_whose_handlers_wait(live):
    plugin = """
import asyncio
from signalpost import signal

@signal("slow")
async def slow(event):
    await asyncio.sleep(0)
    event.broadcast("slow", path="/watch")
"""
    signals = """
signals:
  - path: /
    connected: [{broadcast: {value: came, path: /watch}}]
    do: [{call: slow}]
    disconnected: [{broadcast: {value: went, path: /watch}}]
  - {path: /watch, rebroadcast: none}
"""
    async with live(signals, plugins={"slow": plugin}) as app, app.connect("/watch") as watch:
        async with app.connect("/") as client:
            await client.send(1)
            await client.send(2)
        assert [await watch.receive() for _ in range(4)] == ["came", "slow", "slow", "went"]


# The life of the server

REPORT = """
import asyncio
from signalpost import action, hookimpl

@action("linger")
async def linger(event, options):
    await asyncio.sleep(0)

@hookimpl
def shutdown(context):
    print("left behind:", dict(context.state))
"""


@pytest.mark.parametrize("first", ["", "{linger: null}, "])
async def test_lists_about_clients_that_go_with_the_server_are_done_before_plugins_are_shut_down(live, capsys, first):
    """``first`` makes the list one that waits."""
    step = "{set: {'gone.{{ client.id }}': '{{ code }}'}}"
    signals = f"signals: [{{path: /, disconnected: [{first}{step}]}}]"
    async with live(signals, plugins={"report": REPORT}) as app, app.connect("/") as ada, app.connect("/") as bob:
        await app.server.stop()
    assert capsys.readouterr().out.startswith(f"left behind: {{'gone': {{'{ada.id}': 1012, '{bob.id}': 1012}}}}\n")


async def test_a_reload_brings_new_lists_to_clients_that_stay_and_does_not_let_them_come_again(live):
    before = "signals: [{path: /, connected: [{reply: {value: hello}}], do: [{set: {n: 1}}, {reply: {value: old}}]}]"
    after = """
signals:
  - path: /
    connected: [{reply: {value: welcome}}]
    do: [{reply: {value: "new {{ state.n }}"}}]
    disconnected: [{broadcast: {value: went}}]
"""
    async with live(before) as app, app.connect("/") as ada:
        assert await ada.receive() == "hello"
        await ada.send("x")
        assert await ada.receive() == "old"
        await app.reload(LIVE + after)
        await ada.send("x")
        assert await ada.receive() == "new 1"
        async with app.connect("/") as bob:
            assert await bob.receive() == "welcome"
        assert await ada.receive() == "went"
