"""`signalpost explain`: what takes a path, and why not the others."""

import re

import pytest

APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
routes:
  - {path: /pages, static: web}
  - {path: "/pages/<name>", method: [POST], handler: publish, schema: {type: object, required: [message]}}
  - {path: "/pages/<name>", method: PUT, handler: replace}
  - {path: "/<rest:path>", file: web/index.html}
signals:
  - {path: "/rooms/<room>", targets: [path], rebroadcast: path}
  - {path: /Rooms/lobby, schema: {type: object, required: [message]}}
  - {path: "/rooms/<number:int>", targets: []}
  - {path: "/<any:path>", handler: echo}
"""
PLUGIN = """
    from signalpost import route, signal

    @signal("echo")
    async def echo(event): ...

    @route("publish")
    async def publish(event): ...

    @route("replace")
    async def replace(event): ...

    @route("other", path="/other")
    async def other(event): ...
"""


@pytest.fixture
def facts(write, folder, signalpost):
    """Give the command; return what is said of each endpoint, as (label, text) each."""
    (folder / "web").mkdir()
    (folder / "web" / "index.html").touch()
    write(APP, chat=PLUGIN)

    def give(*arguments):
        result = signalpost("explain", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        said, name = {}, ""
        for line in result.stdout.splitlines():
            if line.startswith("  "):
                said[name].append(tuple(re.split(" {3,}", line[2:], maxsplit=1)))
            elif line:
                name = line.split()[0]
                said[name] = []
        return said

    return give


def test_a_signal_is_shown_with_its_place_and_those_that_it_goes_before(facts):
    assert facts("/ROOMS/LOBBY")["live"] == [
        ("signal", "/Rooms/lobby  (routes.yaml:11)"),
        ("schema", '{"type": "object", "required": ["message"]}'),
        ("does", "re-broadcast to everyone"),
        ("targets", "a client may choose path, clientId, group, direct"),
        ("rather than", "/rooms/<room>  (routes.yaml:10): lobby goes before <room>"),
        ("rather than", "/<any:path>  (routes.yaml:13): Rooms goes before <any:path>"),
    ]


def test_parameters_are_shown_with_their_values_and_types(facts):
    live = facts("/rooms/7?since=3")["live"]
    assert live[:3] == [
        ("signal", "/rooms/<number:int>  (routes.yaml:12)"),
        ("params", "number = 7"),
        ("schema", "none: every message passes"),
    ]
    assert ("targets", "a client may choose nothing") in live
    assert facts("/rooms/a%20b")["live"][1] == ("params", 'room = "a b"')


def test_a_handler_is_shown_with_its_plugin(facts):
    assert ("does", "handler echo (chat)") in facts("/x/y")["live"]


def test_actions_are_shown_as_they_stand_in_the_file(write, signalpost):
    write("""
        signals:
          - path: /a
            connected: [{log: come}]
            do:
              - if: "{{ message }}"
                then: [{reply: {value: "{{ message }}"}}]
                else:
                  - for: {each: one, in: [1, 2]}
                    do: [{log: "{{ one }}"}]
    """)
    live = signalpost("explain", "/a").stdout.partition("schema")[2].splitlines()[1:]
    assert [line.rstrip() for line in live] == [
        '  does        if: "{{ message }}"',
        "              then:",
        '                reply: {"value": "{{ message }}"}',
        "              else:",
        '                for: {"each": "one", "in": [1, 2]}',
        "                do:",
        '                  log: "{{ one }}"',
        '  connected   log: "come"',
    ]


def test_schemas_for_queries_and_parameters_are_shown(write, signalpost):
    write("""\
        endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]
        routes:
          - path: /figures/<value>
            params: {properties: {value: {type: number}}}
            query: {properties: {least: {type: number}}}
            do: [{respond: {text: here}}]
    """)
    shown = signalpost("explain", "/figures/21.5?least=4").stdout
    assert '  of params   {"properties": {"value": {"type": "number"}}}\n' in shown
    assert '  of query    {"properties": {"least": {"type": "number"}}}\n' in shown


def test_routes_of_one_path_are_told_apart_by_method(facts):
    assert facts("/pages/a.html")["web"] == [
        ("route", "POST /pages/<name>  (routes.yaml:6)"),
        ("params", 'name = "a.html"'),
        ("schema", '{"type": "object", "required": ["message"]}'),
        ("does", "handler publish (chat)"),
        ("route", "PUT /pages/<name>  (routes.yaml:7)"),
        ("params", 'name = "a.html"'),
        ("schema", "none: every body passes"),
        ("does", "handler replace (chat)"),
        ("rather than", "GET /pages/<file:path>  (routes.yaml:5): <name> goes before <file:path>"),
        ("rather than", "GET /<rest:path>  (routes.yaml:8): pages goes before <rest:path>"),
    ]


def test_a_method_that_is_not_answered_is_said_to_be_405_and_who_took_the_path(facts):
    said = facts("/pages/a.html", "--method", "get")
    assert said.keys() == {"web"}
    assert said["web"][:2] == [
        ("route", "/pages/<name> does not answer GET (405), only POST, PUT"),
        ("from", "routes.yaml:6, routes.yaml:7"),
    ]


def test_head_falls_to_get(facts):
    assert facts("/pages", "--method", "HEAD")["web"][0] == ("route", "GET /pages  (routes.yaml:5)")


def test_a_decorators_route_is_its_plugins(facts):
    assert facts("/other", "--method", "POST")["web"][0] == ("route", "POST /other  (chat)")


def test_a_path_that_nothing_takes_is_said_to_be_so(write, signalpost):
    write("routes: [{path: /hello, broadcast: {value: x}}]\nsignals: [{path: /hello}]")
    text = signalpost("explain", "/helo").stdout
    assert 'route   none has this path (404); did you mean "/hello"?' in text
    assert 'signal   none has this path; did you mean "/hello"?' in text
    assert "re-broadcast to everyone, or as the client asks (undeclared: rebroadcast)" in text
    write("undeclared: refuse")
    assert "the handshake is refused with 404 (undeclared: refuse)" in signalpost("explain", "/helo").stdout


def test_pages_of_the_server_itself_are_shown_where_they_are(facts, write):
    write(f"{APP}monitor: {{metrics: /metrics, health: /health}}\n", chat=PLUGIN)
    place = "(routes.yaml:14)"
    assert facts("/metrics")["web"] == [("page", f"metrics of the server itself  {place}")]
    assert facts("/health/ready", "--method", "head")["web"] == [("page", f"health of the server itself  {place}")]
    assert facts("/metrics", "--method", "post")["web"][0][0] == "route"
    assert facts("/metrics/more")["web"][0][0] == "route"


def test_what_is_no_path_is_one_line(write, signalpost):
    write()
    result = signalpost("explain", "rooms")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == 'signalpost: a path starts with "/": signalpost explain /rooms\n'


def test_on_a_terminal_long_texts_are_wrapped_below_themselves(write, terminal):
    words = " ".join(["word"] * 12)
    write(f"""
        signals:
          - path: /a
            do:
              - if: "{{{{ message }}}}"
                then: [{{reply: {{value: {words}}}}}]
    """)
    shown = terminal("explain", "/a", columns=50, NO_COLOR="1").splitlines()
    assert max(map(len, shown)) <= 50
    first = next(number for number, line in enumerate(shown) if "reply" in line)
    assert [len(line) - len(line.lstrip()) for line in shown[first : first + 3]] == [13, 13, 13]
    assert " ".join(shown).count("word") == 12


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("history: 100", "the newest 100 of the last 10m"),
        ("history: {keep: 10000, for: 1d}", "the newest 10,000 of the last 1d"),
        ("history: {keep: 50, for: 90s, replay: 5}", "the newest 50 of the last 90s; newcomers read 5"),
        ("history: {keep: 5000, for: 1.5h, replay: 1000}", "the newest 5,000 of the last 90m; newcomers read 1,000"),
    ],
)
def test_what_is_kept_is_a_line_of_its_own(write, signalpost, said, kept):
    write(f"signals: [{{path: /kept, rebroadcast: path, {said}}}]")
    result = signalpost("explain", "/KEPT")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [re.split(" {2,}", line.strip()) for line in result.stdout.splitlines()]
    assert lines.count(["keeps", kept]) == 1
    assert lines.index(["does", "re-broadcast to path"]) + 1 == lines.index(["keeps", kept])


def test_presence_is_a_line_and_neither_is_said_where_it_is_not(write, signalpost):
    write("signals: [{path: /here, presence: true}, {path: /bare, presence: false}]")
    assert "  presence    clients of signalpost.v1 are told who is there\n" in re.sub(
        r"(?<=presence) +", "    ", signalpost("explain", "/here").stdout
    )
    bare = signalpost("explain", "/bare").stdout
    assert "presence" not in bare
    assert "keeps" not in bare
    assert "keeps" not in signalpost("explain", "/nowhere").stdout


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        ("5/m", "5/m for each address"),
        ("{requests: 20/s, per: user}", "20/s for each user"),
        ("{requests: 0.5/h, per: route}", "0.5/h for all"),
    ],
)
def test_a_rate_is_told_with_whose_requests_it_counts(write, signalpost, rate, says):
    write(
        "endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]\n"
        f"routes: [{{path: /, method: GET, rate: {rate}, do: [{{respond: {{text: hi}}}}]}}]\n"
    )
    assert re.search(rf"rate +{says}$", signalpost("explain", "/").stdout, re.MULTILINE)
