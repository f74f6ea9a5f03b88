"""Steps that are plugins' actions: named in routes.yaml, judged by the plugin's schema, and done."""

import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.plan import load_plan
from signalpost.testing import serve

ENDPOINT = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"

PLUGIN = """
from signalpost import action

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["times"],
    "properties": {
        "times": {"type": "integer", "minimum": 1, "maximum": 5},
        "bell": {"enum": ["church", "door"]},
        "path": {"type": "string", "pattern": "^/"},
        "rooms": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    },
}

@action("ring", schema=OPTIONS)
def ring(event, options):
    event.broadcast([options.pop("bell", "door")] * options.pop("times"))

@action("linger")
async def wait(event, options):
    event.reply(options)

@action("crack")
def crack(event, options):
    raise RuntimeError("the bell has a crack")

async def later(): ...

@action("forgotten")
def forgotten(event, options):
    return later()

@action("broken", schema={"type": "objct"})
def broken(event, options): ...
"""
SOUND = PLUGIN.partition('@action("broken"')[0]


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """Load a list of steps; return its problems, without the place of the list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()

    def load(steps, plugin=SOUND):
        (tmp_path / "plugins" / "bell.py").write_text(plugin)
        text = "signals:\n  - path: /\n    do:\n" + textwrap.indent(textwrap.dedent(steps), "      ")
        (tmp_path / "routes.yaml").write_text(ENDPOINT + text)
        try:
            load_plan("routes.yaml").registry.unload()
        except ConfigError as error:
            return [str(problem).removeprefix("routes.yaml:") for problem in error.problems]
        return []

    return load


def test_options_that_fit_are_right_and_those_that_do_not_are_problems_at_their_places(problems):
    assert problems("- ring: {times: 3, bell: door, path: /x, rooms: [a]}\n- linger: anything\n") == []
    found = problems("""\
        - ring: {times: 9, bel: door}
        - ring: {bell: dor, path: x, rooms: []}
        """)
    assert all(text.endswith(" (says plugin bell)") for text in found)
    assert [text.removesuffix(" (says plugin bell)").partition(" (")[0] for text in found] == [
        "5:23: signals[0].do[0].ring.times: must be at most 5, not 9",
        '5:26: signals[0].do[0].ring.bel: no key "bel" here; did you mean "bell"?',
        '6:15: signals[0].do[1].ring: the key "times" is missing',
        '6:22: signals[0].do[1].ring.bell: "dor" is not allowed here; did you mean "door"?',
        '6:33: signals[0].do[1].ring.path: "x" does not match ^/',
        "6:43: signals[0].do[1].ring.rooms: must not be empty: give at least one",
    ]


def test_what_is_not_known_before_a_template_is_rendered_is_not_judged_and_the_rest_is(problems):
    assert problems('- ring: {times: "{{ message }}", bell: "{{ message }}", rooms: ["{{ message }}"]}') == []
    assert problems('- ring: {"{{ message }}": 3}') == []
    (found,) = problems('- ring: {times: "{{ message }}", bell: dor}')
    assert "signals[0].do[0].ring.bell" in found


def test_an_unknown_action_names_the_nearest_of_the_plugins_and_of_the_built_in_ones(problems):
    (found,) = problems("- rng: {times: 3}\n")
    assert 'no action named "rng"; did you mean "ring"? (known: ' in found
    (found,) = problems("- broadcst: {value: 3}\n")
    assert 'did you mean "broadcast"?' in found


def test_an_action_whose_schema_is_wrong_is_one_problem_and_not_an_unknown_action_too(problems):
    (found,) = problems("- broken: {}\n", PLUGIN)
    assert 'action "broken": schema at type: no type "objct" in JSON Schema; did you mean "object"?' in found


async def test_an_action_is_done_each_time_with_its_options_whole_even_if_it_takes_them_apart():
    signals = "signals: [{path: /, do: [{ring: {times: 2, bell: church}}, {linger: [1]}]}]"
    async with serve(ENDPOINT + signals, plugins={"bell": SOUND}) as app, app.connect("/") as client:
        for _ in range(2):
            await client.send("x")
            assert await client.receive_json() == ["church", "church"]
            assert await client.receive_json() == [1]


async def test_an_action_that_fails_ends_the_list_and_is_told_to_its_sender_and_logged_with_its_place(caplog):
    signals = "signals: [{path: /, do: [{ring: {times: 1}}, {crack: null}, {ring: {times: 2}}]}]"
    async with serve(ENDPOINT + signals, plugins={"bell": SOUND}) as app, app.connect("/") as client:
        for _ in range(2):
            await client.send("x")
            assert await client.receive_json() == ["door"]
            assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert 'routes.yaml:2:47: crack: action "crack" of plugin bell (' in caplog.text
    assert "RuntimeError: the bell has a crack" in caplog.text


async def test_options_that_templates_gave_are_judged_when_they_are_there(caplog):
    signals = 'signals: [{path: /, do: [{ring: {times: "{{ message }}"}}]}]'
    async with serve(ENDPOINT + signals, plugins={"bell": SOUND}) as app, app.connect("/") as client:
        await client.send(2)
        assert await client.receive_json() == ["door", "door"]
        await client.send(9)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "ring: its options at /times: " in caplog.text
    assert "Traceback" not in caplog.text


async def test_an_action_that_forgets_to_be_async_is_told_so_and_ends_nobody_s_connection(caplog):
    signals = "signals: [{path: /, do: [{forgotten: null}]}]"
    async with serve(ENDPOINT + signals, plugins={"bell": SOUND}) as app, app.connect("/") as client:
        for _ in range(2):
            await client.send("x")
            assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "is no async def, so its result is not awaited: make it one" in caplog.text
