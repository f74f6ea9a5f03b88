"""`signalpost plan`: what a file changes about the server that runs from it, or about another file."""

import json
import os
import re
import signal

import pytest

from signalpost.cli.record import Recorder, read_record, record_path
from signalpost.plan import load_plan
from signalpost.plan.snapshot import snapshot

OLD = """\
routes: [{path: /bell, broadcast: {value: ding}}]
signals: [{path: "/rooms/<room>"}]
timers: [{name: tick, every: 5s, broadcast: {value: x}}]
schedules: [{name: nightly, cron: "0 0 * * *", timezone: Europe/London, broadcast: {value: x}}]
"""
NEW = """\
signals:
  - {path: "/rooms/<room>", rebroadcast: path}
  - {path: /rooms/lobby}
timers: [{name: tick, every: 5s, skip: 1, broadcast: {value: x}}]
schedules: [{name: nightly, cron: "0 0 * * *", timezone: Europe/London, broadcast: {value: x}}]
limits: {rate: 5/s}
"""
CHANGED = [
    ["", "what", "name", "from"],
    ["-", "route", "POST /bell"],
    ["+", "signal", "/rooms/lobby", "routes.yaml:6"],
    ["~", "signal", "/rooms/<room>", "routes.yaml:5"],
    ["~", "timer", "tick", "routes.yaml:7"],
    ["~", "setting", "limits.rate"],
    ["-1 route, +1 signal, ~1 signal, ~1 timer, ~limits.rate"],
]


@pytest.fixture
def planned(signalpost):
    """Give the command; return its first line, and the cells of each row of each part that follows."""

    def give(*arguments):
        result = signalpost("plan", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert all(line == line.rstrip() for line in result.stdout.splitlines())
        first, _, rest = result.stdout.partition("\n")
        return first, [[re.split(r" {2,}", line) for line in part.splitlines()] for part in rest.split("\n\n")]

    return give


@pytest.fixture
def serve(folder):
    """Leave the record that a server leaves which serves the file as it is now; nothing is served."""
    recorders = []

    def leave():
        recorders.append(Recorder("routes.yaml"))
        plan = load_plan("routes.yaml")
        recorders[-1].write(plan)
        plan.registry.unload()
        return recorders[-1]

    yield leave
    for recorder in recorders:
        recorder.remove()


def test_what_has_changed_since_the_server_was_started_is_shown_with_its_place(write, run, planned):
    write(OLD)
    server = run("--no-watch")
    write(NEW)
    first, (changes, *_) = planned()
    assert re.fullmatch(
        rf"from what process {server.process.pid} serves since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d to routes\.yaml", first
    )
    assert changes == CHANGED
    assert server.end(signal.SIGTERM) == (0, "", "")
    assert not record_path("routes.yaml").exists()


@pytest.mark.slow
def test_a_reload_is_what_further_changes_are_compared_with(write, run, planned):
    write(OLD)
    server = run()
    write(NEW)
    assert server.process.stdout.readline() == "reloaded: -1 route, +1 signal, ~1 signal, ~1 timer, ~limits.rate\n"
    _, (changes, *_) = planned()
    assert changes == [["nothing would change"]]
    server.end(signal.SIGKILL)
    assert record_path("routes.yaml").exists()
    assert planned()[0] == "no server runs from routes.yaml here: all is new"


def test_where_no_server_runs_all_is_new(write, planned):
    write("signals: [{path: /a}]")
    assert planned() == (
        "no server runs from routes.yaml here: all is new",
        [
            [
                ["", "what", "name", "from"],
                ["+", "endpoint", "web", "routes.yaml:2"],
                ["+", "endpoint", "live", "routes.yaml:3"],
                ["+", "signal", "/a", "routes.yaml:4"],
                ["+2 endpoints, +1 signal"],
            ]
        ],
    )


def test_another_file_may_be_compared_with(write, planned, folder):
    write(OLD)
    (folder / "routes.yaml").rename(folder / "old.yaml")
    write(NEW)
    first, (changes, *_) = planned("--against", "old.yaml")
    assert first == "from old.yaml to routes.yaml"
    assert changes == CHANGED


def test_what_stays_until_a_restart_is_a_note(write, folder, signalpost):
    write("backplane: redis://10.0.0.5/0\nstate: {limit: 1KiB}")
    (folder / "routes.yaml").rename(folder / "old.yaml")
    write("backplane: redis://:hunter2@10.0.0.6/0\nstate: {limit: 1MiB}")
    shown = signalpost("plan", "--against", "old.yaml").output
    assert "~state.limit, ~backplane" in shown
    assert shown.splitlines()[-1] == (
        "note: backplane: this node stays with the nodes that it began with until the server restarts"
    )
    assert "hunter2" not in shown


def test_the_moments_of_a_timer_that_nodes_share_are_shown(write, planned):
    write("backplane: redis://10.0.0.5/0\ntimers: [{name: t, every: 1h, broadcast: {value: 1}}]")
    _, (_, (_, _, (_, runs))) = planned()
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:00:00 UTC(, )?){5}", runs)


