"""Routes, signals, timers, schedules and plugins: what the routes schema cannot judge."""

import os

import pytest

WS_ONLY = "endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]\n"
HTTP_ONLY = "endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("routes: [{path: a, handler: h}]", "routes[0].path: a path starts with \"/\": write '/a'"),
        ("routes: [{path: /, file: web/indx.html}]", 'routes[0].file: no file "web/indx.html" in the folder of routes'),
        ("routes: [{path: /, file: web/indx.html}]", 'did you mean "web/index.html"?'),
        ("routes: [{path: /, view: hello.html}]", 'did you mean "web/hello.html"?'),
        ("routes: [{path: /, file: 'web\\index.html'}]", "folders are parted by /, not by a backslash"),
        ("routes: [{path: /, file: web}]", 'routes[0].file: "web" is a folder; a file is meant here'),
        ("routes: [{path: /, static: web/index.html}]", '"web/index.html" is a file; a folder is meant here'),
        ("routes: [{path: /, static: weeb}]", 'routes[0].static: no folder "weeb"'),
        ("routes: [{path: /<a>, static: web}]", "the path of a static folder has no parameters: 'a' is one"),
        ("routes: [{path: /a, handler: h, params: {}}]", "routes[0].params: the path /a has no parameters"),
        (
            "routes: [{path: /<celsius>, handler: h, params: {properties: {celsus: {type: number}}}}]",
            'no parameter named "celsus"; did you mean "celsius"? (known: celsius) in the path /<celsius>',
        ),
        (
            "routes: [{path: /<a>/<b:int>, handler: h, params: {required: [a, b, c]}}]",
            'routes[0].params: no parameter named "c" (known: a, b) in the path /<a>/<b:int>',
        ),
        ("routes: [{path: /, static: web, method: POST}]", "a file is only read: POST needs a handler (allowed: GET)"),
        ("routes: [{path: /a.js, client: false}]", "routes[0].client: false is not allowed here (allowed: true)"),
        ("routes: [{path: /a.js, client: true, file: web/index.html}]", "must be given, not file and client together"),
        (
            "routes: [{path: /a.js, client: true, method: PUT}]",
            "a file is only read: PUT needs a handler (allowed: GET)",
        ),
        ("routes: [{path: /<a>, client: true, params: {}}]", "a file is sent whatever the params"),
        ("routes: [{path: /a.js, client: true, schema: true}]", "it needs a handler, a broadcast or do"),
        ("routes: [{path: /, view: web/broken.html}]", "routes[0].view: web/broken.html:1: "),
        ('routes: [{path: /, file: "a\\0b"}]', "a file's name has no null characters"),
        ("routes: [{path: /, file: web/index.html, schema: true}]", "it needs a handler, a broadcast or do"),
        ("routes: [{path: /, handler: h, endpoint: lve}]", 'no endpoint named "lve"; did you mean "live"? (known: web'),
        (
            "routes: [{path: /, handler: h, endpoint: [live]}]",
            'routes[0].endpoint[0]: the endpoint "live" is ws; a rout',
        ),
        (
            "routes: [{path: /, broadcast: {value: 1, path: /a/<b>}}]",
            "routes[0].broadcast.path: one path is meant",
        ),
        ("signals: [{path: /, endpoint: web}]", 'the endpoint "web" is http; a signal needs one that is ws or wss (kn'),
        ("signals: [{path: /, format: raw, handler: h}]", "signals[0].handler: format: raw relays frames unread"),
        ("signals: [{path: /, format: raw, schema: {}, targets: [path]}]", "signals[0].targets: format: raw relays"),
        (
            "timers: [{name: t, every: 5 sec, handler: h}]",
            'timers[0].every: "5 sec" is not a duration; did you mean "5s"',
        ),
        ("schedules: [{name: s, cron: '@daily', handler: h, timezone: Europe/Londn}]", 'did you mean "Europe/London"?'),
        ("schedules: [{name: s, cron: '@daily', handler: h, timezone: new york}]", 'did you mean "America/New_York"?'),
        ("schedules: [{name: s, cron: '@daily', handler: h, timezone: Europe}]", 'no time zone "Europe"'),
        ("schedules: [{name: s, cron: '@daily', handler: h, timezone: /etc/passwd}]", 'no time zone "/etc/passwd"'),
        (
            "schedules: [{name: s, cron: '@daily', handler: h, start: tomorrow}]",
            '"tomorrow" is no date or time (allowed: ISO 86',
        ),
        ("schedules: [{name: s, cron: '@daily', handler: h, start: 0001-01-01}]", "years are 1970 to 9998"),
        (
            "schedules: [{name: s, cron: '@daily', handler: h, start: 2027-01-02, end: 2027-01-01}]",
            "must be after start (2027-",
        ),
        ("schedules: [{name: s, cron: '@daily', handler: h, timeout: 0}]", "schedules[0].timeout: 0 is no duration"),
        ("limits: {message: 1 MB}", 'limits.message: "1 MB" is not a size; did you mean "1MB"?'),
        ("limits: {handshake: -1}", "limits.handshake: -1 is no duration: it must be above 0"),
        ("plugins: {folder: plugin}", 'plugins.folder: no folder "plugin" in the folder of routes.yaml'),
    ],
)
def test_a_value_that_cannot_be(problems, text, says):
    found = problems(text)
    assert any(says in each for each in found), found
    assert len(found) == 1 + ("schema: {}, targets" in text)


