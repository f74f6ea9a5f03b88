"""routes.yaml as a whole: what it becomes, and that all its problems come at once."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from signalpost.actions.builtin import routes_schema
from signalpost.config.model import (
    LimitsConfig,
    MessageFormat,
    PluginsConfig,
    Rebroadcast,
    RequestedTarget,
    ScheduleTiming,
    Scheme,
    ServerConfig,
    TimerTiming,
)
from signalpost.units import parse_duration, parse_size, parse_wait

WHOLE = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8090, protocol: ws, origins: ["https://App.example.com:443"]}
plugins:
  folder: plugins
  disable: [nightly]
  settings: {clock: {format: "%H:%M:%S"}}
routes:
  - {path: /, file: web/index.html}
  - {path: /assets, static: web}
  - {path: /hello/<name>, view: web/hello.html, endpoint: web}
  - {path: /publish, handler: publish, schema: {type: object}}
  - {path: /news, method: [PUT, PATCH], broadcast: {value: {a: 1}, path: /news/, group: g}}
undeclared: refuse
signals:
  - {path: /}
  - {path: /rooms/<room>, rebroadcast: path, targets: [path], endpoint: [live]}
  - {path: /shout, handler: shout, schema: true}
  - {path: /yjs, format: raw, rebroadcast: others}
timers:
  - {name: tick, every: 250ms, handler: tick, limit: 3, skip: 1, on_start: true, arguments: {a: 1}}
schedules:
  - name: nightly
    cron: ["0 0 * * *", "@daily"]
    timezone: Europe/London
    start: 2027-01-01
    end: 2027-06-01T12:00:00Z
    timeout: 10m
    max_runs: 1
    broadcast: {value: night}
handlers: {tock: off}
limits: {message: 4MiB, connections: 10, handshake: 1m, outbox: 64KiB}
"""


@pytest.fixture
def whole(config) -> ServerConfig:
    return config(WHOLE)


def test_endpoints_are_read(whole):
    web, live = whole.endpoints
    assert (web.name, web.address, web.port, web.scheme, web.tls) == ("web", "127.0.0.1", 8090, Scheme.HTTP, None)
    assert live.origins == ("https://app.example.com",)


def test_routes_are_read(whole, app):
    index, assets, hello, publish, news = whole.routes
    assert (index.file, index.methods) == (app / "web/index.html", ("GET",))
    assert (assets.static, assets.path.text) == (app / "web", "/assets")
    assert (hello.view, hello.endpoints) == (app / "web/hello.html", ("web",))
    assert (publish.handler, publish.methods) == ("publish", ("POST",))
    assert publish.schema is not None
    assert publish.schema.document == {"type": "object"}
    assert news.methods == ("PUT", "PATCH")
    assert [(step.name, step.options) for step in news.do] == [
        ("broadcast", {"value": {"a": 1}, "path": "/news/", "group": "g"}),
        ("respond", {"status": 202, "json": {"sent": True, "matched": "{{ matched }}"}}),
    ]


def test_signals_are_read(whole):
    root, rooms, shout, yjs = whole.signals
    assert (root.rebroadcast, root.targets, root.format) == (
        Rebroadcast.EVERYONE,
        frozenset(RequestedTarget) - {RequestedTarget.USER},
        MessageFormat.JSON,
    )
    assert (rooms.rebroadcast, rooms.targets, rooms.endpoints) == (Rebroadcast.PATH, {RequestedTarget.PATH}, ("live",))
    assert shout.schema is not None
    assert (shout.handler, shout.schema.document) == ("shout", True)
    assert (yjs.format, yjs.rebroadcast) == (MessageFormat.RAW, Rebroadcast.OTHERS)


def test_jobs_are_read(whole):
    (tick,), (nightly,) = whole.timers, whole.schedules
    assert tick.timing == TimerTiming(0.25, limit=3, skip=1, on_start=True, arguments={"a": 1})
    assert nightly.timing == ScheduleTiming(
        ("0 0 * * *", "@daily"),
        ZoneInfo("Europe/London"),
        datetime(2027, 1, 1, tzinfo=ZoneInfo("Europe/London")),
        datetime(2027, 6, 1, 12, tzinfo=UTC),
        timeout=600.0,
        max_runs=1,
    )


