"""The key `sends`: what clients read is held against it in tests, and nothing of it is left where nobody asks."""

import textwrap

import httpx
import pytest

from signalpost.delivery.target import EVERYONE
from signalpost.errors import ConfigError
from signalpost.node import Seams
from signalpost.testing import UnexpectedValueError, load_app, serve

HEAD = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
V1 = ["signalpost.v1"]
TEXTS = "sends: {type: string}"
HANDLER = """
from signalpost import signal

@signal("answer")
async def answer(event):
    return 5
"""


class Heard:
    """What a server reports of its values."""

    def __init__(self):
        self.values = []

    @property
    def seams(self):
        return Seams(unexpected=self.values.append)

    @property
    def told(self):
        return [(each.path, each.value) for each in self.values]


@pytest.fixture
def heard():
    return Heard()


async def talk(signals, *messages, error=None):
    """Say something on /news/x, and read it there; at the end raise an error, if there is one."""
    async with serve(HEAD + signals) as app, app.connect("/news/x") as ada:
        for message in messages:
            await ada.send(message)
            assert await ada.receive_json() == message  # what differs is delivered all the same
        if error is not None:
            raise error


NEWS = "signals:\n  - path: /news/<of>\n    rebroadcast: path\n    sends: {properties: {n: {type: integer}}}\n"


async def test_a_test_fails_by_path_value_and_place_if_clients_read_what_sends_does_not_allow():
    with pytest.raises(UnexpectedValueError) as failed:
        await talk(NEWS, {"n": 1}, {"n": "two"})
    (line,) = str(failed.value).splitlines()
    place = line.partition("(")[2].partition(")")[0]
    assert place.endswith("routes.yaml:7:5")
    assert line.replace(place, "PLACE") == (
        '/news/x was sent {"n":"two"}, which is not what sends says (PLACE): at /n: expected an integer, got a string'
    )


async def test_a_test_passes_if_clients_read_what_sends_says():
    await talk(NEWS, {"n": 1}, {"n": 2, "more": None})


async def test_a_test_that_fails_by_itself_has_a_note_of_unexpected_values():
    with pytest.raises(ZeroDivisionError) as failed:
        await talk(NEWS, {"n": "two"}, error=ZeroDivisionError())
    (note,) = failed.value.__notes__
    assert note.startswith('/news/x was sent {"n":"two"}, which is not what sends says')


