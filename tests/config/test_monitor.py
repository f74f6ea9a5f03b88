"""`monitor`: what is read, each mistake at its place, and what is noted."""

import pytest

from signalpost.config.monitormodel import MonitorConfig, PageConfig

KEYS = ("monitor",)
PAGES = "monitor: {metrics: /metrics, health: /health}"
TWO = """
endpoints:
  - {name: web, address: "*", port: 8090, protocol: http}
  - {name: ops, address: 127.0.0.1, port: 9090, protocol: http}
"""


def of(metrics=None, health=None):
    def page(name, where):
        return None if where is None else PageConfig((*KEYS, name), *where)

    return MonitorConfig(KEYS, page("metrics", metrics), page("health", health))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", None),
        (PAGES, of(("/metrics", "web"), ("/health", "web"))),
        ("monitor: {metrics: /a/b/}", of(("/a/b", "web"))),
        ("monitor: {health: /}", of(None, ("/", "web"))),
        (f"{TWO}monitor: {{endpoint: ops, metrics: /m}}", of(("/m", "ops"))),
        (
            f"{TWO}monitor: {{endpoint: ops, metrics: /m, health: {{path: /h, endpoint: web}}}}",
            of(("/m", "ops"), ("/h", "web")),
        ),
        (f"{TWO}monitor: {{metrics: {{path: /m, endpoint: ops}}}}", of(("/m", "ops"))),
    ],
)
def test_a_file_says_where_the_server_is_watched(config, said, read):
    assert config(said).monitor == read


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("monitor: {}", "at least one key"),
        ("monitor: {endpoint: web}", "this shows nothing; add metrics: /metrics, or health: /health"),
        ("monitor: {metrics: metrics}", 'a path starts with "/": write'),
        ("monitor: {metrics: 1}", "must be text or a mapping"),
        ("monitor: {metric: /m}", 'did you mean "metrics"?'),
        ("monitor: {metrics: {endpoint: web}}", 'the key "path" is missing, for example path: /health'),
        ("monitor: {metrics: /<name>}", "this page is at one path: leave <name> out"),
        ("monitor: {metrics: /m, endpoint: wbe}", 'did you mean "web"?'),
        (
            "monitor: {metrics: /m, endpoint: live}",
            'the endpoint "live" is ws; a route needs one that is http or https',
        ),
        (
            f"{TWO}monitor: {{health: /h}}",
            "which endpoint serves this? Add endpoint: web to monitor (known: web, ops)",
        ),
        (
            "endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]\nmonitor: {health: /h}",
            "no endpoint is http or https, so nothing serves this",
        ),
        (
            "routes: [{path: /metrics, file: web/index.html}]\nmonitor: {metrics: /metrics}",
            "GET /metrics is taken by the route /metrics at routes.yaml:4",
        ),
        (
            "routes: [{path: /health/ready, file: web/index.html}]\nmonitor: {health: /health}",
            "GET /health/ready is taken by the route /health/ready at routes.yaml:4",
        ),
        ("monitor: {metrics: /m, health: /m}", "GET /m is taken by another page of monitor at routes.yaml:4"),
        ("monitor: {console: /c}", "nobody has said who may use the console"),
        ("monitor: {health: /h, may: users}", "may says who may use the console, and there is none"),
        ("monitor: {console: /c, may: admins}", 'nobody is named "admins" here'),
        ("monitor: {console: /, may: users}", "the console needs a path of its own, such as /console"),
        (
            "routes: [{path: /c/data, file: web/index.html}]\nmonitor: {console: /c, may: users}",
            "what is below /c is the console's, and so would be the route /c/data at routes.yaml:4",
        ),
        ("monitor: {metrics: /m/ready, health: /m}", "GET /m/ready is taken by another page of monitor"),
    ],
)
def test_a_mistake_is_told_at_its_place(problems, said, problem):
    (found,) = problems(said)
    assert problem in found, found


def test_a_route_of_another_endpoint_or_method_does_not_take_the_path(config):
    said = f"""{TWO}
routes: [{{path: /m, file: web/index.html, endpoint: web}}, {{path: /h, endpoint: ops, broadcast: {{value: 1}}}}]
monitor: {{endpoint: ops, metrics: /m, health: /h}}
"""
    assert config(said).monitor == of(("/m", "ops"), ("/h", "ops"))


def test_pages_beyond_this_machine_are_noted_and_others_are_not(config):
    assert config(f"{TWO}monitor: {{endpoint: ops, metrics: /m, health: /h}}").notes == ()
    metrics, health = config(f"{TWO}monitor: {{endpoint: web, metrics: /m, health: /h}}").notes
    assert metrics.startswith('routes.yaml:5: /m is at the endpoint "web" (*), so whoever reaches that reads how many')
    assert health.startswith('routes.yaml:5: /h is at the endpoint "web" (*), so whoever reaches that reads whether')
    assert "an endpoint on 127.0.0.1" in metrics


def test_a_missing_package_is_noted_where_it_is_needed(config, monkeypatch):
    monkeypatch.setattr("signalpost.config.monitor.find_spec", lambda _: None)
    (note,) = config("monitor: {metrics: /metrics, health: /health}").notes
    assert note == (
        "routes.yaml:4: metrics need a package that is not installed here: pip install 'signalpost[metrics]'"
    )
    assert config("monitor: {health: /health}").notes == ()


def test_a_console_for_anyone_is_noted_and_one_for_some_is_not(config):
    (note,) = config("monitor: {console: /c, may: anyone}").notes
    assert note == "routes.yaml:4: anyone who reaches /c may read all messages there, and send clients away"
    assert config(f"{TWO}monitor: {{endpoint: web, console: /c, may: users}}").notes == ()
