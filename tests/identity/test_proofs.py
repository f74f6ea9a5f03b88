"""Proofs: each outcome at its place, every way that a message can take, and what cannot be proved."""

import json

import pytest
from click.testing import CliRunner
from websockets.exceptions import InvalidStatus

from signalpost.cli import cli
from signalpost.errors import ConfigError
from signalpost.plan import load_plan
from signalpost.plan.diff import diff
from signalpost.testing import serve, write_app

HEAD = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
undeclared: refuse
auth:
  people:
    ann: {rooms: [blue], roles: [editor]}
    eve: {rooms: [red], sub: eve-1}
  proofs: [%s]
"""

ROOMS = """
signals:
  - {path: "/rooms/<room>", rebroadcast: path, targets: [direct], from_elsewhere: false,
     may: {connect: "{{ params.room in claims.rooms }}", publish: "{{ 'editor' in claims.roles }}"}}
"""


def judged(tmp_path, proof, rest, plugins=None):
    """Return the problem of a proof; empty if it holds."""
    write_app(HEAD % proof + rest, tmp_path, plugins)
    try:
        load_plan(tmp_path / "routes.yaml")
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.source.strip() in f"proofs: [{proof}]"
        assert problem.keys.startswith("auth.proofs[0]")
        return problem.text
    return ""


def holds(*arguments, **options):
    return judged(*arguments, **options) == ""


class TestOutcomes:
    def test_a_proof_that_holds_says_nothing(self, tmp_path):
        assert holds(tmp_path, "{who: ann, can: [connect, publish], path: /rooms/blue}", ROOMS)
        assert holds(tmp_path, "{who: eve, cannot: [connect, publish], path: /rooms/blue}", ROOMS)
        assert holds(tmp_path, "{who: eve, can: connect, path: /rooms/red}", ROOMS)

    def test_one_that_does_not_names_the_line_that_decided(self, tmp_path):
        text = judged(tmp_path, "{who: eve, can: connect, path: /rooms/blue}", ROOMS)
        assert text == f"eve cannot connect on /rooms/blue: may.connect ({tmp_path}/routes.yaml:14:21) gives false"
        text = judged(tmp_path, "{who: ann, cannot: connect, path: /rooms/blue}", ROOMS)
        assert text == f"ann can connect on /rooms/blue: may.connect ({tmp_path}/routes.yaml:14:21) gives true"

    def test_one_that_does_not_is_no_hindrance_to_those_who_ask_why(self, tmp_path):
        assert judged(tmp_path, "{who: eve, can: connect, path: /rooms/blue}", ROOMS)
        file = str(tmp_path / "routes.yaml")
        for asked, answer in (
            (["explain", "/rooms/blue", file, "--as", "eve"], "may connect   no: may.connect ("),
            (["try", "/rooms/blue", '{"message": 1}', file, "--as", "eve"], "connect   refused with 403"),
            (["routes", file, "--may"], "connect   /rooms/<room>"),
        ):
            done = CliRunner().invoke(cli, asked)
            assert answer in done.output, done.output
        assert CliRunner().invoke(cli, ["check", file]).exit_code == 1

    def test_what_a_guest_does_not_have_is_said_so(self, tmp_path):
        text = judged(tmp_path, "{who: guest, can: connect, path: /rooms/blue}", ROOMS)
        assert text.endswith(") asks for what a guest does not have")

    def test_a_default_is_named_as_one(self, tmp_path):
        text = judged(tmp_path, "{who: guest, can: connect, path: /}", "\nsignals: [{path: /}]")
        assert text == "guest cannot connect on /: may.connect is users, the default of a file with auth"

    def test_what_fails_is_no(self, tmp_path):
        rest = '\nsignals: [{path: /, may: {connect: "{{ claims.level > 3 }}"}}]'
        text = judged(tmp_path, "{who: ann, can: connect, path: /}", rest)
        assert 'fails, which is no: no key named "level"' in text

    def test_the_user_is_what_the_claim_says_that_names_it(self, tmp_path):
        rest = '\nsignals: [{path: "/of/<name>", may: {connect: "{{ user == params.name }}"}}]'
        assert holds(tmp_path, "{who: ann, can: connect, path: /of/ann}", rest)
        assert holds(tmp_path, "{who: eve, can: connect, path: /of/eve-1}", rest)
        assert holds(tmp_path, "{who: eve, cannot: connect, path: /of/eve}", rest)

    def test_of_a_list_any_choice_admits(self, tmp_path):
        rest = "\nsignals: [{path: /, may: {connect: [\"{{ user == 'ann' }}\", \"{{ 'red' in claims.rooms }}\"]}}]"
        assert holds(tmp_path, "{who: ann, can: connect, path: /}", rest)
        assert holds(tmp_path, "{who: eve, can: connect, path: /}", rest)
        assert "admits by none of its 2 choices" in judged(tmp_path, "{who: guest, can: connect, path: /}", rest)

    def test_all_paths_of_a_signal_are_proved_where_their_parameters_do_not_matter(self, tmp_path):
        assert holds(tmp_path, '{who: guest, cannot: connect, path: "/rooms/<room>"}', ROOMS)
        text = judged(tmp_path, '{who: ann, can: connect, path: "/rooms/<room>"}', ROOMS)
        assert text.startswith("it cannot be proved that ann can connect on /rooms/<room>: may.connect (")
        assert text.endswith("asks for params, which may be anything")

    @pytest.mark.parametrize(
        ("proof", "text"),
        [
            (
                "{who: eva, can: connect, path: /}",
                'no person named "eva"; did you mean "eve"? (known: guest, ann, eve)',
            ),
            ("{who: ann, can: connect, path: /none}", "no signal serves /none"),
            ("{who: ann, can: request, path: /none}", "no route answers /none"),
            ("{who: ann, can: connect, cannot: publish, path: /}", "a proof says either can or cannot"),
            ("{who: ann, path: /}", "a proof says either can or cannot"),
            ("{who: ann, can: connect, path: /, method: POST}", "only a request has a method"),
            ("{who: ann, can: connect, path: /, message: hi}", "nobody sends a message"),
            ("{who: ann, can: history, path: /}", "the signal has no history"),
            ("{who: ann, can: target, path: /}", "lets no message choose one"),
        ],
    )
    def test_a_proof_that_means_nothing_is_a_problem(self, tmp_path, proof, text):
        assert text in judged(tmp_path, proof, "\nsignals: [{path: /, targets: [direct]}]")


class TestWhatCannotBeProved:
    @pytest.mark.parametrize("name", ["state.open", "request.headers.x", "now.hour > 3", "client.id", "[1] | random"])
    def test_what_only_a_running_server_knows_is_said_so(self, tmp_path, name):
        rest = f'\nsignals: [{{path: /, may: {{connect: "{{{{ ({name}) == 1 }}}}"}}}}]'
        text = judged(tmp_path, "{who: ann, can: connect, path: /}", rest)
        assert text.startswith("it cannot be proved that ann can connect on /: may.connect (")
        assert text.endswith("which only a running server knows")

    def test_but_what_stands_beside_it_may_decide(self, tmp_path):
        rest = "\nsignals: [{path: /, may: {connect: \"{{ 'editor' in claims.roles and state.open }}\"}}]"
        assert not holds(tmp_path, "{who: ann, can: connect, path: /}", rest)
        assert holds(tmp_path, "{who: eve, cannot: connect, path: /}", rest)

    def test_a_plugin_s_function_is_one_of_these(self, tmp_path):
        plugins = {
            "hours": """
            from signalpost import hookimpl

            @hookimpl
            def template_globals():
                return {"is_open": lambda: True}
            """
        }
        rest = '\nsignals: [{path: /, may: {connect: "{{ is_open() }}"}}]'
        text = judged(tmp_path, "{who: ann, can: connect, path: /}", rest, plugins)
        assert "asks for is_open, which only a running server knows" in text

    def test_a_plugin_that_authorizes_decides_before_the_file(self, tmp_path):
        plugins = {
            "doors": """
            from signalpost import hookimpl

            @hookimpl
            def authorize(identity, verb, path, message):
                return True
            """
        }
        text = judged(tmp_path, "{who: ann, can: connect, path: /}", "\nsignals: [{path: /}]", plugins)
        assert "a plugin's hook authorize decides" in text

    def test_a_message_that_matters_has_to_be_said(self, tmp_path):
        rest = "\nsignals: [{path: /, targets: [direct], may: {publish: \"{{ message != 'bad' }}\"}}]"
        assert "add message" in judged(tmp_path, "{who: ann, can: publish, path: /}", rest)
        assert holds(tmp_path, "{who: ann, can: publish, path: /, message: good}", rest)
        assert holds(tmp_path, "{who: ann, cannot: publish, path: /, message: {message: bad}}", rest)


BOARD = "{path: /board, may: {publish: nobody}%s}"

WAYS = {
    "a path": ("", "{path: /other}", "to a path from /other"),
    "a client": ("", "{path: /other, targets: [clientId], rebroadcast: none}", "to a client from /other"),
    "a group": ("", "{path: /other, targets: [group], rebroadcast: none}", "to a group from /other"),
    "everyone": ("", "{path: /other, targets: []}", "from /other (routes.yaml:14), which sends to everyone"),
    "others": ("", "{path: /other, targets: [], rebroadcast: others}", "which sends to everyone but the sender"),
    "actions": (
        ", from_elsewhere: false",
        '{path: /other, do: [{broadcast: {value: "{{ message }}", path: /board}}]}',
        "by the actions of /other",
    ),
    "actions to everyone": (
        ", from_elsewhere: false",
        '{path: /other, do: [{broadcast: {value: "{{ message }}", to: everyone}}]}',
        "by the actions of /other",
    ),
    "actions to a computed path": (
        ", from_elsewhere: false",
        '{path: /other, do: [{broadcast: {value: "{{ message }}", path: "{{ data.there }}"}}]}',
        "by the actions of /other",
    ),
    "an arrival": (
        ", from_elsewhere: false",
        """{path: "/other/<name>", targets: [], rebroadcast: none,
           connected: [{broadcast: {value: "{{ params.name }}", path: /board}}]}""",
        "by the actions of /other/",
    ),
    "another room": ("", '{path: "/other/<room>", may: {connect: "{{ params.room in claims.rooms }}"}}', "/other/red"),
}

CLOSED = {
    "nothing comes from elsewhere": (", from_elsewhere: false", "{path: /other}"),
    "nobody may target it": (", target: nobody", "{path: /other}"),
    "the other signal names no targets": ("", "{path: /other, targets: [direct], rebroadcast: path}"),
    "the other signal is for others": ("", "{path: /other, may: {connect: \"{{ 'editor' in claims.roles }}\"}}"),
    "nobody may publish there": ("", "{path: /other, may: {publish: nobody}}"),
    "nobody may choose a target there": ("", "{path: /other, rebroadcast: path, may: {target: nobody}}"),
    "the actions say something of their own": (
        ", from_elsewhere: false",
        "{path: /other, do: [{broadcast: {value: bell, path: /board}}]}",
    ),
    "the actions answer": (
        ", from_elsewhere: false",
        '{path: /other, do: [{broadcast: {value: "{{ message }}", to: sender}}]}',
    ),
    "the actions send elsewhere": (
        ", from_elsewhere: false",
        '{path: /other, do: [{broadcast: {value: "{{ message }}", path: /attic}}]}',
    ),
}


def board(closing, other):
    may = f", {closing[2:]}" if closing.startswith(", target") else ""
    of_signal = "" if may else closing
    return f"\nsignals:\n  - {{path: /board, may: {{publish: nobody{may}}}{of_signal}}}\n  - {other}"


class TestWays:
    @pytest.mark.parametrize("name", WAYS)
    def test_a_way_is_found_and_named(self, tmp_path, name):
        closing, other, way = WAYS[name]
        text = judged(tmp_path, "{who: eve, cannot: publish, path: /board}", board(closing, other))
        assert text.startswith("eve can publish on /board: ")
        assert way in text.replace(f"{tmp_path}/", "")

    @pytest.mark.parametrize("name", CLOSED)
    def test_a_closed_way_is_none(self, tmp_path, name):
        closing, other = CLOSED[name]
        assert holds(tmp_path, "{who: eve, cannot: publish, path: /board}", board(closing, other))

    def test_a_route_is_a_way(self, tmp_path):
        rest = board(", from_elsewhere: false", "{path: /other, may: {connect: nobody}}")
        routes = '\nroutes: [{path: /say, may: %s, broadcast: {value: "{{ data }}", path: /board}}]'
        text = judged(tmp_path, "{who: eve, cannot: publish, path: /board}", rest + routes % "users")
        assert "by POST /say" in text
        assert holds(tmp_path, "{who: guest, cannot: publish, path: /board}", rest + routes % "users")
        assert holds(tmp_path, "{who: eve, cannot: publish, path: /board}", rest + routes % "nobody")

    def test_a_plugin_s_handler_is_named_beside_the_proof(self, tmp_path):
        plugins = {
            "shout": """
            from signalpost import signal

            @signal("shout")
            async def shout(event):
                event.broadcast(event.data.message, path="/board")
            """
        }
        rest = board(", from_elsewhere: false", "{path: /other, handler: shout}")
        proof = "{who: eve, cannot: publish, path: /board}"
        assert holds(tmp_path, proof, rest, plugins)
        (note,) = [note for note in load_plan(tmp_path / "routes.yaml").notes if "proved as far" in note]
        assert "eve may call handler shout of plugin shout (/other" in note


PEOPLE = """
from signalpost import Identity, hookimpl

