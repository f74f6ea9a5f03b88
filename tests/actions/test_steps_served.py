"""Lists of actions of signals, on a real server with real clients."""

import logging

import pytest

from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError
from signalpost.delivery.target import Receipt


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


async def test_a_broadcast_to_others_reaches_all_that_its_target_reaches_but_the_sender(live):
    signals = """
signals:
  - {path: /all, do: [{broadcast: {value: "{{ message }}", to: others}}]}
  - path: /rooms/<room>
    do: [{broadcast: {value: "{{ message }}", to: others, path: "{{ path }}"}}, {reply: {value: "{{ matched }}"}}]
"""
    async with (
        live(signals) as app,
        app.connect("/rooms/blue") as ada,
        app.connect("/rooms/blue") as bob,
        app.connect("/all") as cat,
    ):
        await cat.send("to all", direct=True)
        assert [await each.receive() for each in (ada, bob)] == ["to all"] * 2
        await ada.send("to the room")
        assert (await ada.receive(), await bob.receive()) == ("1", "to the room")
        await bob.send("back")
        assert (await ada.receive(), await bob.receive()) == ("back", "1")
        await ada.send({"end": True})
        assert [await each.receive() for each in (ada, bob)] == ["1", '{"end":true}']
        await cat.send("nothing came before this", direct=True)
        assert await ada.receive() == "nothing came before this"


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


async def test_loops_inside_loops_are_bounded_together(live, failures, monkeypatch):
    monkeypatch.setattr("signalpost.actions.execution.LONGEST_WORK", 60)
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


async def test_no_client_joins_a_group_of_any_length(live, failures):
    async with live('signals: [{path: /, do: [{join: "{{ message }}"}]}]') as app, app.connect("/") as client:
        await client.send("g" * 256)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": join: the name of a group has 255 characters at most, not 256 (on /" in failures()[0]
        (joined,) = app.server.node.hub.clients.values()
        assert not joined.groups


async def test_loops_do_not_keep_the_server_from_everybody_else(live, failures):
    do = """[{for: {each: a, in: "{{ message }}"}, do: [{set: {x: "{{ range(20000) | list | length }}"}}]}]"""
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send([0] * 100_000)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": set: the steps of one run work 30 ms at most, as long as none waits (on /" in failures()[0]


@pytest.mark.parametrize(
    "step",
    [
        '{set: {x: "{{ message }}"}}',
        '{set: {x: {y: ["{{ message }}"]}}}',
        '{reply: {value: "{{ [message, 1] }}"}}',
        '{if: "{{ message | sort }}", then: [{stop: true}]}',
        '{log: "{{ message | join }}"}',
    ],
)
async def test_what_a_step_renders_and_keeps_is_by_the_clock_of_the_whole_list(live, failures, monkeypatch, step):
    monkeypatch.setattr("signalpost.actions.execution.LONGEST_WORK", 0)
    do = f"[{step}, {{reply: {{value: done}}}}]"
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send([[n] for n in range(2_000)])
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        name = step[1 : step.index(":")]
        assert f": {name}: " in failures()[0]
        assert "the steps of one run work 0 ms at most, as long as none waits (on /" in failures()[0]
        assert "x" not in app.server.node.shared.state


@pytest.fixture
def stopped(monkeypatch):
    """Let no time pass for the steps of a run, so that only what they make and send is bounded."""
    monkeypatch.setattr("signalpost.actions.execution.LONGEST_WORK", 3600)


async def test_steps_that_are_dear_by_themselves_are_bounded_together_without_a_loop(live, failures):
    dear = '{set: {x: "{{ range(60000) | list | length }}"}}'
    do = f"[{', '.join([dear] * 200)}, {{reply: {{value: done}}}}]"
    async with live(f"signals: [{{path: /, do: {do}}}]") as app, app.connect("/") as client:
        await client.send("x")
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": set: the steps of one run work 30 ms at most" in failures()[0]


async def test_a_message_that_names_one_client_thousands_of_times_sends_it_a_bounded_part(live, failures, stopped):
    do = """[{for: {each: to, in: "{{ data.to }}"}, do: [{broadcast: {value: "{{ message }}", client: "{{ to }}"}}]}]"""
    rule = f"signals: [{{path: /, do: {do}, slow: {{policy: drop_oldest, buffer: 1MiB}}}}]\nlimits: {{message: 2MiB}}"
    async with live(rule) as app, app.connect("/") as client, app.connect("/") as other:
        await client.send("x" * 400_000, to=[other.id] * 14_000)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert ": broadcast: the steps of one run send 64MiB at most, together" in failures()[0]
        assert app.server.node.hub.work < 80 << 20


def test_the_loops_of_one_message_send_a_bounded_part_to_a_crowd():
    run = Run(None)
    run.count(Receipt(600, 600, 0, size=100_000))
    run.turn()
    run.count(Receipt(100, 100, 0, size=100_000))
    with pytest.raises(OptionError, match="send 64MiB at most, counted for each client that gets them"):
        run.turn()


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
        await client.send("Bob", key=5)
        assert await client.receive_json() == {"names": {"a.b": "Ada", "5": "Bob"}, "count": 2}
        await client.send(None, key="a.b", path="/")
        assert await client.receive_json() == {"names": {"5": "Bob"}, "count": 3}


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
