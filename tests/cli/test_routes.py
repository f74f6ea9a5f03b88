"""`signalpost routes` and `plugins`: what there is, readable at every width."""

import re

import pytest

PLUGIN = """
    from signalpost import hookimpl, route, signal, timer

    __version__ = "1.2"

    @hookimpl
    def startup(context): ...

    @hookimpl
    def client_connected(client): ...

    @signal("echo")
    async def echo(event): ...

    @route("publish", path="/publish", schema={"type": "object"})
    async def publish(event): ...

    @timer("tick", every="250ms")
    async def tick(event): ...

    @signal("idle")
    async def idle(event): ...
"""

APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: "live[1]", address: "*", port: 80, protocol: ws}
routes:
  - {path: /, file: web/index.html}
  - {path: /bell, method: [POST, PUT], broadcast: {value: ding}}
signals:
  - {path: "/rooms/<room>", rebroadcast: path}
  - {path: /echo, handler: echo}
  - {path: /raw, format: raw}
timers:
  - {name: late, every: 1m, skip: 2, broadcast: {value: x}}
  - {name: soon, every: 1m, on_start: true, broadcast: {value: x}}
schedules:
  - {name: "night[ly]", cron: "0 0 * * *", timezone: Europe/London, broadcast: {value: x}}
  - {name: past, cron: "0 0 * * *", end: 2020-01-01, broadcast: {value: x}}
"""


@pytest.fixture
def app(write, folder):
    (folder / "web").mkdir()
    (folder / "web" / "index.html").touch()
    write(APP, chat=PLUGIN)


@pytest.fixture
def rows(app, signalpost):
    """Give a command and return its rows, each as the list of its cells, without the spaces between columns."""

    def give(command):
        result = signalpost(command)
        assert (result.exit_code, result.stderr) == (0, "")
        assert all(line == line.rstrip() for line in result.stdout.splitlines())
        return [re.split(r" {2,}", line) for line in result.stdout.splitlines()]

    return give


def test_routes_shows_what_is_served_where_and_who_owns_it(rows):
    found = rows("routes")
    assert found[: found.index(["jobs"])] == [
        ["web", "http://127.0.0.1:8090"],
        ["what", "path", "does", "from"],
        ["GET", "/", "file web/index.html", "routes.yaml:5"],
        ["POST PUT", "/bell", "broadcast, respond", "routes.yaml:6"],
        ["POST", "/publish", "handler publish (chat), checked by a schema", "chat"],
        [""],
        ["live[1]", "ws://localhost"],
        ["what", "path", "does", "from"],
        ["signal", "/rooms/<room>", "re-broadcast to path", "routes.yaml:8"],
        ["signal", "/echo", "handler echo (chat)", "routes.yaml:9"],
        ["signal", "/raw", "relays frames to everyone", "routes.yaml:10"],
        ["signal", "any other", "re-broadcast to everyone, or as asked", "undeclared"],
        [""],
    ]


def test_routes_shows_what_serves_the_client(write, signalpost):
    write("routes: [{path: /signalpost.js, client: true}]")
    assert re.search(r"^GET +/signalpost.js +the client for browsers +", signalpost("routes").stdout, re.MULTILINE)


def test_routes_shows_each_jobs_next_runs(rows):
    found = rows("routes")
    jobs = {name: cells for name, *cells in found[found.index(["jobs"]) + 2 :]}
    nightly = jobs.pop("night[ly]")
    (note,) = (name for name in list(jobs) if name.startswith("note: ") and not jobs.pop(name))
    assert 'routes.yaml:16: the schedule "past" does not run any more' in note
    assert jobs == {
        "late": ["every 60 s", "broadcast", "first 180 s after the start", "routes.yaml:12"],
        "soon": ["every 60 s", "broadcast", "at the start", "routes.yaml:13"],
        "past": ["0 0 * * *", "broadcast", "never again", "routes.yaml:16"],
        "tick": ["every 0.25 s", "handler tick (chat)", "first 0.25 s after the start", "chat"],
    }
    assert nightly[0] == "0 0 * * * Europe/London"
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d 00:00:00 (GMT|BST)(, )?){3}", nightly[2])


FEEDS = """
feeds:
  - {name: prices, url: "wss://ann:hunter2@feed.example.com/ticker?key=hunter2", broadcast: {value: x, path: /prices}}
  - {name: hidden, url: !secret feed, headers: {authorization: !secret token}, do: [{log: x}, {broadcast: {value: y}}]}
