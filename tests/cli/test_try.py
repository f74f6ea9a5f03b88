"""`signalpost try`: a message's way through a plan, without a server."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from signalpost.cli import cli

ROOT = Path(__file__).parents[2]
APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
  - {name: more, address: 127.0.0.1, port: 8092, protocol: ws}
signals:
  - path: /chat/<room>
    endpoint: live
    schema: {type: object, properties: {message: {type: string, minLength: 2}}}
    connected:
      - set: {"online.{{ client.id }}": true}
      - broadcast: {value: "{{ client.id }} came"}
    do:
      - if: "{{ message == '/bye' }}"
        then:
          - close: {reason: "bye, {{ client.id }}"}
          - stop: true
      - set: {"rooms.{{ params.room }}.count": "{{ state.count | default(0) + 1 }}"}
      - for: {each: one, in: "{{ clients }}"}
        do: [{log: "{{ one.id }}"}]
      - broadcast: {value: {text: "{{ message }}"}, path: "{{ path }}"}
  - {path: /shout, handler: shout}
  - {path: /called, do: [{shake: {hard: "{{ message }}"}}, {call: shout}, {reply: {value: done}}]}
  - {path: /others, rebroadcast: others, targets: [path]}
  - {path: /group, rebroadcast: group}
  - {path: /raw, format: raw, rebroadcast: sender}
  - {path: /divided, do: [{reply: {value: "{{ 1 / state.by }}"}}]}
  - {path: /only, endpoint: more}
routes:
  - path: /say/<who>
    method: POST
    schema: {type: object, required: [text]}
    do:
      - set: {last: "{{ data.text }}"}
      - broadcast: {value: "{{ params.who }} {{ request.query.how }}", path: /rooms}
      - if: "{{ data.text == 'call' }}"
        then: [{call: answer}, {shake: {hard: 1}}]
      - respond: {status: 202, json: {reached: "{{ matched }}"}, headers: {X-Room: rooms}}
  - {path: /nothing, method: PUT, do: [{log: x}]}
  - {path: /find, method: [GET, POST], schema: {required: [x]}, do: [{respond: {text: found}}]}
  - {path: /answer, handler: answer}
  - {path: /page, file: page.html}
"""
PLUGIN = """
    from pathlib import Path
    from signalpost import action, hookimpl, route, signal

    @hookimpl
    def startup(context):
        context.state["greeting"] = "hello"

    @hookimpl
    def shutdown(context):
        Path("shut").touch()

    @signal("shout")
    async def shout(event):
        if event.data.message == "fail":
            raise ValueError("too loud")
        event.broadcast(event.data.message.upper())

    @route("answer")
    async def answer(event):
        raise RuntimeError("called")

    @action("shake", schema={"type": "object", "required": ["hard"]})
    def shake(event, options):
        event.broadcast({"shaken": options["hard"]}, to="everyone")
"""


@pytest.fixture
def tried(write, signalpost, folder):
    """Give the command; return what is printed: by the title of each part its rows, each as the list of its cells."""
    (folder / "page.html").touch()
    write(APP, chat=PLUGIN)

    def give(*arguments):
        result = signalpost("try", *arguments)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        parts = {}
        for block in result.stdout.split("\n\n"):
            title, *rows = block.rstrip().splitlines()
            parts[title.split("  ")[0]] = [re.split(r" {3,}", row.strip()) for row in rows]
        return parts

    return give


def test_a_message_is_followed_through_every_step_to_those_who_receive_it(tried):
    parts = tried("/CHAT/blue", '{"Message": "hello"}')
    assert parts["live"] == [
        ["signal", "/chat/<room>  (routes.yaml:6)"],
        ["params", 'room = "blue"'],
        ["does", "if, close, stop, set, for, log, broadcast; connected: set, broadcast"],
    ]
    assert parts["what happens"] == [
        ["decode", 'message = "hello"; asks for nothing'],
        ["schema", "passes"],
        ["decide", "its actions, in their order"],
    ]
    first, *_, last = parts["steps"][1:]
    assert first == ["routes.yaml:13:9", "if", "false", "else"]
    assert parts["steps"][2] == ["routes.yaml:17:9", "set", '{"rooms.blue.count": 1}']
    assert [row[2] for row in parts["steps"] if row[1] == "log"] == [
        f'{{"message": "{name}", "level": "info"}}' for name in ("neighbour", "stranger", "you")
    ]
    assert last == [
        "routes.yaml:20:9",
        "broadcast",
        '{"value": {"text": "hello"}, "path": "/chat/blue"}',
        "reaches 2 clients",
    ]
    assert parts["who receives what"] == [
        ["client", "path", "groups", "receives"],
        ["neighbour", "/chat/blue", "-", '{"text":"hello"}'],
        ["stranger", "/", "-", "-"],
        ["you", "/chat/blue", "-", '{"text":"hello"}'],
    ]
    assert parts["state"] == [["online", '{"neighbour": true, "you": true}'], ["rooms", '{"blue": {"count": 1}}']]


