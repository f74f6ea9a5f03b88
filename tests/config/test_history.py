"""`history`, `presence` and `once` of a signal, the section `history`: what is read, and each mistake at its place."""

import pytest

from signalpost.config.model import HistoryConfig, PresenceConfig, SlowPolicy

PATH = "rebroadcast: path, "


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", None),
        (PATH + "history: 1", HistoryConfig(1, 600.0, 0)),
        (PATH + "history: 10000", HistoryConfig(10_000, 600.0, 0)),
        (PATH + "history: {keep: 100}", HistoryConfig(100, 600.0, 0)),
        (PATH + "history: {keep: 100, for: 1d}", HistoryConfig(100, 86_400.0, 0)),
        (PATH + "history: {keep: 100, for: 0.5}", HistoryConfig(100, 0.5, 0)),
        (PATH + "history: {keep: 100, replay: 100}", HistoryConfig(100, 600.0, 100)),
        (PATH + "history: {keep: 100, for: 10m, replay: 0}", HistoryConfig(100, 600.0, 0)),
        ("rebroadcast: none, history: 5", HistoryConfig(5)),
        ("rebroadcast: sender, history: 5", HistoryConfig(5)),
        ("history: 5, do: [{broadcast: {value: x, path: /feed}}]", HistoryConfig(5)),
        ("history: 5, handler: feed", HistoryConfig(5)),
    ],
)
def test_a_signal_says_how_much_is_kept(config, said, read):
    assert config(f"signals: [{{path: /feed, {said}}}]").signals[0].history == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", None),
        ("presence: false", None),
        ("presence: true", PresenceConfig(None, 5.0, 1.0, 1_000)),
        ("presence: {}", PresenceConfig(None, 5.0, 1.0, 1_000)),
        ("presence: {info: {name: Ann}}", PresenceConfig({"name": "Ann"})),
        ("presence: {info: '{{ params }}'}", PresenceConfig("{{ params }}")),
        ("presence: {info: null}", PresenceConfig()),
        ("presence: {grace: 0}", PresenceConfig(grace=0.0)),
        ("presence: {grace: 1m}", PresenceConfig(grace=60.0)),
        ("presence: {every: 250ms}", PresenceConfig(every=0.25)),
        ("presence: {most: 0}", PresenceConfig(most=0)),
        ("presence: {most: 5}, format: raw", PresenceConfig(most=5)),
    ],
)
def test_a_signal_says_whether_and_how_clients_are_told_who_is_there(config, said, read):
    assert config(f"signals: [{{path: /feed, {said}}}]").signals[0].presence == read


@pytest.mark.parametrize(("said", "seconds"), [("", 300.0), (", once: 1s", 1.0), (", once: 1d", 86_400.0)])
def test_a_signal_says_how_long_a_repeat_is_known(config, said, seconds):
    assert config(f"signals: [{{path: /feed{said}}}]").signals[0].once == seconds


@pytest.mark.parametrize(
    ("said", "limit", "file"),
    [
        ("", 64 * 2**20, None),
        ("history: {}", 64 * 2**20, None),
        ("history: {limit: 1MiB}", 2**20, None),
        ("history: {file: history.db}", 64 * 2**20, "history.db"),
        ("history: {file: plugins/../h}", 64 * 2**20, "h"),
        ("history: {file: h.db}\nstate: {file: s.db}", 64 * 2**20, "h.db"),
    ],
)
def test_the_file_says_how_much_all_of_it_may_take_and_where_it_is_kept(config, app, said, limit, file):
    read = config(said).history
    assert (read.limit, read.file) == (limit, None if file is None else app / file)


def test_catch_up_is_a_policy_beside_a_history(config):
    text = "signals: [{path: /feed, rebroadcast: path, history: 5, slow: {policy: catch_up}}]"
    assert config(text).signals[0].slow.policy is SlowPolicy.CATCH_UP


NOWHERE = "and history keeps what is sent to a path; say rebroadcast: path (or none, if only the app sends here)"
LENGTH = len("signals: [{path: /feed, ")