def test_the_next_five_runs_of_each_job_are_shown_with_their_zone(write, planned):
    write(NEW)
    _, (_, jobs, _) = planned()
    assert jobs[:2] == [["next runs"], ["job", "zone", "runs"]]
    assert jobs[2] == ["tick", "first 10 s after the start"]
    name, zone, runs = jobs[3]
    assert (name, zone) == ("nightly", "Europe/London")
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d 00:00:00 (GMT|BST)(, )?){5}", runs)


def test_feeds_are_compared_and_shown_with_where_they_come_from(write, planned, folder):
    write("feeds: [{name: prices, url: ws://feed.example.com, broadcast: {value: x}}]")
    (folder / "old.yaml").write_text((folder / "routes.yaml").read_text().replace("value: x", "value: y"))
    _, (changes, feeds) = planned("--against", "old.yaml")
    assert changes == [["", "what", "name", "from"], ["~", "feed", "prices", "routes.yaml:4"], ["~1 feed"]]
    assert feeds == [["feeds"], ["feed", "url"], ["prices", "ws://feed.example.com"]]


def test_paths_that_two_want_are_shown_with_who_gets_them(write, planned):
    write(NEW)
    _, (_, _, paths) = planned()
    assert paths == [
        ["paths that two want"],
        ["path", "goes to", "from", "not to", "from"],
        ["/rooms/lobby", "/rooms/lobby", "routes.yaml:6", "/rooms/<room>", "routes.yaml:5"],
    ]


def test_two_patterns_that_meet_at_several_endpoints_are_shown_once(write, planned):
    ports = "".join(
        f"  - {{name: live{port}, address: 127.0.0.1, port: {port}, protocol: ws}}\n" for port in (8091, 8092)
    )
    write(f"endpoints:\n{ports}signals: [{{path: /a}}, {{path: /<b>}}]")
    _, (_, paths) = planned()
    assert len(paths) == 3


@pytest.mark.parametrize("arguments", [(), ("--against", "old.yaml")])
def test_problems_are_shown_in_place_of_changes(write, signalpost, folder, arguments):
    write()
    (folder / "routes.yaml").rename(folder / "old.yaml")
    write("limits: {mesage: 1MiB}")
    result = signalpost("plan", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("routes.yaml:4:10: limits.mesage: no key")


def test_on_a_terminal_changes_have_colours_and_every_run_has_its_line(write, terminal):
    write(NEW)
    shown = terminal("plan")
    assert "\x1b[32m+" in shown
    runs = re.findall(r"^(.*)\d{4}-\d\d-\d\d 00:00:00 (?:GMT|BST)$", shown, re.MULTILINE)
    assert [each.split() for each in runs] == [["nightly", "Europe/London"], [], [], [], []]


class TestRecord:
    def test_a_record_is_for_its_owner_only_and_holds_no_values(self, write, serve, folder):
        write("signals: [{path: /a, schema: {const: hunter2}}]")
        serve()
        record = record_path("routes.yaml")
        assert record == folder / ".signalpost" / "routes.yaml.running"
        assert record.stat().st_mode & 0o777 == 0o600
        assert "hunter2" not in record.read_text()
        data = json.loads(record.read_text())
        assert data["process"] == os.getpid()
        assert data["plan"]["signals"][0][0] == "/a"

    def test_a_record_is_found_from_another_folder(self, write, serve, folder, monkeypatch):
        write()
        serve()
        monkeypatch.chdir(folder.parent)
        assert read_record("app/routes.yaml").process == os.getpid()

    def test_a_new_record_takes_the_place_of_the_old_one(self, write, serve):
        write()
        recorder = serve()
        write("signals: [{path: /a}]")
        plan = load_plan("routes.yaml")
        recorder.write(plan)
        assert read_record("routes.yaml").things == snapshot(plan)
        assert [each.name for each in record_path("routes.yaml").parent.iterdir()] == ["routes.yaml.running"]

    def test_a_record_that_is_removed_is_gone(self, write, serve):
        write()
        recorder = serve()
        recorder.remove()
        recorder.remove()
        assert read_record("routes.yaml") is None
        assert not record_path("routes.yaml").exists()

    def test_a_second_server_of_one_file_leaves_the_record_of_the_first_alone(self, write, serve):
        write()
        serve()
        before = record_path("routes.yaml").stat().st_ino
        serve().remove()
        assert record_path("routes.yaml").stat().st_ino == before

    def test_where_a_record_cannot_be_written_there_is_none(self, write, serve, folder):
        (folder / ".signalpost").write_text("in the way")
        write()
        serve().remove()
        assert (folder / ".signalpost").read_text() == "in the way"

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"signalpost": "0.0.1"}'])
    def test_a_record_of_another_version_is_said_to_be_so(self, write, serve, signalpost, content):
        write()
        serve()
        record_path("routes.yaml").write_text(content)
        result = signalpost("plan")
        assert (result.exit_code, result.stdout) == (1, "")
        assert re.fullmatch(
            r"signalpost: the server that runs from routes\.yaml is not of this version of signalpost \(.*\): "
            r"start it again; --against FILE compares two files\n",
            result.stderr,
        )