def test_the_readmes_example_is_what_is_said_of_the_demo_app(signalpost, monkeypatch):
    monkeypatch.chdir(ROOT)
    command, said = re.search(
        r"```console\n\$ signalpost (try .*)\n((?:.*\n)*?)```", (ROOT / "README.md").read_text()
    ).groups()
    assert signalpost(*shlex.split(command)).stdout == said


def test_a_close_is_seen_by_the_one_who_is_closed(tried):
    parts = tried("/chat/blue", '{"message": "/bye"}')
    assert [row[1] for row in parts["steps"][1:]] == ["if", "close", "stop"]
    assert parts["who receives what"][-1] == ["you", "/chat/blue", "-", "closed with 4009: bye, you"]


@pytest.mark.parametrize(
    ("message", "step", "says", "receives"),
    [
        ("hello", "decode", "refused: bad-message: not JSON:", '{"error":{"code":"bad-message"'),
        ("[1]", "decode", "refused: bad-message: a message is a JSON object", '{"error":{"code":"bad-message"'),
        ('{"message": "x"}', "schema", "refused: schema-mismatch at /message:", '{"error":{"code":"schema-mismatch"'),
    ],
)
def test_a_refused_message_ends_where_it_is_refused_and_its_sender_is_told(tried, message, step, says, receives):
    parts = tried("/chat/blue", message)
    assert next(row[1] for row in parts["what happens"] if row[0] == step).startswith(says)
    assert "steps" not in parts
    assert parts["who receives what"][-1][3].startswith(receives)


def test_what_is_no_json_is_shown_how_it_is_written(signalpost, tried):
    text = signalpost("try", "/chat/blue", "hello").stdout
    assert """what a client sends is a JSON object, such as '{"message": "hello"}'""" in text


@pytest.mark.parametrize(
    ("path", "message", "decision", "who"),
    [
        ("/others", {}, "re-broadcast to everyone but the sender", {"ada", "bob"}),
        ("/others", {"path": "/rooms"}, "re-broadcast to clients on /rooms", {"bob"}),
        ("/others", {"direct": True}, "refused: target-not-allowed at /direct:", {"you"}),
        ("/elsewhere", {"group": "news"}, "re-broadcast to clients of group news", {"you", "ada"}),
        ("/elsewhere", {"clientId": "bob", "path": "/rooms"}, "clients on /rooms and whose id is bob", {"bob"}),
        ("/group", {}, "re-broadcast to clients of group news", {"you", "ada"}),
        ("/elsewhere", {"direct": True}, "re-broadcast to the sender", {"you"}),
    ],
)
def test_clients_may_be_imagined_anywhere_and_in_any_group(tried, path, message, decision, who):
    wish = "".join(
        f', "{key}": {str(value).lower() if value is True else f"{value!r}"}' for key, value in message.items()
    )
    text = '{"message": "hi"' + wish.replace("'", '"') + "}"
    parts = tried(path, text, "--group", "news", "--client", "ada=/others,news,x", "--client", "bob=/rooms")
    said = next(row[1] for row in parts["what happens"] if row[0] == "decide")
    assert decision in said
    assert {row[0] for row in parts["who receives what"][1:] if row[3] != "-"} == who


def test_a_handler_is_not_called_unless_that_is_asked_for(tried, folder, signalpost):
    text = signalpost("try", "/shout", '{"message": "hi"}').stdout
    assert 'not called   handler "shout" of plugin chat; --call calls it, and starts the plugins first' in text
    assert not (folder / "shut").exists()
    parts = tried("/shout", '{"message": "hi"}', "--call")
    assert {row[3] for row in parts["who receives what"][1:]} == {"HI"}
    assert parts["state"] == [["greeting", '"hello"']]
    assert (folder / "shut").exists()