@pytest.mark.parametrize(
    ("said", "key", "problem"),
    [
        ("history: 5", "history", f"history: what is sent here goes to everyone, {NOWHERE}"),
        ("rebroadcast: everyone, history: 5", "history", f"history: what is sent here goes to everyone, {NOWHERE}"),
        (
            "rebroadcast: others, history: 5",
            "history",
            f"history: what is sent here goes to everyone but the sender, {NOWHERE}",
        ),
        ("rebroadcast: group, history: 5", "history", f"history: what is sent here goes to groups, {NOWHERE}"),
        (
            PATH + "format: raw, history: 5",
            "history",
            "history: format: raw relays frames unread, and none carries a position: leave it out",
        ),
        (
            "format: raw, history: 5",
            "history",
            "history: format: raw relays frames unread, and none carries a position: leave it out",
        ),
        (PATH + "history: true", "true", "history: must be a whole number or a mapping, not true"),
        (PATH + "history: false", "false", "history: must be a whole number or a mapping, not false"),
        (PATH + "history: [5]", "[5]", "history: must be a whole number or a mapping, not a list"),
        (PATH + "history: 2.5", "2.5", "history: must be a whole number or a mapping, not the number 2.5"),
        (PATH + "history: '5'", "'5'", "history: must be a whole number or a mapping, not the text"),
        (PATH + "history: 0", "0", "history: must be at least 1, not 0"),
        (PATH + "history: -1", "-1", "history: must be at least 1, not -1"),
        (PATH + "history: 10001", "10001", "history: must be at most 10000, not 10001"),
        (PATH + "history: {}", "{}", 'history: the key "keep" is missing, for example keep: 100'),
        (PATH + "history: {for: 1m}", "{for", 'history: the key "keep" is missing'),
        (PATH + "history: {keep: 0}", "0", "history.keep: must be at least 1, not 0"),
        (PATH + "history: {keep: 10001}", "10001", "history.keep: must be at most 10000, not 10001"),
        (PATH + "history: {keep: 5, for: 0}", "0", "history.for: 0 is no duration: it must be above 0"),
        (PATH + "history: {keep: 5, for: soon}", "soon", 'history.for: "soon" is not a duration'),
        (PATH + "history: {keep: 5, replay: -1}", "-1", "history.replay: must be at least 0, not -1"),
        (PATH + "history: {keep: 9000, replay: 1001}", "1001", "history.replay: must be at most 1000, not 1001"),
        (PATH + "history: {keep: 5, replay: 6}", "6", "history.replay: 6 are more than the 5 that are kept (keep)"),
        (PATH + "history: {keep: 5, reply: 6}", "reply", 'history.reply: no key "reply" here; did you mean "replay"?'),
        (PATH + "histroy: 5", "histroy", 'no key "histroy" here; did you mean "history"?'),
        (
            "slow: {policy: catch_up}",
            "catch_up",
            "slow.policy: catch_up reads from the history what a client has missed: write history: 100 beside slow",
        ),
        ("presence: yes", "yes", "presence: must be true or false or a mapping, not the text"),
        ("presence: 5", "5", "presence: must be true or false or a mapping, not the number 5"),
        ("presence: {inf: 5}", "inf", 'presence.inf: no key "inf" here; did you mean "info"?'),
        ("presence: {grace: -1}", "-1", "presence.grace: -1 is no duration"),
        ("presence: {grace: soon}", "soon", 'presence.grace: "soon" is not a duration'),
        ("presence: {every: 0}", "0", "presence.every: 0 is no duration: it must be above 0"),
        ("presence: {most: -1}", "-1", "presence.most: must be at least 0, not -1"),
        ("presence: {most: many}", "many", "presence.most: must be a whole number"),
        ("once: 0", "0", "once: 0 is no duration: it must be above 0"),
        ("once: -5s", "-5s", "once"),
        ("once: soon", "soon", 'once: "soon" is not a duration'),
        ("once: true", "true", "once: must be text or a number, not true"),
    ],
)
def test_a_mistake_at_a_signal_is_shown_at_its_place_with_what_to_write(problems, said, key, problem):
    begin = "signals: [{path: /feed, "
    (found,) = problems(f"{begin}{said}}}]")
    line, column, rest = found.split(":", 2)
    assert (line, problem in rest) == ("4", True), found
    assert f"{begin}{said}"[int(column) - 1 :].startswith(key), found