"""


@pytest.mark.parametrize("command", ["routes", "plan"])
def test_a_feed_is_shown_without_what_is_secret(write, signalpost, folder, command):
    (folder / "secrets.yaml").write_text("feed: ws://feed.example.com/hunter2-path\ntoken: hunter2-token\n")
    write(FEEDS)
    found = signalpost(command).stdout
    assert "hunter2" not in found
    rows = [re.split(r" {2,}", line) for line in found.partition("\nfeeds\n")[2].splitlines()[:3]]
    assert [row[:2] for row in rows[1:]] == [["prices", "wss://feed.example.com/ticker"], ["hidden", "!secret feed"]]
    if command == "routes":
        assert rows[2][2:] == ["log, broadcast", "routes.yaml:7"]


def test_routes_says_so_when_other_paths_are_refused(write, signalpost):
    write("undeclared: refuse")
    assert re.search(r"^signal +any other +refused \(404\) +undeclared$", signalpost("routes").stdout, re.MULTILINE)


def test_plugins_shows_version_source_hooks_and_where_each_handler_is_bound(rows):
    assert rows("plugins") == [
        ["plugin", "version", "source", "hooks", "offers", "name", "used by"],
        ["chat", "1.2", "plugins/chat.py", "client_connected, startup", "handler", "echo", "signal /echo"],
        ["", "handler", "publish", "route /publish"],
        ["", "handler", "tick", "timer tick"],
        ["", "handler", "idle", "nothing"],
    ]


def test_plugins_shows_actions_with_who_takes_them_and_what_templates_are_given(write, signalpost):
    write(
        """
        signals:
          - {path: /a, connected: [{ring: 1}], from_elsewhere: true}
          - {path: /b, do: [{if: "{{ message }}", then: [{ring: 1}]}]}
        timers: [{name: t, every: 1s, do: [{ring: 1}]}]
        """,
        bell="""
        from signalpost import action, hookimpl

        @action("ring")
        def ring(event, options): ...

        @action("chime")
        def chime(event, options): ...

        @hookimpl
        def template_globals():
            return {"bells": 3}

        @hookimpl
        def template_filters():
            return {"loud": str.upper}
        """,
    )
    lines = [line.split() for line in signalpost("plugins").stdout.splitlines()[1:]]
    hooks = ["template_filters,", "template_globals"]
    assert lines == [
        ["bell", "-", "plugins/bell.py", *hooks, "action", "ring", "signal", "/a,", "signal", "/b,", "timer", "t"],
        ["action", "chime", "nothing"],
        ["template", "name", "bells", "-"],
        ["filter", "loud", "-"],
    ]


def test_plugins_shows_one_that_has_only_hooks(write, signalpost):
    write(quiet="from signalpost import hookimpl\n\n@hookimpl\ndef startup(context): ...\n")
    row = signalpost("plugins").stdout.splitlines()[1]
    assert row.split() == ["quiet", "-", "plugins/quiet.py", "startup", "-", "-", "-"]


def test_an_app_without_plugins_says_so(write, signalpost):
    write()
    assert signalpost("plugins").stdout == "no plugins in plugins/, and none installed\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["routes", "plugins"])
@pytest.mark.parametrize("columns", [20, 80])
def test_no_word_is_cut_at_any_width(app, terminal, signalpost, command, columns):
    words = set(signalpost(command).stdout.split())
    shown = terminal(command, columns=columns, NO_COLOR="1")
    assert set(shown.split()) == words


def test_a_wide_enough_terminal_is_not_exceeded(app, terminal):
    shown = terminal("routes", columns=100, NO_COLOR="1")
    assert max(len(line) for line in shown.splitlines() if not line.startswith("note: ")) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("columns", [None, "40"])
def test_through_a_pipe_every_row_is_one_line_and_has_no_colour(app, process, columns):
    out, _ = process("routes", TERM="xterm", **({"COLUMNS": columns} if columns else {})).communicate()
    assert "\x1b" not in out
    (nightly,) = [line for line in out.splitlines() if line.startswith("night[ly]")]
    assert nightly.endswith("routes.yaml:15")


@pytest.mark.slow
def test_a_terminal_shows_headings_in_bold_and_no_color_is_heard(app, terminal):
    assert "\x1b[1mweb" in terminal("routes")
    assert "\x1b" not in terminal("routes", NO_COLOR="1")


def test_where_nodes_share_jobs_each_says_on_which_it_runs(write, signalpost):
    write("""
        backplane: redis://app:hunter2@10.0.0.5/0
        timers:
          - {name: first, every: 1h, broadcast: {value: 1}}
          - {name: all, every: 1h, on: every, broadcast: {value: 1}}
        schedules: [{name: nightly, cron: "0 0 * * *", on: one, timezone: Europe/London, broadcast: {value: 1}}]
    """)
    shown = signalpost("routes").output
    assert "every 3600 s, on one node " in shown
    assert "every 3600 s, on every node " in shown
    assert "0 0 * * * Europe/London, on one node " in shown
    assert "hunter2" not in shown