def test_the_sections_about_the_whole_server_are_read(whole, app):
    assert whole.plugins == PluginsConfig(
        app / "plugins", disable=("nightly",), settings={"clock": {"format": "%H:%M:%S"}}
    )
    assert whole.limits == LimitsConfig(message=4 * 2**20, connections=10, handshake=60.0, outbox=65536)
    assert (whole.undeclared_refused, whole.unbound) == (True, {"tock"})


def test_what_is_not_said_is_as_the_routes_schema_documents_it(config):
    read = config("timers: [{name: t, every: 1s, handler: h}]\nsignals: [{path: /}]")
    sections = routes_schema()["properties"]
    kinds = routes_schema()["$defs"]
    limits = {name: each.get("default") for name, each in sections["limits"]["properties"].items()}
    assert read.limits == LimitsConfig(
        parse_size(limits["message"]),
        limits["connections"],
        parse_duration(limits["handshake"]),
        parse_size(limits["head"]),
        parse_size(limits["outbox"]),
        drain=parse_wait(limits["drain"]),
        startup=parse_duration(limits["startup"]),
        response=parse_duration(limits["response"]),
    )
    assert read.plugins.folder.name == sections["plugins"]["properties"]["folder"]["default"]
    assert read.undeclared_refused == (sections["undeclared"]["default"] == "refuse")
    signal = {name: each.get("default") for name, each in kinds["signal"]["properties"].items()}
    assert (read.signals[0].rebroadcast, read.signals[0].format) == (signal["rebroadcast"], signal["format"])
    assert read.signals[0].targets == set(signal["targets"])
    assert read.signals[0].slow.policy == kinds["signal"]["properties"]["slow"]["properties"]["policy"]["default"]
    timer = {name: each.get("default") for name, each in kinds["timer"]["properties"].items()}
    assert (read.timers[0].timing.limit, read.timers[0].timing.skip) == (timer["limit"], timer["skip"])


def test_the_source_names_places_for_problems_that_are_found_later(whole):
    problem = whole.source.problem(("signals", 2, "handler"), 'no handler named "shout"')
    assert str(problem).startswith('routes.yaml:19:29: signals[2].handler: no handler named "shout"')
    assert (problem.source, problem.width) == ("  - {path: /shout, handler: shout, schema: true}", 5)
    assert whole.source.place(("timers", 0)) == "routes.yaml:22"
    of_key = whole.source.problem(("schedules", 0, "cron"), "x", of_key=True)
    assert (of_key.column, of_key.width) == (5, 4)
    beyond = whole.source.problem(("schedules", 0, "nothing", "here"), "x")
    assert (beyond.line, beyond.keys) == (24, "schedules[0].nothing.here")
    assert whole.source.problem(("handlers", "a b"), "x").keys == 'handlers["a b"]'


def test_all_problems_come_at_once_whatever_their_kind(problems):
    found = problems("""\
        endpoints:
          - {name: web, address: 127.0.0.1, port: 80900, protocol: http}
        routs: []
        signals:
          - {path: /a, handler: 5}
          - {path: /A}
        timers:
          - {name: t, every: 0s, handler: t}
          - {name: t, every: 1s, handler: t, handler: u}
        limits: {message: 1e999}
        """)
    assert [each.split(": ")[0] for each in found] == ["2:43", "3:1", "5:25", "6:12", "8:22", "9:12", "9:38", "10:19"]


def test_a_value_that_could_not_be_read_is_reported_once(problems):
    assert problems("timers: [{name: t, every: 1e999, handler: t}]") == [
        "4:27: timers[0].every: 1e999 is too large for a number; quote it if it is text"
    ]


def test_lines_are_those_of_editors(problems):
    assert problems("# \u2028 \x85\r\nlimits: {x: 1}")[0].startswith("5:10: limits.x")


@pytest.mark.parametrize("text", ["[]", "5", "hello", "null", "- endpoints: 1"])
def test_a_file_that_is_no_mapping_says_so(problems, text):
    (found,) = problems(f"# endpoints:\n{text}")
    assert "must be a mapping" in found


def test_a_file_without_endpoints_shows_an_example(problems):
    (found,) = problems("routes: [] # endpoints:")
    assert found.startswith('1:1: no key "endpoints", so the server would listen nowhere; add for example')
    assert found.endswith("endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]")


def test_an_unclosed_bracket_names_the_line_of_its_opening(problems):
    (found,) = problems("routes:\n  - {path: /x, handler: h\n  - {path: /y, handler: h}")
    assert found.startswith("6:5: ")
    assert found.endswith("(it starts in routes.yaml:5)")
