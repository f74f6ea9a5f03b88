"""A built-in action is one file: whatever asks about actions finds it there."""

import sys

import pytest

from signalpost.actions import builtin
from signalpost.actions.builtin import BUILT_IN, routes_schema, taken_names
from signalpost.cli.reference import reference
from signalpost.config.actions import GRAMMAR
from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
RING = '''
"""``ring``: sends as many bells to the sender as it is told."""

from signalpost.actions.declaration import BuiltIn, option
from signalpost.config.actions import Place


def _check(step, place):
    if step.whole("ring", 0) == 13:
        step.problem("ring", "thirteen brings bad luck")


def _ring(run, times):
    run.event.broadcast("ding" * int(times), to="sender")


ACTION = BuiltIn(
    schema=option("Ring", "Rings a bell.", ["integer", "string"], minimum=1, examples=[3]),
    places=frozenset({Place.SIGNAL}),
    needs="a bell rings for messages",
    check=_check,
    effect=_ring,
)
'''


@pytest.fixture
def ring(tmp_path, monkeypatch):
    """Put the file of a further action beside the others."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "ring.py").write_text(RING)
    with monkeypatch.context() as patch:
        patch.setattr(builtin, "__path__", [*builtin.__path__, str(folder)])
        patch.setitem(BUILT_IN, "ring", builtin._found()["ring"])
        yield
    sys.modules.pop("signalpost.actions.builtin.ring")
    del builtin.ring


@pytest.fixture
def problems(tmp_path):
    """Load an app with a list of actions at a key of a signal; return what is wrong with it."""

    def load(steps, key="do"):
        with pytest.raises(ConfigError) as caught:
            load_app(f"{LIVE}signals: [{{path: /, {key}: [{steps}]}}]", tmp_path)
        return [problem.text for problem in caught.value.problems]

    return load


def test_every_file_is_an_action_of_its_name_and_what_stands_first_is_there():
    assert set(builtin._FIRST) <= set(BUILT_IN)
    assert not set(BUILT_IN) & set(GRAMMAR)
    assert taken_names() == {*BUILT_IN, *GRAMMAR, "then", "else", "do"}


@pytest.mark.usefixtures("ring")
def test_a_further_file_is_known_to_editors_and_the_reference():
    assert routes_schema()["$defs"]["step"]["properties"]["ring"]["title"] == "Ring"
    assert "| `ring` | integer or string |  | Rings a bell. Example: `3` |" in reference()
    assert "ring" in taken_names()


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize(
    ("key", "steps", "says"),
    [
        ("do", "{ring: 0}", "must be at least 1, not 0"),
        ("do", "{ring: 13}", "thirteen brings bad luck"),
        ("do", '{ring: "{{ nobody }}"}', 'nothing here is named "nobody"'),
        ("do", "{rang: 1}", 'no action named "rang"; did you mean "ring"?'),
        ("connected", "{ring: 1}", "ring has no place in connected: a bell rings for messages"),
    ],
)
def test_a_further_file_is_held_against_lists_of_actions(problems, key, steps, says):
    (found,) = problems(steps, key)
    assert found.startswith(says)


@pytest.mark.usefixtures("ring")
async def test_what_a_further_file_does_is_done():
    text = LIVE + 'signals: [{path: /, do: [{ring: "{{ message }}"}]}]'
    async with serve(text) as app, app.connect() as client:
        await client.send(2)
        assert await client.receive() == "dingding"


def test_without_its_file_it_is_an_action_of_nobody(problems):
    (found,) = problems("{ring: 1}")
    assert found.startswith('no action named "ring"')
