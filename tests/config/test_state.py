"""The section ``state``: its file and its limit are checked at their places."""

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.units import MEBIBYTE

ENDPOINT = "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]\n"


@pytest.fixture
def state(tmp_path):
    """Read the section of a file that is sound."""

    def read(text):
        return parse_config(ENDPOINT + text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN).state

    return read


def test_without_the_section_nothing_is_kept_and_16_mebibytes_are_the_most(state):
    assert (state("").file, state("").limit) == (None, 16 * MEBIBYTE)
    assert state("state: {limit: 1MiB}").limit == MEBIBYTE
    assert state("state: {file: a.db, forget: [a, b]}").forget == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 16 * MEBIBYTE // 10),
        ("state: {limit: 1000}", 100),
        ("state: {share: 64KiB}", 65536),
        ("state: {share: 0}", 0),
        ("state: {share: 0KiB}", 0),
        ('state: {share: "0"}', 0),
    ],
)
def test_a_client_s_share_is_a_tenth_unless_it_is_given_and_none_where_it_is_0(state, text, share):
    assert state(text).share_of_limit == share


def test_a_file_may_be_below_the_folder_of_routes_yaml_or_anywhere_by_its_whole_path(state, tmp_path):
    (tmp_path / "data").mkdir()
    assert state("state: {file: state.db}").file == tmp_path / "state.db"
    assert state("state: {file: data/../data/state.db}").file == tmp_path / "data" / "state.db"
    assert state(f"state: {{file: {tmp_path.parent / 'state.db'}}}").file == tmp_path.parent / "state.db"
    assert not list(tmp_path.rglob("*.db")), "it is made when a server starts"


def test_a_file_that_is_there_is_not_opened_whatever_is_in_it(state, tmp_path):
    (tmp_path / "state.db").write_text("not a database")
    assert state("state: {file: state.db}").file == tmp_path / "state.db"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            "{file: ../state.db}",
            'state.file: "../state.db" is outside the folder of routes.yaml; if you mean it, write the abs',
        ),
        ("{file: plugins}", 'state.file: "plugins" is a folder; a file is meant here, as in plugins/state.db'),
        ("{file: no/state.db}", "state.file: no folder"),
        ("{file: web/index.html/state.db}", "state.file: no folder"),
        ("{file: /dev/null}", 'state.file: "/dev/null" is not a file'),
        ('{file: "a\\0b"}', "state.file: a file's name has no null characters"),
        ("{file: 5}", "state.file: must be text, not the number 5: put it in quotes"),
        ("{file: ''}", "state.file: must not be empty"),
        ("{fil: state.db}", 'state.fil: no key "fil" here; did you mean "file"? (known: file, limit, forget, share)'),
        ("{forget: [a]}", "state.forget: without a file all is forgotten: give one, or leave this out"),
        ("{file: a.db, forget: a}", 'state.forget: must be a list, not the text "a": write [a]'),
        ("{limit: lots}", "state.limit: "),
        ("{limit: 0}", "state.limit: "),
        ("state.db", 'state: must be a mapping, not the text "state.db"'),
    ],
)
def test_what_cannot_keep_a_state_is_told_at_its_place(problems, value, says):
    (found,) = problems(f"state: {value}")
    assert found.partition(": ")[2].startswith(says)


@pytest.mark.parametrize(
    ("route", "file"),
    [("{path: /a, static: web}", "web/state.db"), ("{path: /a, file: web/index.html}", "web/index.html")],
)
def test_a_state_that_a_route_would_show_to_everyone_is_refused(problems, route, file):
    (found,) = problems(f"routes: [{route}]\nstate: {{file: {file}}}")
    assert "state.file: the route /a would show it to everyone: keep it where no route serves files" in found