CLAIMS = {"eve": {"rooms": ["red"]}, "bob": {}}

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name, CLAIMS[name])

@hookimpl
def client_connected(client):
    client.join("all")
"""


async def arrived(rest):
    """Return what a listener on /board receives of all that eve can send from /other."""
    head = (HEAD % "").replace("port: 8090", "port: 0").replace("port: 8091", "port: 0")
    async with serve(head + rest, plugins={"people": PEOPLE}) as app:
        bob = app.connect("/board", endpoint="live", additional_headers={"x-user": "bob"})
        async with bob as listener:
            for path in ("/other", "/other/red"):
                try:
                    async with app.connect(path, endpoint="live", additional_headers={"x-user": "eve"}) as eve:
                        for target in ({}, {"path": "/board"}, {"clientId": listener.id}, {"group": "all"}):
                            await eve.socket.send(json.dumps({"message": "mine", "there": "/board", **target}))
                        await (await eve.socket.ping())
                except InvalidStatus:
                    continue
            app.server.node.broadcaster("the end", path="/board")
            received = []
            while (value := await listener.receive()) != "the end":
                received.append(value)
            return received


@pytest.mark.parametrize("name", WAYS)
async def test_what_is_found_to_be_a_way_is_one_on_a_server(name):
    closing, other, _ = WAYS[name]
    assert set(await arrived(board(closing, other))) & {"mine", "red"}


@pytest.mark.parametrize("name", CLOSED)
async def test_what_is_found_to_be_closed_is_so_on_a_server(name):
    closing, other = CLOSED[name]
    assert not set(await arrived(board(closing, other))) & {"mine", "red"}


def test_a_plan_says_who_may_do_what_by_another_file_and_who_may_perhaps(tmp_path):
    plans = []
    for name, may in (("old", "{{ params.room in claims.rooms }}"), ("new", "{{ 'editor' in claims.roles }}")):
        (tmp_path / name).mkdir()
        rest = f'\nsignals: [{{path: "/rooms/<room>", targets: [], from_elsewhere: false, may: {{connect: "{may}"}}}}]'
        write_app(HEAD % "" + rest, tmp_path / name)
        plans.append(load_plan(tmp_path / name / "routes.yaml"))
    changed = diff(*plans).permissions
    assert "ann may connect on /rooms/<room>" in changed.changed
    assert "eve may perhaps connect on /rooms/<room>" in changed.removed
    assert "ann may perhaps connect on /rooms/<room>" in diff(*reversed(plans)).permissions.changed
