"""Steps that give names, wait, keep lists, and act on other clients; numbers that templates give."""

import hmac
import time

import pytest
from websockets import ConnectionClosed

from signalpost.errors import ConfigError
from signalpost.testing import load_app

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


def problems(text, folder):
    with pytest.raises(ConfigError) as caught:
        load_app(LIVE + text, folder)
    return [(problem.line, problem.column, problem.keys, problem.text) for problem in caught.value.problems]


# let


async def test_a_name_that_a_step_gives_is_known_behind_it_and_in_the_lists_inside(live):
    signals = """
signals:
  - path: /
    do:
      - let: {who: "{{ message | upper }}", n: 2}
      - let: {n: "{{ n + 1 }}"}
      - for: {each: item, in: ["a", "b"], index: place}
        do:
          - let: {line: "{{ who }}{{ n }} {{ place }}{{ item }}"}
          - reply: {value: "{{ line }}"}
      - reply: {value: {n: "{{ n }}"}}
"""
    async with live(signals) as app, app.connect("/") as client:
        for name in ("ann", "bob"):
            await client.send(name)
            assert [await client.receive() for _ in range(3)] == [
                f"{name.upper()}3 0a",
                f"{name.upper()}3 1b",
                '{"n":3}',
            ]


async def test_a_name_that_stands_before_already_has_its_new_value_in_the_lists_around_it_too(live):
    signals = """
signals:
  - path: /
    do:
      - let: {who: someone, sum: 0}
      - if: "{{ message }}"
        then: [{let: {who: "{{ message }}"}}]
      - for: {each: n, in: [1, 2, 3]}
        do: [{let: {sum: "{{ sum + n }}"}}]
      - reply: {value: "{{ who }} {{ sum }}"}
"""
    async with live(signals) as app, app.connect("/") as client:
        for message, answer in (("ann", "ann 6"), (0, "someone 6")):
            await client.send(message)
            assert await client.receive() == answer


def test_a_name_is_not_known_before_its_step_nor_behind_the_list_that_it_stands_in(tmp_path):
    text = """
signals:
  - path: /
    do:
      - reply: {value: "{{ who }}"}
      - if: "{{ message }}"
        then: [{let: {who: 1}}, {reply: {value: "{{ whu }}"}}]
      - reply: {value: "{{ who }}"}
"""
    found = problems(text, tmp_path)
    assert [line for line, *_ in found] == [6, 8, 9]
    assert 'nothing here is named "whu"; did you mean "who"?' in found[1][3]


@pytest.mark.parametrize(
    ("step", "part", "says"),
    [
        ("let: {message: 1}", "message", 'the name "message" means something else here already: choose another'),
        ('let: {"none": 1}', '"none"', 'the name "none" means something else here already: choose another'),
        ('let: {uuid: "{{ uuid() }}"}', "uuid", 'the name "uuid" means something else here already: choose another'),
        ("let: {self: 1}", "self", 'the name "self" means something else here already: choose another'),
        ("let: {in: 1}", "in", 'the name "in" means something else here already: choose another'),
        (
            "for: {each: range, in: [1]}, do: [{log: x}]",
            "range",
            'the name "range" means something else here already',
        ),
        ("let: {a-b: 1}", "a-b", '"a-b" is no name for templates'),
        ("let: {}", "{}}", "must not be empty: give at least one key"),
        ("let: 5", "5", "must be a mapping, not the number 5"),
        ("for: {each: x, in: [1], index: x}, do: [{log: x}]", "x}, do", "the item has this name already"),
        (
            "for: {each: x, in: [1], index: now}, do: [{log: x}]",
            "now",
            'the name "now" means something else here already',
        ),
        ("wait: soon", "soon", '"soon" is not a duration'),
        ("wait: 61s", "61s", "a step waits 1m at most"),
        ('wait: "{{ 1 }}s"', '"{{ 1', "must be a time, or one expression that gives one"),
        ("append: {to: a..b, value: 1}", "a..b", '"a..b" has an empty part'),
        ("append: {to: _a, value: 1}", "_a", 'keys of state that start with "_" belong to plugins'),
        ("append: {to: a}", "{to", 'the key "value" is missing'),
        ("close: {code: four}", "four", "must be a whole number, or one expression that gives one"),
        ("join: {group: a}", "{group", 'the key "client" is missing'),
        ("join: {groop: a, client: b}", "groop", 'no key "groop" here; did you mean "group"?'),
        ("wiat: 5s", "wiat", 'no action named "wiat"; did you mean "wait"?'),
    ],
)
def test_a_mistake_in_a_step_that_gives_names_is_told_at_its_place(step, part, says, tmp_path):
    row = f"   do: [{{{step}}}]"
    line, column, keys, text = problems(f"signals:\n - path: /\n{row}", tmp_path)[0]
    assert says in text
    assert line == 4
    assert keys.startswith("signals[0].do[0]")
    assert column == row.index(part) + 1