def test_an_action_of_a_plugin_is_not_called_unless_that_is_asked_for(tried, signalpost):
    text = signalpost("try", "/called", '{"message": "hi"}').stdout
    assert 'not called   action "shake" of plugin chat (plugins/chat.py:' in text
    assert 'not called   handler "shout" of plugin chat (plugins/chat.py:' in text
    steps = tried("/called", '{"message": "hi"}')["steps"][1:]
    assert [row[1:] for row in steps] == [
        ["shake", '{"hard": "hi"}', "not called"],
        ["call", '"shout"', "not called"],
        ["reply", '{"value": "done"}', "reaches 1 client"],
    ]
    received = tried("/called", '{"message": "hi"}', "--call")["who receives what"]
    assert [row[3] for row in received if row[0] == "you"] == ['{"shaken":"hi"}', "HI", "done"]


def test_a_failure_is_shown_as_the_log_and_the_sender_have_it(tried, signalpost):
    text = signalpost("try", "/divided", '{"message": "hi"}', "--state", '{"by": 0}').stdout
    assert re.search(r"^  log   routes\.yaml:26:\d+: reply: division by zero", text, re.MULTILINE)
    assert '{"error":{"code":"handler-failed"' in text
    text = signalpost("try", "/shout", '{"message": "fail"}', "--call").stdout
    assert "  log   handler shout of plugin chat failed on /shout for client you: ValueError: too loud\n" in text


def test_what_is_in_the_state_can_be_said(tried):
    parts = tried("/divided", '{"message": "hi"}', "--state", '{"by": 4}')
    assert parts["who receives what"][-1][3] == "0.25"


def test_raw_frames_are_relayed_as_they_are(tried):
    parts = tried("/raw", "no json")
    assert parts["what happens"] == [["decode", "nothing: raw frames are relayed as they are"]]
    assert [row[3] for row in parts["who receives what"][1:]] == ["-", "-", "no json"]


def test_the_endpoint_is_the_one_that_has_the_signal_or_the_one_that_is_named(tried, signalpost):
    assert "more" in tried("/only", '{"message": "hi"}')
    assert "live" in tried("/only", '{"message": "hi"}', "--endpoint", "live")
    result = signalpost("try", "/only", "{}", "--endpoint", "mor")
    assert result.exit_code == 1
    assert result.stderr == (
        'signalpost: no ws or wss endpoint named "mor"; did you mean "more"? (known: live, more)\n'
    )


def test_a_message_may_come_from_stdin(tried):
    result = CliRunner().invoke(cli, ["try", "/others", "-"], input='{"message": "from stdin"}')
    assert 'message = "from stdin"' in result.stdout


def test_a_path_that_is_refused_is_said_to_be(write, signalpost):
    write("undeclared: refuse\nsignals: [{path: /a}]")
    result = signalpost("try", "/b", "{}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "signalpost: the server refuses the path /b with 404: no signal declares it (undeclared: refuse)\n"
    )
    assert [row.split()[0] for row in signalpost("try", "/a", '{"message": 1}').stdout.splitlines()[-2:]] == [
        "neighbour",
        "you",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--client", "ada"), '"ada" is no client; write for example ada=/rooms/blue,admins'),
        (("--client", "=/a"), '"=/a" is no client'),
        (("--state", "{"), "not JSON: "),
        (("--state", "[]"), 'it must be an object, such as {"count": 1}'),
    ],
)
def test_a_mistake_in_an_option_is_one_of_usage(write, signalpost, arguments, says):
    write()
    result = signalpost("try", "/", "{}", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("method", [(), ("--method", "GET")])
def test_what_is_no_path_is_one_line(write, signalpost, method):
    write()
    result = signalpost("try", "rooms", "{}", *method)
    assert (result.exit_code, result.stderr) == (1, 'signalpost: a path starts with "/": signalpost try /rooms\n')


def test_a_message_that_is_too_large_is_not_read(write, signalpost):
    write("limits: {message: 1KiB}")
    result = signalpost("try", "/", '{"message": "' + "x" * 1024 + '"}')
    assert "read   larger than limits.message (1KiB): the connection is closed with 1009" in result.stdout


def test_two_clients_of_one_id_are_a_mistake(write, signalpost):
    write()
    result = signalpost("try", "/", "{}", "--client", "you=/")
    assert (result.exit_code, result.stderr) == (1, "signalpost: client id you is taken\n")


def test_a_plugin_that_cannot_start_is_one_line(write, signalpost):
    write(
        "signals: [{path: /}]",
        bad="from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    raise OSError('no disk')\n",
    )
    result = signalpost("try", "/", '{"message": 1}', "--call")
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"signalpost: plugin bad \(.*\): its startup failed: OSError: no disk\n", result.stderr)