def test_a_replay_that_is_too_large_in_two_ways_is_one_problem(problems):
    assert len(problems("signals: [{path: /feed, rebroadcast: path, history: {keep: 5, replay: 1001}}]")) == 1


@pytest.mark.parametrize(
    ("said", "place", "problem"),
    [
        ("history: true", "4:10", "history: must be a mapping, not true"),
        ("history: 5", "4:10", "history: must be a mapping, not the number 5"),
        ("history: {limit: 0}", "4:18", "history.limit: 0 is no size: it must be at least 1 byte"),
        ("history: {limit: much}", "4:18", 'history.limit: "much" is not a size'),
        (
            "history: {limt: 1MiB}",
            "4:11",
            'history.limt: no key "limt" here; did you mean "limit"? (known: limit, file)',
        ),
        ("history: {keep: 5}", "4:11", 'history.keep: no key "keep" here'),
        ("history: {file: ''}", "4:17", "history.file"),
        ("history: {file: web}", "4:17", 'history.file: "web" is a folder; a file is meant here, as in web/history.db'),
        ("history: {file: none/h.db}", "4:17", "history.file: no folder"),
        ("history: {file: ../h.db}", "4:17", 'history.file: "../h.db" is outside the folder of routes.yaml'),
        (
            "history: {file: same.db}\nstate: {file: same.db}",
            "4:17",
            "history.file: state.file names it already (routes.yaml:5): each needs its own",
        ),
        (
            "state: {file: same.db}\nhistory: {file: ./web/../same.db}",
            "5:17",
            "history.file: state.file names it already (routes.yaml:4): each needs its own",
        ),
        (
            "history: {file: web/h.db}\nroutes: [{path: /pages, static: web}]",
            "4:17",
            "history.file: the route /pages would show it to everyone: keep it where no route serves files",
        ),
        (
            "history: {file: web/index.html}\nroutes: [{path: /page, file: web/index.html}]",
            "4:17",
            "history.file: the route /page would show it to everyone",
        ),
    ],
)
def test_a_mistake_in_the_section_is_shown_at_its_place(problems, said, place, problem):
    (found,) = problems(said)
    assert found.startswith(f"{place}: "), found
    assert problem in found


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".found"])
def test_a_file_is_shown_by_a_route_if_one_beside_it_is(problems, app, end):
    (app / f"shown.db{end}").touch()
    (found,) = problems(f"history: {{file: shown.db}}\nroutes: [{{path: /x, file: shown.db{end}}}]")
    assert "history.file: the route /x would show it to everyone" in found


def test_a_symbolic_link_is_no_file_of_a_history(problems, app):
    if not (app / "link.db").is_symlink():
        (app / "link.db").symlink_to("elsewhere.db")
    (found,) = problems("history: {file: link.db}")
    assert "a symbolic link, which is not followed: name the file itself" in found


@pytest.mark.parametrize("end", ["-journal", "-wal", "-shm", ".found"])
@pytest.mark.parametrize("first", ["history", "state"])
def test_the_history_cannot_be_one_of_the_files_beside_the_states(problems, first, end):
    other = "state" if first == "history" else "history"
    (found,) = problems(f"{first}: {{file: data.db}}\n{other}: {{file: data.db{end}}}")
    assert "history.file" in found


def test_the_same_file_by_a_linked_folder_is_the_same(problems, app):
    if not (app / "linked").is_symlink():
        (app / "linked").symlink_to("plugins")
    (found,) = problems("state: {file: plugins/data.db}\nhistory: {file: linked/data.db}")
    assert "history.file" in found