@pytest.mark.parametrize("key", ["file", "static", "view", "handler: h, schema"])
def test_a_name_that_is_too_long_for_any_file_says_so(problems, key):
    (found,) = problems(f"routes: [{{path: /, {key}: {'x' * 300}}}]")
    assert "cannot be read: file name too long" in found


def test_what_may_not_be_read_says_so(problems, app):
    (app / "secret.html").write_text("")
    (app / "secret.html").chmod(0)
    if os.access(app / "secret.html", os.R_OK):
        pytest.skip("this user may read everything")
    assert "may not be read by this user" in problems("routes: [{path: /, file: secret.html}]")[0]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{path: /a, handler: h}", "{path: /a, handler: i}"),
        ("{path: /a/<b>, handler: h}", "{path: /a/<c>, handler: i}"),
        ("{path: /a, handler: h, method: [GET, POST]}", "{path: /a/, file: web/index.html}"),
        ("{path: /a, static: web}", "{path: /a/<f:path>, handler: h, method: GET}"),
        ("{path: /a, handler: h, endpoint: web}", "{path: /a, handler: i}"),
    ],
)
def test_two_routes_for_one_request_name_both_places(problems, one, two):
    (found,) = problems(f"routes:\n  - {one}\n  - {two}")
    assert found.startswith("6:")
    assert "is taken by the route" in found
    assert found.endswith("at routes.yaml:5")


def test_routes_of_other_methods_cases_types_or_endpoints_stand_beside_each_other(config):
    read = config("""\
        endpoints:
          - {name: a, address: 127.0.0.1, port: 1, protocol: http}
          - {name: b, address: 127.0.0.1, port: 2, protocol: http}
        routes:
          - {path: /x, handler: h, endpoint: a}
          - {path: /x, handler: h, endpoint: b}
          - {path: /X, handler: h}
          - {path: /x, handler: h, method: GET}
          - {path: /x/<n:int>, handler: h}
          - {path: /x/<n>, handler: h}
        """)
    assert len(read.routes) == 6


def test_two_signals_on_one_path_name_both_places_whatever_their_case(problems):
    (found,) = problems("signals:\n  - {path: /Rooms/<a>}\n  - {path: /rooms/<b>, handler: h}")
    assert found == "6:12: signals[1].path: the path /rooms/<b> is taken by the signal /Rooms/<a> at routes.yaml:5"


def test_a_job_name_is_unique_among_timers_and_schedules(problems):
    found = problems(
        "timers: [{name: a, every: 1s, handler: h}]\nschedules: [{name: a, cron: '* * * * *', handler: h}]"
    )
    assert found == ['5:20: schedules[0].name: the name "a" is taken by the job at routes.yaml:4']


def test_routes_need_an_http_endpoint_and_signals_a_ws_endpoint(problems):
    assert (
        "no endpoint is http or https, so nothing serves these"
        in problems(WS_ONLY + "routes: [{path: /, handler: h}]")[0]
    )
    assert "no endpoint is ws or wss, so nobody can connect" in problems(HTTP_ONLY + "signals: [{path: /}]")[0]


def test_an_endpoint_that_is_itself_wrong_is_not_missed_elsewhere(problems):
    found = problems("""\
        endpoints: [{name: live, address: 127.0.0.1, port: 80910, protocol: ws}]
        signals: [{path: /, endpoint: live}]
        """)
    assert len(found) == 1


def test_a_moment_without_a_zone_and_offset_is_the_systems(config):
    (job,) = config("schedules: [{name: s, cron: '@daily', handler: h, start: 2027-01-01T09:00:00}]").schedules
    start = job.timing.start
    assert start is not None
    assert start.tzinfo is not None
    assert start.hour == 9


def test_a_bad_cron_expression_is_a_problem_at_its_place_and_all_of_them_are_told(problems):
    found = problems("""\
        endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]
        schedules:
          - {name: a, cron: 61 * * * *, handler: h}
          - {name: b, cron: [61 * * * *], handler: h}
          - {name: c, cron: ["@daily", "* * *", "@dialy"], handler: h}
        """)
    assert [each.partition(": ")[0::2][0] for each in found] == ["3:21", "4:21", "5:32", "5:41"]
    assert found[0].startswith("3:21: schedules[0].cron: minute")
    assert found[1].startswith("4:21: schedules[1].cron: minute")
    assert found[3].startswith("5:41: schedules[2].cron[2]: ")


def test_a_plugins_folder_that_is_not_named_need_not_exist(config, app):
    assert config("plugins: {}").plugins.folder == app / "plugins"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("handler: shout, parallel: 2.0, from_elsewhere: false", ("shout", 2, False)),
        ("from_elsewhere: true", (None, 1, True)),
        ("", (None, 1, None)),
    ],
)
def test_plain_keys_of_a_signal_are_what_the_file_has(config, said, read):
    signal = config(f"signals: [{{path: /chat, {said}}}]").signals[0]
    assert (signal.handler, signal.parallel, signal.from_elsewhere) == read