@pytest.mark.usefixtures("tried")
class TestRequest:
    def test_a_request_is_followed_through_the_routes_actions_to_its_answer(self, tried):
        request = ("/say/ada?how=loud", '{"text": "hi"}', "--method", "post", "--client", "bob=/rooms")
        parts = tried(*request)
        assert parts["POST http://127.0.0.1:8090/say/ada?how=loud"][:2] == [
            ["route", "POST /say/<who>  (routes.yaml:29)"],
            ["params", 'who = "ada"'],
        ]
        assert parts["what happens"] == [
            ["body", 'data = {"text": "hi"}'],
            ["schema", "passes"],
            ["answer", '202 (application/json)  {"reached":1}'],
            ["header", "X-Room: rooms"],
        ]
        assert [row[1] for row in parts["steps"][1:]] == ["set", "broadcast", "if", "respond"]
        assert parts["who receives what"][1:] == [["bob", "/rooms", "-", "ada loud"]]
        assert ["last", '"hi"'] in parts["state"]

    @pytest.mark.parametrize(
        ("path", "body", "method", "happens"),
        [
            ("/say/ada", '{"txt": 1}', "POST", ["schema", 'refused with 422: "text" is a required property']),
            ("/say/ada", "", "POST", ["schema", "refused with 400: the body is empty"]),
            ("/say/ada", "{", "POST", ["body", "refused with 400: it is not JSON"]),
            ("/say/ada", '{"text": "no how"}', "POST", ["answer", "500: an action has failed"]),
            ("/find", "", "GET", ["answer", "200 (text/plain; charset=utf-8)  found"]),
            ("/find", "{}", "POST", ["schema", "refused with 422: "]),
            ("/nothing", "", "PUT", ["answer", "204"]),
            ("/page", "", "HEAD", ["answer", "what the file or the template gives"]),
            ("/answer", "{}", "POST", ["handler", "is not called: it is given a request of the web server's"]),
        ],
    )
    def test_what_happens_is_said_to_the_end(self, tried, path, body, method, happens):
        label, text = tried(path, body, "--method", method)["what happens"][-1]
        assert (label, text[: len(happens[1])]) == tuple(happens)

    @pytest.mark.parametrize(
        ("path", "happens"),
        [
            (
                "/figures/021.50?least=40&tag=1&tag=2",
                [
                    ["params", 'params = {"value": 21.5}'],
                    ["query", 'request.query = {"least": 40, "tag": [1, 2]}'],
                    ["body", "none"],
                    ["schema", "none: every body passes"],
                    ["answer", "200 (application/json)  [21.5,40]"],
                ],
            ),
            ("/figures/hot", [["schema", "refused with 422: the path, at /value: expected a number, got a string"]]),
            (
                "/figures/1?least=",
                [["schema", "refused with 422: the query, at /least: expected a number, got a string"]],
            ),
            ("/figures/1?more=1", [["schema", 'refused with 422: the query: "more" is not an allowed property']]),
        ],
    )
    def test_what_the_schemas_make_of_paths_and_queries_is_what_the_app_has(self, write, tried, path, happens):
        write(
            """\
            endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]
            routes:
              - path: /figures/<value>
                method: GET
                params: {properties: {value: {type: number}}}
                query:
                  properties: {least: {type: number}, tag: {type: array, items: {type: integer}}}
                  additionalProperties: false
                do: [{respond: {json: ["{{ params.value }}", "{{ request.query.least | default(0) }}"]}}]
            """
        )
        assert tried(path, "--method", "GET")["what happens"] == happens

    def test_a_message_is_left_out_of_requests_alone(self, signalpost):
        result = signalpost("try", "/say/ada")
        assert result.exit_code == 2
        assert "Missing argument 'MESSAGE'." in result.stderr

    def test_plugins_actions_may_be_called_and_handlers_may_not(self, tried, signalpost):
        request = ("/say/ada?how=loud", '{"text": "call"}', "--method", "POST")
        text = signalpost("try", *request).stdout
        assert re.search('^  not called   handler "answer" .*; it is given a request of the web', text, re.MULTILINE)
        assert re.search(
            '^               action "shake" .*; --call calls it|not called   action "shake"', text, re.MULTILINE
        )
        parts = tried(*request, "--call")
        assert ["listener", "/", "-", '{"shaken":1}'] in parts["who receives what"]
        assert len(parts["besides"]) == 1

    def test_a_path_that_no_route_takes_leads_to_explain(self, signalpost):
        result = signalpost("try", "/say/ada", "", "--method", "GET")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "signalpost: no route answers GET /say/ada; `signalpost explain /say/ada` says what does\n"
        )

    def test_what_is_for_messages_only_is_a_mistake_of_usage(self, signalpost):
        result = signalpost("try", "/say/ada", "", "--method", "GET", "--group", "a")
        assert result.exit_code == 2
        assert "leave them out with --method" in result.stderr