# wait


@pytest.mark.parametrize("time", [True, False, None, -1, "-1s", "soon", [1], ""])
async def test_a_wait_takes_nothing_but_a_time(time, live, caplog):
    signals = 'signals: [{path: /, do: [{wait: "{{ message }}"}, {reply: {value: done}}]}]'
    async with live(signals) as app, app.connect("/") as client:
        await client.send(time)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "wait: must be a time such as 500ms, or a number of seconds, not " in caplog.text


async def test_a_wait_lets_others_have_their_turn_and_goes_on(live):
    signals = """
signals:
  - path: /slow
    do:
      - set: {at: 1}
      - reply: {value: begun}
      - wait: 0s
      - wait: "{{ data.time }}"
      - reply: {value: "{{ state.at }}"}
  - {path: /quick, do: [{set: {at: 2}}, {reply: {value: done}}]}
"""
    async with live(signals) as app, app.connect("/slow") as slow, app.connect("/quick") as quick:
        await slow.send("x", time="300ms")
        assert await slow.receive() == "begun"
        await quick.send("x")
        assert await quick.receive() == "done"
        assert await slow.receive() == "2"


@pytest.mark.parametrize("time", ["soon", -1, None, [1], "1e9", 61])
async def test_a_wait_for_what_is_no_time_or_too_long_fails(live, failures, time):
    signals = 'signals: [{path: /, do: [{wait: "{{ data.time }}"}, {reply: {value: waited}}]}]'
    async with live(signals) as app, app.connect("/") as client:
        await client.send("x", time=time)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    (told,) = failures()
    assert "routes.yaml:2:" in told
    assert ": wait: " in told


async def test_the_waits_of_one_run_are_counted_together(live, failures):
    signals = """
signals:
  - path: /
    do:
      - for: {each: n, in: "{{ range(3000) }}"}
        do: [{wait: 0.0001}, {if: "{{ n == 5 }}", then: [{wait: 60s}]}]
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send("x")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "the steps of one run wait 1m at most, together" in failures()[0]


async def test_when_the_client_goes_a_wait_of_its_list_ends_and_the_rest_is_not_done(live):
    signals = """
signals:
  - path: /
    do: [{set: {begun: true}}, {reply: {value: begun}}, {wait: 50s}, {set: {finished: true}}]
    disconnected: [{wait: 1ms}, {broadcast: {value: "{{ state.finished | default('not finished') }}"}}]
  - {path: /watch}
"""
    async with live(signals) as app, app.connect("/watch") as watch:
        async with app.connect("/") as client:
            await client.send("x")
            assert await client.receive() == "begun"
        assert await watch.receive() == "not finished"
        assert app.server.node.shared.waits == {}


async def test_a_grace_goes_before_what_is_done_when_a_client_is_gone(live):
    presence = """
signals:
  - path: /<name>
    connected:
      - set: {"tabs.{{ params.name }}": "{{ state.tabs[params.name] | default(0) + 1 }}"}
    disconnected:
      - wait: 100ms
      - set: {"tabs.{{ params.name }}": "{{ state.tabs[params.name] - 1 }}"}
      - if: "{{ state.tabs[params.name] == 0 }}"
        then: [{broadcast: {value: "{{ params.name }} left", to: everyone}}]
"""
    async with live(presence) as app, app.connect("/eve") as eve:
        async with app.connect("/bob"):
            pass
        async with app.connect("/ann"):
            pass
        async with app.connect("/bob") as bob:
            assert await eve.receive() == "ann left"
            await bob.send("still here", clientId=None)
            assert await eve.receive() == "still here"
        assert await eve.receive() == "bob left"


# append


async def test_a_list_of_the_state_keeps_its_last_items(live):
    signals = """
signals:
  - path: /<room:int>
    connected: [{reply: {value: "{{ (state.history | default({}))[params.room] | default([]) }}"}}]
    do:
      - append: {to: "history.{{ params.room }}", value: {text: "{{ message }}"}, keep: 2}
      - reply: {value: "{{ state.history[params.room] | map(attribute='text') | join(' ') }}"}
