"""What a plan says of the state where a backplane joins several nodes."""

import pytest

from signalpost.testing import load_app

HEAD = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nundeclared: refuse\n"
JOINED = HEAD + "backplane: redis://10.0.0.5/0\n"
LATE = "keep in a database, or in the history of a path, what all must know"


@pytest.fixture
def notes(tmp_path):
    """Load a file, and return its notes about the state, without the file's name."""

    def load(text):
        found = load_app(text, tmp_path).notes
        return [each.replace(f"{tmp_path}/routes.yaml:", "") for each in found if "state" in each]

    return load


@pytest.mark.parametrize(
    ("said", "does"),
    [
        ("signals: [{path: /, do: [{set: {count: 1}}]}]", "changes that of one node"),
        ("signals: [{path: /, connected: [{append: {to: a, value: x}}]}]", "changes that of one node"),
        ("signals: [{path: /, disconnected: [{if: '{{ state.a }}', then: [{log: gone}]}]}]", "reads that of one node"),
        ("timers: [{name: t, every: 1s, do: [{broadcast: {value: '{{ state.a }}'}}]}]", "reads that of one node"),
        (
            "timers: [{name: t, every: 1s, do: [{for: {each: a, in: [1]}, do: [{set: {count: 1}}]}]}]",
            "changes that of one node",
        ),
        ("signals: [{path: /, may: {connect: '{{ state.open }}'}}]", "reads that of one node"),
    ],
)
def test_the_first_place_that_uses_the_state_is_a_note(notes, said, does):
    assert notes(JOINED + said) == [
        f"4: state is each node's own, and backplane (3) joins several: this {does}; {LATE}"
    ]
    assert notes(HEAD + said) == []


def test_a_place_that_changes_it_comes_before_one_that_reads_it(notes):
    text = """signals:
  - {path: /a, do: [{reply: {value: "{{ state.count }}"}}]}
  - {path: /b, do: [{set: {count: 1}}]}
"""
    (note,) = notes(JOINED + text)
    assert note.startswith("6: state is each node's own")
    assert "this changes that of one node (and 1 more); " in note


def test_an_app_without_state_has_no_note(notes):
    assert notes(JOINED + "signals: [{path: /, do: [{reply: {value: 'state of {{ data.state }}'}}]}]") == []
