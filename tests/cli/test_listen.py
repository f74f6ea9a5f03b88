"""`signalpost listen`: what comes to a path, as a person at a terminal and a program behind a pipe read it."""

import asyncio
import json
import signal
import socket
import time

import httpx
import jwt
import pytest
from click.testing import CliRunner
from websockets.asyncio.server import serve as serve_websockets

from signalpost.cli import cli
from signalpost.testing import serve

APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    undeclared: refuse
    signals:
      - {path: /rooms/<room>, rebroadcast: path, history: {keep: 100, replay: 100}}
      - {path: /raw, format: raw, rebroadcast: path, connected: [{broadcast: {value: came, path: /watch}}]}
      - {path: /watch}
      - {path: /hello, connected: [{reply: {value: "{{ request.headers['x-name'] }}"}}]}
      - {path: /closing, connected: [{close: {reason: enough}}]}
"""

WITHOUT_WEBSOCKETS = """
    endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]
    signals: [{path: /rooms/<room>, rebroadcast: path, history: {keep: 100, replay: 100}}]
"""


@pytest.fixture
def listen(signalpost):
    """Run the command beside the test's servers."""

    async def run(*arguments):
        return await asyncio.to_thread(signalpost, "listen", *arguments)

    return run


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def kept(app, *values):
    async with app.connect("/rooms/blue", subprotocols=["signalpost.v1"]) as client:
        welcome = await client.receive_json()
        for number, value in enumerate(values):
            await client.send(value, ref=number)
            while "ack" not in (frame := await client.receive_json()):
                pass
        return welcome["welcome"]["at"], frame["ack"]["at"] if values else None