"""
    async with live(signals) as app:
        async with app.connect("/1") as client:
            assert await client.receive_json() == []
            for message, kept in (("a", "a"), ("b", "a b"), ("c", "b c")):
                await client.send(message)
                assert await client.receive() == kept
        async with app.connect("/1") as client:
            assert await client.receive_json() == [{"text": "b"}, {"text": "c"}]


async def test_an_item_goes_to_no_other_thing_than_a_list(live, failures):
    signals = "signals: [{path: /, do: [{set: {a: text}}, {append: {to: a, value: 1}}]}]"
    async with live(signals) as app, app.connect("/") as client:
        await client.send("x")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert 'append: to: a list must stand there, not the text "text"' in failures()[0]


# Other clients


async def test_a_step_adds_another_client_to_a_group_and_takes_it_out(site, ask):
    text = """
routes:
  - {path: /in, do: [{join: {group: ["vip", "all"], client: "{{ data.id }}"}}]}
  - {path: /out, do: [{leave: {group: vip, client: "{{ data.id }}"}}]}
  - {path: /say, broadcast: {value: "{{ data.text }}", group: vip}}
signals:
  - {path: /, connected: [{reply: {value: "{{ client.id }}"}}], do: [{reply: {value: "{{ client.groups }}"}}]}
"""
    async with site(text) as app, app.connect("/") as client:
        identity = await client.receive()
        for missing in (identity, "nobody"):
            assert (await ask(app, "/in", json={"id": missing})).status_code == 204
        await ask(app, "/say", json={"text": "hello"})
        assert await client.receive() == "hello"
        await ask(app, "/out", json={"id": identity})
        assert (await ask(app, "/say", json={"text": "hello"})).json()["matched"] == 0
        await client.send("?")
        assert await client.receive_json() == ["all"]


async def test_what_a_client_sends_names_no_other_client_by_itself(live, failures):
    signals = 'signals: [{path: /, connected: [{reply: {value: "{{ client.id }}"}}], do: [{join: "{{ message }}"}]}]'
    async with live(signals) as app, app.connect("/") as one, app.connect("/") as other:
        identity = await one.receive()
        await other.receive()
        await other.send({"group": "x", "client": identity})
        assert (await other.receive_json())["error"]["code"] == "handler-failed"
    assert "a group must be text, not a mapping" in failures()[0]


# Numbers that templates give


async def test_a_status_and_a_code_may_come_from_templates(site, ask):
    text = """
routes:
  - {path: /go, do: [{respond: {status: "{{ data.status }}", text: here}}]}
signals:
  - {path: /, do: [{close: {code: "{{ data.code }}", reason: "{{ message }}"}}]}
"""
    async with site(text) as app, app.connect("/") as client:
        for status in (201, 404, "503"):
            answer = await ask(app, "/go", json={"status": status})
            assert (answer.status_code, answer.text) == (int(status), "here")
        for status in (99, 204, 600, "x", 1.5, True, None):
            assert (await ask(app, "/go", json={"status": status})).status_code == 500
        await client.send("bye", code=4321)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "bye")


async def test_a_code_that_must_not_be_sent_fails(live, failures):
    signals = 'signals: [{path: /, do: [{close: {code: "{{ data.code }}"}}]}]'
    async with live(signals) as app, app.connect("/") as client:
        for code in (1005, 999, "x", 10**12):
            await client.send("x", code=code)
            assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert len(failures()) == 4


# Keys of one's own


async def test_keys_that_begin_with_x_are_for_anchors(live):
    text = """
x-hello: &hello [{reply: {value: hello}}]
signals: [{path: /, do: *hello}]
"""
    async with live(text) as app, app.connect("/") as client:
        await client.send("?")
        assert await client.receive() == "hello"


async def test_the_moment_of_a_run_is_known_to_the_millisecond(live):
    signals = 'signals: [{path: /, do: [{reply: {value: ["{{ timestamp }}", "{{ now | timestamp }}"]}}]}]'
    async with live(signals) as app, app.connect("/") as client:
        before = time.time()
        await client.send("?")
        fine, coarse = await client.receive_json()
        assert before - 0.001 <= fine <= time.time()
        assert coarse == int(fine)


async def test_a_secret_comes_into_templates_by_way_of_a_constant(live, tmp_path):
    (tmp_path / "secrets.yaml").write_text("key: a-long-key-of-letters\n")
    text = """
constants: {key: !secret key}
signals: [{path: /, do: [{reply: {value: "{{ (message | hash(constants.key))[:8] }}"}}]}]
"""
    async with live(text, folder=tmp_path) as app, app.connect("/") as client:
        await client.send("ann")
        assert await client.receive() == hmac.digest(b"a-long-key-of-letters", b"ann", "sha256").hex()[:8]
