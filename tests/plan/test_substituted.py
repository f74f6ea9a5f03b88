"""Values from outside, from routes.yaml to what is planned: they are values, and problems do not show them."""

import json
import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.plan import load_plan
from signalpost.plan.snapshot import snapshot, to_json
from signalpost.problemtext import Style, render_problems

ENDPOINTS = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
PLUGIN = """
    from signalpost import action, signal

    OPTIONS = {"type": "object", "properties": {"bell": {"enum": ["small", "large"]}, "n": {"maximum": 3}}}

    @action("ring", schema=OPTIONS)
    def ring(event, options): ...
"""
SETTINGS = """
    import signalpost

    @signalpost.hookimpl
    def settings_schema():
        return {"type": "object", "properties": {"mode": {"enum": ["a", "b"]}, "n": {"type": "integer", "maximum": 3}}}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a routes.yaml, with plugins by name; the environment has HUNTER and PROGRAM, the file of secrets hunter."""
    monkeypatch.setenv("HUNTER", "hunter2")
    monkeypatch.setenv("PROGRAM", "hunter2-{{ 7 * 7 }}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets.yaml").write_text("hunter: hunter3\nnumber: 987654\npath: /hidden\n")
    plans = []

    def loaded(text, **plugins):
        (tmp_path / "routes.yaml").write_text(ENDPOINTS + textwrap.dedent(text))
        (tmp_path / "plugins").mkdir(exist_ok=True)
        for name, source in plugins.items():
            (tmp_path / "plugins" / f"{name}.py").write_text(textwrap.dedent(source))
        plans.append(load_plan("routes.yaml"))
        return plans[-1]

    yield loaded
    for plan in plans:
        plan.registry.unload()


@pytest.fixture
def problems(load):
    def shown(text, **plugins):
        with pytest.raises(ConfigError) as caught:
            load(text, **plugins)
        return "\n".join(render_problems(caught.value.problems, style) for style in Style)

    return shown


def test_a_variable_in_an_action_is_no_template(load):
    plan = load("signals: [{path: /, do: [{reply: {value: '${PROGRAM}'}}, {log: '${PROGRAM}'}]}]")
    reply, log = (step.options for step in plan.signals[0].do.steps)
    assert (reply.render, log.render) == (None, None)
    assert reply.fixed == {"value": "hunter2-{{ 7 * 7 }}"}


def test_a_variable_that_would_change_a_template_is_a_mistake_at_its_place(problems):
    shown = problems("signals: [{path: /, do: [{log: '${PROGRAM} {{ message }}'}]}]")
    assert (
        "routes.yaml:2:32: signals[0].do[0].log: what a variable or a secret holds here would be read as a part"
        in shown
    )
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "said", ["{bell: !secret hunter}", "{n: !secret number}", "!secret hunter", '{bell: "${HUNTER}"}']
)
def test_what_an_action_cannot_take_is_told_without_it(problems, said):
    shown = problems(f"signals: [{{path: /, do: [{{ring: {said}}}]}}]", bells=PLUGIN)
    assert "(says plugin bells)" in shown
    for value in ("hunter2", "hunter3", "987654"):
        assert value not in shown


@pytest.mark.parametrize(
    "said", ["{mode: !secret hunter}", "{n: !secret hunter}", "{n: !secret number}", '{mode: "${HUNTER}"}']
)
def test_what_settings_cannot_be_is_told_without_it(problems, said):
    shown = problems(f"plugins: {{settings: {{bells: {said}}}}}", bells=SETTINGS)
    assert "(says plugin bells" in shown
    for value in ("hunter2", "hunter3", "987654"):
        assert value not in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        "signals: [{path: /, handler: !secret hunter}]",
        "signals: [{path: /, do: [{call: !secret hunter}]}]",
        "signals: [{path: /, do: [{broadcast: {value: 1, to: !secret hunter}}]}]",
        "signals: [{path: /, do: [{close: {code: !secret number}}]}]",
        "signals: [{path: /, do: [{log: {message: x, level: !secret hunter}}]}]",
        "signals: [{path: /, do: [!secret hunter]}]",
        "signals: [{path: /, do: !secret hunter}]",
        "timers: [{name: t, every: 1s, handler: !secret hunter}]",
        "schedules: [{name: t, cron: !secret hunter, do: [{log: x}]}]",
        "schedules: [{name: t, cron: [!secret hunter], do: [{log: x}]}]",
        "plugins: {enable: [!secret hunter]}",
    ],
)
def test_no_problem_of_a_plan_shows_a_secret(problems, said):
    shown = problems(said)
    assert "!secret hunter" in shown or "!secret number" in shown
    assert "hunter3" not in shown
    assert "987654" not in shown


def test_a_snapshot_names_secrets_as_the_file_does(load):
    plan = load("signals: [{path: !secret path}]")
    assert "hidden" not in json.dumps(to_json(snapshot(plan)))


def test_mistakes_come_with_the_files_that_were_asked_for(load, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load("signals: !include missing.yaml\nlimits: {rate: !secret none}")
    assert set(caught.value.files) == {tmp_path / name for name in ("routes.yaml", "missing.yaml", "secrets.yaml")}


def test_a_note_names_a_secret_as_the_file_does(load):
    plugin = "from signalpost import signal\n\n@signal('echo', path='/hidden')\nasync def echo(event): ...\n"
    (note,) = (each for each in load("signals: [{path: !secret path}]", echo=plugin).notes if "declares" in each)
    assert note.startswith('routes.yaml:2 declares !secret path, so the binding of handler "echo"')


def test_no_representation_of_a_plan_shows_a_secret(load):
    plan = load(
        """
        signals: [{path: !secret path, do: [{reply: {value: !secret hunter}}, {log: "${HUNTER}"}]}]
        timers: [{name: !secret hunter, every: 1h, do: [{log: !secret hunter}]}]
        """
    )
    parts = (*plan.signals, *plan.jobs, plan.signals[0].do, *plan.signals[0].do.steps)
    for shown in map(repr, (plan, *parts)):
        assert "hunter" not in shown
        assert "hidden" not in shown