class TestWhatComes:
    async def test_each_value_is_a_line(self, listen):
        async with serve(APP) as app:
            await kept(app, "hi", {"a": [1, "ü"]}, 3, "two\nlines", "\x1b[31mred")
            result = await listen(app.url() + "/rooms/blue", "--count", "5")
            assert result.stdout.splitlines() == [
                "hi",
                '{"a": [1, "ü"]}',
                "3",
                '"two\\nlines"',
                '"\\u001b[31mred"',
            ]
            assert result.stderr == f"connected to {app.url()}/rooms/blue\n"
            assert result.exit_code == 0

    async def test_json_has_path_and_position_which_at_takes(self, listen):
        async with serve(APP) as app:
            await kept(app, 1)
            _, last = await kept(app, "ü")
            result = await listen(app.url() + "/rooms/blue", "--count", "2", "--json")
            first, second = map(json.loads, result.stdout.splitlines())
            assert (first["path"], first["value"]) == ("/rooms/blue", 1)
            assert second == {"path": "/rooms/blue", "at": last, "value": "ü"}
            result = await listen(app.url() + "/rooms/blue", "--count", "1", "--at", first["at"])
            assert result.stdout == "ü\n"

    async def test_a_position_that_is_not_known_is_a_gap(self, listen):
        async with serve(APP) as app:
            await kept(app, 1)
            result = await listen(app.url() + "/rooms/blue", "--count", "1", "--at", "zzzzzz:1:zzzz")
            assert "gap: values may be missing here, since the server does not know the position any more\n" in (
                result.stderr
            )

    async def test_bytes_are_shown_as_bytes(self, listen):
        async with serve(APP) as app, app.connect("/watch") as watch, app.connect("/raw") as client:
            await watch.receive()  # of the client itself
            listening = asyncio.ensure_future(listen(app.url() + "/raw", "--count", "2"))
            await watch.receive()
            await client.send_raw(b"\x00\x01")
            await client.send_raw(b"\xff")
            assert (await listening).stdout == "<2 bytes: 00 01>\n<1 byte: ff>\n"

    async def test_headers_are_sent(self, listen):
        async with serve(APP) as app:
            result = await listen(app.url() + "/hello", "--count", "1", "-H", "X-Name: Ada: the first")
            assert result.stdout == "Ada: the first\n"

    async def test_a_header_that_is_none_is_refused(self, listen):
        result = await listen("ws://localhost", "-H", "X-Name")
        assert result.exit_code == 2
        assert '"X-Name" is no header; write for example "X-Name: Ada"' in result.stderr

    async def test_a_server_of_another_kind_is_listened_to(self, listen):
        async def tell(socket):
            await socket.send("one")
            await socket.send('{"signal": {"value": 2}}')
            await socket.send(b"\x03")
            await socket.wait_closed()

        async with serve_websockets(tell, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{port_of(server)}"
            result = await listen(url, "--count", "3")
            assert result.stdout == 'one\n{"signal": {"value": 2}}\n<1 byte: 03>\n'
            assert result.stderr == f"connected to {url}/ (no signalpost.v1: each frame is a value)\n"
            result = await listen(url, "--count", "3", "--json")
            assert [json.loads(line) for line in result.stdout.splitlines()][::2] == [
                {"value": "one"},
                {"base64": "Aw=="},
            ]

    async def test_a_plain_client_reads_frames_of_signalpost(self, listen):
        async with serve(APP) as app:
            await kept(app, {"a": 1})
            result = await listen(app.url() + "/rooms/blue", "--count", "1", "--plain")
            assert result.stdout == '{"a":1}\n'

    @pytest.mark.slow  # waits half a second at least
    async def test_an_app_without_websockets_is_listened_to_by_events(self, listen):
        async with serve(WITHOUT_WEBSOCKETS) as app:
            async with httpx.AsyncClient() as poster:
                for value in ("hi", {"a": 1}):
                    answer = await poster.post(app.url() + "/rooms/blue", json={"message": value})
                    assert answer.status_code == 202
            result = await listen(app.url() + "/rooms/blue", "--count", "2")
            address = app.url().replace("http", "ws")
            assert result.stdout.splitlines() == ["hi", '{"a": 1}']
            assert result.stderr == f"connected to {address}/rooms/blue (by server-sent events)\n"
            assert (await listen(app.url() + "/nope")).stderr == (
                f"signalpost: {address}/nope answered HTTP 400: There are no WebSockets at this address\n"
            )
            assert "There are no WebSockets" in (await listen(app.url() + "/rooms/blue", "--plain")).stderr

    async def test_a_connection_that_breaks_is_made_again(self, listen):
        left = ["one", "two"]

        async def tell(socket):
            await socket.send(json.dumps({"welcome": {"clientId": "c", "path": "/a", "session": "s"}}))
            await socket.send(json.dumps({"signal": {"path": "/a", "value": left.pop(0)}}))

        async with serve_websockets(tell, "127.0.0.1", 0, subprotocols=["signalpost.v1"]) as server:
            url = f"ws://127.0.0.1:{port_of(server)}/a"
            result = await listen(url, "--count", "2")
            assert result.stdout == "one\ntwo\n"
            first, broken, again, gap = result.stderr.splitlines()
            assert first == again == f"connected to {url}"
            assert broken.startswith("the server closed the connection (1000); trying again ")
            assert gap == "gap: values may be missing here, since this path has no history"

    @pytest.mark.slow  # starts a process
    async def test_ctrl_c_ends_it_quietly(self, process, ended):
        async with serve(APP) as app:
            await kept(app, "hi")
            started = process("listen", app.url() + "/rooms/blue")
            line = await asyncio.to_thread(started.stdout.readline)
            assert line == "hi\n"
            started.send_signal(signal.SIGINT)
            code, out, err = await asyncio.to_thread(ended, started)
            assert (code, out, err) == (130, "", f"connected to {app.url()}/rooms/blue\n")


class TestWhereNothingComes:
    async def test_a_port_where_nothing_listens(self, listen):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        result = await listen(f"ws://127.0.0.1:{port}/")
        assert result.stderr == (
            f"signalpost: nothing listens at 127.0.0.1:{port} (connection refused): does the server run?\n"
        )
        assert (result.exit_code, result.stdout) == (1, "")

    async def test_a_path_without_a_signal(self, listen):
        async with serve(APP) as app:
            result = await listen(app.url() + "/nope")
            assert result.stderr == (
                f"signalpost: {app.url()}/nope answered HTTP 404: there is no signal at this path\n"
            )

    async def test_a_url_without_a_scheme(self, listen):
        result = await listen("localhost:8080/rooms/blue")
        assert result.stderr == (
            'signalpost: "localhost:8080/rooms/blue" has no scheme; did you mean ws://localhost:8080/rooms/blue?\n'
        )

    @pytest.mark.parametrize(
        ("address", "url"),
        [("127.0.0.1", "ws://127.0.0.1:8091"), ("0.0.0.0", "ws://localhost:8091"), ("::1", "ws://[::1]:8091")],
    )
    async def test_a_path_alone_is_one_of_the_app_in_this_folder(self, listen, write, address, url):
        write(f"endpoints: [{{name: live, address: '{address}', port: 8091, protocol: ws}}]")
        result = await listen("/rooms/blue")
        meant = f"did you mean {url}/rooms/blue, as routes.yaml here has it?"
        assert result.stderr == f'signalpost: "/rooms/blue" is a path of a server; {meant}\n'

    @pytest.mark.usefixtures("folder")
    async def test_a_path_alone_where_there_is_no_app(self, listen):
        result = await listen("/rooms/blue")
        assert result.stderr == (
            'signalpost: "/rooms/blue" has no scheme; did you mean ws://localhost:8080/rooms/blue?\n'
        )

    async def test_a_certificate_that_is_not_trusted(self, listen):
        async with serve("""
            endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}]
            signals: [{path: /, connected: [{reply: {value: hi}}]}]
        """) as app:
            result = await listen(app.url())
            assert "is not trusted: self-signed certificate" in result.stderr
            assert "--insecure" in result.stderr
            result = await listen(app.url(), "--insecure", "--count", "1")
            assert result.stdout == "hi\n"

    async def test_a_server_that_closes_for_good(self, listen):
        async with serve(APP) as app:
            result = await listen(app.url() + "/closing")
            assert result.exit_code == 1
            assert result.stderr.splitlines()[-1] == (
                "signalpost: the server closed the connection for good (4009: enough)"
            )


class TestTokens:
    APP = """
        endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
        undeclared: refuse
        auth: {tokens: {keys: {secret: a secret of the tests that is long enough for HS256}, algorithms: [HS256]}}
        signals: [{path: /me, connected: [{reply: {value: "{{ user }}"}}]}]
    """

    @staticmethod
    def token():
        claims = {"sub": "ann", "exp": int(time.time()) + 900}
        return jwt.encode(claims, "a secret of the tests that is long enough for HS256", "HS256")

    @pytest.mark.parametrize("how", [(), ("--plain",)])
    async def test_a_token_says_who_listens(self, listen, how):
        async with serve(self.APP) as app:
            result = await listen(app.url() + "/me", "--token", self.token(), "--count", "1", *how)
            assert result.stdout == "ann\n"

    async def test_a_token_may_come_from_stdin(self):
        async with serve(self.APP) as app:
            arguments = ["listen", app.url() + "/me", "--token", "-", "--count", "1"]
            result = await asyncio.to_thread(CliRunner().invoke, cli, arguments, input=f"{self.token()}\n")
            assert result.stdout == "ann\n"

    async def test_without_a_good_token_it_is_said_why_and_the_token_is_not_shown(self, listen):
        async with serve(self.APP) as app:
            result = await listen(app.url() + "/me")
            assert result.exit_code == 1
            assert "send a token" in result.stderr
            result = await listen(app.url() + "/me", "--token", "a.b.secretive")
            assert result.exit_code == 1
            assert "secretive" not in result.stdout + result.stderr

    @pytest.mark.parametrize("token", ["", "two words", "s\u00e9cret", "a,b"])
    async def test_what_is_no_token_is_said_and_not_shown(self, listen, token):
        result = await listen("ws://127.0.0.1:1/me", "--token", token)
        assert result.exit_code == 2
        assert "is no token" in result.stderr
        assert not token or token not in result.stderr