def test_a_wait_is_shown_and_not_waited_for(write, signalpost):
    write(
        """\
        endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]
        signals:
          - path: /
            do:
              - let: {loud: "{{ message | upper }}"}
              - wait: 30s
              - append: {to: lines, value: "{{ loud }}", keep: 2}
              - reply: {value: "{{ state.lines }}"}
        """
    )
    result = signalpost("try", "/", '{"message": "hi"}', "--state", '{"lines": ["a", "b"]}')
    assert (result.exit_code, result.stderr) == (0, "")
    steps = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("routes.yaml:")]
    assert [step[0] for step in steps] == ["let", "wait", "append", "reply"]
    assert steps[1] == ["wait", '"30s"']
    assert '["b","HI"]' in result.stdout


class TestHistory:
    APP = """\
        endpoints:
          - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
          - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
        signals:
          - {path: /rooms/<room>, rebroadcast: path, history: {keep: 3, replay: 2}}
          - {path: /feed, history: 10, rebroadcast: none}
          - path: /said
            history: 5
            presence: true
            connected: [{broadcast: {value: "{{ client.id }}", path: /said}}]
            do: [{broadcast: {value: {n: 1}, path: /said}}, {reply: {value: "{{ history('/said', 2) }}"}}]
        routes:
          - path: /publish
            method: POST
            do: [{broadcast: {value: "{{ data }}", path: /feed}}, {respond: {status: 202}}]
        """

    def parts(self, result):
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        blocks = (block.rstrip().splitlines() for block in result.stdout.split("\n\n"))
        return {title.split("  ")[0]: [re.split(r" {3,}", row.strip()) for row in rows] for title, *rows in blocks}

    def test_what_a_message_leaves_in_the_history_is_shown_with_its_path_and_number(self, write, signalpost):
        write(self.APP)
        parts = self.parts(signalpost("try", "/Rooms/blue", '{"message": "hi"}'))
        assert ["keeps", "the newest 3 of the last 10m; newcomers read 2"] in parts["live"]
        assert parts["history"] == [["path", "number", "value"], ["/rooms/blue", "1", '"hi"']]

    def test_what_goes_to_the_sender_alone_is_not_kept(self, write, signalpost):
        write(self.APP)
        parts = self.parts(signalpost("try", "/rooms/blue", '{"message": "hi", "direct": true}'))
        assert "history" not in parts
        assert "keeps" not in str(self.parts(signalpost("try", "/elsewhere", '{"message": "hi"}')))

    def test_lists_read_what_was_kept_before_and_all_of_it_is_shown(self, write, signalpost):
        write(self.APP)
        parts = self.parts(signalpost("try", "/said", '{"message": "hi"}'))
        assert parts["history"] == [
            ["path", "number", "value"],
            ["/said", "1", '"neighbour"'],
            ["/said", "2", '"you"'],
            ["/said", "3", '{"n": 1}'],
        ]
        assert '["you",{"n":1}]' in str(parts["who receives what"])

    def test_a_request_shows_it_too(self, write, signalpost):
        write(self.APP)
        parts = self.parts(signalpost("try", "/publish", '{"x": 1}', "--method", "POST"))
        assert parts["history"] == [["path", "number", "value"], ["/feed", "1", '{"x": 1}']]