async def test_a_value_that_is_wrong_often_is_told_once_and_of_many_the_first_twenty():
    with pytest.raises(UnexpectedValueError) as failed:
        await talk(NEWS, *({"n": f"{number}"} for number in range(25) for _ in range(3)))
    lines = str(failed.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 5 more"


async def test_no_test_fails_if_it_does_not_want_values_to_be_checked():
    async with (
        serve(HEAD + f"signals: [{{path: /, {TEXTS}}}]", check_sends=False) as app,
        app.connect() as ada,
    ):
        await ada.send(5)
        assert await ada.receive_json() == 5
        assert app.server.node.broadcaster.sends is None


async def test_a_server_that_nobody_asks_delivers_by_the_same_functions_as_without_sends():
    async with serve(HEAD + f"signals: [{{path: /, {TEXTS}}}]", check_sends=False) as app:
        node = app.server.node
        assert node.broadcaster.publish == node.deliver
        assert node.broadcaster.publish.__func__ is type(node).deliver


@pytest.mark.parametrize(
    ("signal", "sent", "told"),
    [
        pytest.param("rebroadcast: path", {"message": 5}, [("/a", "5")], id="to its own path"),
        pytest.param("rebroadcast: sender", {"message": 5}, [("/a", "5")], id="to the sender alone"),
        pytest.param("rebroadcast: none", {"message": 5, "direct": True}, [("/a", "5")], id="direct"),
        pytest.param("rebroadcast: none", {"message": 5, "path": "/A"}, [("/a", "5")], id="to a path"),
        pytest.param("rebroadcast: none", {"message": 5, "path": "/b"}, [], id="to a path that says nothing"),
        pytest.param("rebroadcast: everyone", {"message": 5}, [("/a", "5")], id="to everyone"),
        pytest.param("rebroadcast: others", {"message": 5}, [], id="to the others, of whom none is there"),
        pytest.param("do: [{reply: {value: 5}}]", {"message": "x"}, [("/a", "5")], id="a reply"),
        pytest.param("do: [{reply: {value: 5}}]", {"message": "x", "ref": 1}, [("/a", "5")], id="a reply with a ref"),
        pytest.param("handler: answer", {"message": "x", "ref": 1}, [("/a", "5")], id="what a handler returns"),
        pytest.param("handler: answer", {"message": "x"}, [], id="what a handler returns to nobody"),
        pytest.param("handler: answer", {"message": "x", "once": "1"}, [], id="what it returns to who wants no answer"),
        pytest.param("do: [{reply: {value: 5}}]", {"message": "x", "once": "1"}, [("/a", "5")], id="a reply, no ref"),
        pytest.param(
            "do: [{broadcast: {value: 5, path: /c/9}}]", {"message": "x"}, [("/c/9", "5")], id="to nobody yet"
        ),
        pytest.param("do: [{broadcast: {value: '5'}}]", {"message": "x"}, [], id="a text"),
        pytest.param("do: [{broadcast: {value: 5, group: g}}]", {"message": "x"}, [], id="to a group"),
        pytest.param("do: [{join: g}, {broadcast: {value: 5, group: g}}]", {"message": "x"}, [("/a", "5")], id="group"),
    ],
)
async def test_what_counts_is_the_signal_where_a_value_is_read(heard, signal, sent, told):
    signals = f"signals: [{{path: /a, {TEXTS}, {signal}}}, {{path: /b}}, {{path: /c/<n:int>, {TEXTS}}}]"
    async with (
        serve(HEAD + signals, plugins={"answer": HANDLER}, seams=heard.seams) as app,
        app.connect("/a", subprotocols=V1) as ada,
        app.connect("/b") as bob,
    ):
        await ada.receive()
        await ada.send(**sent)
        await ada.send_raw("")  # its answer comes after all else
        while "alive" not in await ada.receive_json():
            pass
        assert heard.told == told
        await bob.close()


async def test_to_everyone_each_signal_is_asked_once_and_those_that_say_nothing_never(heard):
    signals = f"signals: [{{path: /a/<n>, {TEXTS}}}, {{path: /b, sends: {{type: number}}}}, {{path: /c}}]"
    async with (
        serve(HEAD + signals, seams=heard.seams) as app,
        app.connect("/a/1") as ada,
        app.connect("/a/2") as bob,
        app.connect("/b") as eve,
        app.connect("/c") as dan,
    ):
        await dan.send({"x": 1})
        for each in (ada, bob, eve, dan):
            assert await each.receive_json() == {"x": 1}
        assert sorted(heard.told) == [("/a/1", '{"x":1}'), ("/b", '{"x":1}')]


async def test_what_connected_replies_is_held_against_sends(heard):
    signals = f"signals: [{{path: /, {TEXTS}, connected: [{{reply: {{value: 5}}}}, {{broadcast: {{value: 6}}}}]}}]"
    async with serve(HEAD + signals, seams=heard.seams) as app, app.connect() as ada:
        assert [await ada.receive(), await ada.receive()] == ["5", "6"]
        assert heard.told == [("/", "5"), ("/", "6")]


async def test_what_routes_and_jobs_send_is_held_against_sends(heard):
    rest = f"""\
        signals: [{{path: /, {TEXTS}}}]
        routes: [{{path: /say, method: POST, do: [{{broadcast: {{value: "{{{{ data }}}}"}}}}]}}]
        timers: [{{name: tick, every: 1h, do: [{{broadcast: {{value: [1], path: /}}}}]}}]
    """
    async with serve(HEAD + textwrap.dedent(rest), seams=heard.seams) as app, app.connect() as ada:
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            await client.post("/say", json={"x": None})
        await app.run_job("tick")
        assert [await ada.receive_json(), await ada.receive_json()] == [{"x": None}, [1]]
        assert heard.told == [("/", '{"x":null}'), ("/", "[1]")]


async def test_what_was_kept_is_not_judged_anew_when_it_is_read_from_the_history(heard):
    signals = f"signals: [{{path: /, {TEXTS}, rebroadcast: path, history: {{keep: 5, replay: 5}}}}]"
    async with serve(HEAD + signals, seams=heard.seams) as app:
        async with app.connect() as ada:
            await ada.send(5)
            await ada.receive()
        async with app.connect() as bob:
            assert await bob.receive_json() == 5
        assert heard.told == [("/", "5")]


async def test_frames_that_are_relayed_unread_are_not_judged(heard):
    signals = f"signals: [{{path: /, {TEXTS}}}, {{path: /raw, format: raw}}]"
    async with (
        serve(HEAD + signals, seams=heard.seams) as app,
        app.connect() as ada,
        app.connect("/raw") as bob,
    ):
        await bob.send_raw(b"\0")
        assert await ada.receive() == b"\0"
        assert heard.told == []


async def test_a_reload_changes_what_counts(heard):
    text = HEAD + f"signals: [{{path: /, {TEXTS}}}]"
    async with serve(text, seams=heard.seams) as app, app.connect() as ada:
        reloaded = await app.reload(text.replace("string", "number"))
        assert str(reloaded.changes) == "~1 signal"
        for value in (5, "five"):
            await ada.send(value)
            await ada.receive()
        assert heard.told == [("/", '"five"')]


async def test_of_two_signals_with_one_path_the_one_at_the_readers_endpoint_counts(heard):
    text = f"""\
        endpoints:
          - {{name: a, address: 127.0.0.1, port: 0, protocol: ws}}
          - {{name: b, address: 127.0.0.1, port: 0, protocol: ws}}
        signals:
          - {{path: /x, endpoint: a, rebroadcast: path, {TEXTS}}}
          - {{path: /x, endpoint: b, rebroadcast: path, sends: {{type: number}}}}
    """
    async with (
        serve(text, seams=heard.seams) as app,
        app.connect("/x", endpoint="a") as ada,
        app.connect("/x", endpoint="b") as bob,
    ):
        for client in (ada, bob):
            await client.send(5)
            await client.receive()
        assert heard.told == [("/x", "5")]


async def test_a_broadcast_by_itself_is_judged_as_the_client_reads_it(heard):
    signals = "signals: [{path: /, sends: {type: array, items: {type: string}}}]"
    async with serve(HEAD + signals, seams=heard.seams) as app, app.connect() as ada:
        app.server.node.broadcaster(("a", "b"))
        app.server.node.broadcaster.send(("a", 1), (EVERYONE,), None)
        assert [await ada.receive_json(), await ada.receive_json()] == [["a", "b"], ["a", 1]]
        assert [(each.pointer, each.detail) for each in heard.values] == [("/1", "expected a string, got a number")]


# The key itself


@pytest.mark.parametrize(
    ("sends", "problem"),
    [
        ("{type: strin}", 'signals[0].sends.type: no type "strin" in JSON Schema; did you mean "string"?'),
        ("{$ref: '#/$defs/x'}", 'signals[0].sends.$ref: "#/$defs/x" leads nowhere in this schema'),
        ("missing.json", 'signals[0].sends: "missing.json" is no file'),
        ("{pattern: '(?=x)'}", "signals[0].sends"),
        ("5", "signals[0].sends: must be a mapping, true, false or text"),
    ],
)
def test_a_schema_that_is_none_is_a_problem_at_its_place(tmp_path, sends, problem):
    with pytest.raises(ConfigError) as failed:
        load_app(HEAD + f"signals: [{{path: /, sends: {sends}}}]", tmp_path)
    (found,) = failed.value.problems
    assert problem.split(":")[0] in str(found)
    assert found.line == 4
    assert found.text


def test_a_schema_may_stand_in_a_file(tmp_path):
    (tmp_path / "line.yaml").write_text("type: string")
    plan = load_app(HEAD + "signals: [{path: /, sends: line.yaml}]", tmp_path)
    assert plan.signals[0].sends.document == {"type": "string"}
    assert tmp_path / "line.yaml" in plan.config.files


def test_raw_signals_have_no_sends(tmp_path):
    with pytest.raises(ConfigError, match="format: raw relays frames unread, so it has no sends: leave it out"):
        load_app(HEAD + f"signals: [{{path: /, format: raw, {TEXTS}}}]", tmp_path)


def test_a_schema_that_takes_long_is_not_said_to_refuse_messages(tmp_path):
    slow = "{uniqueItems: true, pattern: '^(a|b|c)*(a|b|c){50,90}$'}"
    notes = load_app(HEAD + f"signals: [{{path: /, sends: {slow}}}]", tmp_path).notes
    assert not [each for each in notes if "refused" in each]
    assert "refused" in str(load_app(HEAD + f"signals: [{{path: /, schema: {slow}}}]", tmp_path).notes)


# Values that stand in the file


NO_INTEGER = "expected an integer, got a string"


def notes_of(tmp_path, text):
    return [each.replace(f"{tmp_path}/", "") for each in load_app(HEAD + textwrap.dedent(text), tmp_path).notes]


def test_a_value_that_stands_in_the_file_and_is_refused_is_noted_at_its_place(tmp_path):
    notes = notes_of(
        tmp_path,
        """\
        signals:
          - path: /a/<x>
            sends: {type: object, properties: {n: {type: integer}}}
            connected: [{reply: {value: hello}}]
            do:
              - if: "{{ message }}"
                then: [{broadcast: {value: {n: x}, path: /A/9}}]
        timers:
          - {name: tick, every: 1h, broadcast: {value: 5, path: /a/5}}
        """,
    )
    said = "which is not what sends says there (routes.yaml:6:5)"
    assert sorted(notes, key=lambda note: int(note.split(":")[1])) == [
        f'routes.yaml:7:33: reply sends "hello" to clients on /a/<x>, {said}: expected an object, got a string',
        f'routes.yaml:10:36: broadcast sends {{"n": "x"}} to clients on /a/<x>, {said}: at /n: {NO_INTEGER}',
        f"routes.yaml:12:48: broadcast sends 5 to clients on /a/<x>, {said}: expected an object, got a number",
    ]


@pytest.mark.parametrize(
    "step",
    [
        "broadcast: {value: text, path: /a}",
        "broadcast: {value: 5, path: /b}",
        "broadcast: {value: 5}",
        "broadcast: {value: '{{ 5 }}', path: /a}",
        "broadcast: {value: ['{{ 5 }}'], path: /a}",
        "broadcast: {value: 5, path: '/{{ path }}'}",
        "broadcast: {value: '', path: /a}",
        "log: x",
        "reply: {value: 5}",
    ],
)
def test_a_value_of_which_it_is_not_certain_is_not_noted(tmp_path, step):
    text = f"signals: [{{path: /a, {TEXTS}}}, {{path: /b, do: [{{{step}}}]}}]"
    assert notes_of(tmp_path, text) == []


def test_two_signals_on_one_path_are_one_problem_and_nothing_breaks(tmp_path):
    with pytest.raises(ConfigError, match="is taken by the signal /a"):
        load_app(HEAD + f"signals: [{{path: /a, {TEXTS}}}, {{path: /A, {TEXTS}}}]", tmp_path)
