"""`signalpost send`: a message, and its answer."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve as serve_websockets

from signalpost.testing import serve

APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals:
      - {path: /rooms/<room>, rebroadcast: path, history: 100}
      - {path: /strict, rebroadcast: path, targets: [], schema: {properties: {message: {type: string}}}}
      - {path: /whole, do: [{reply: {value: {whole: "{{ data }}"}}}]}
      - {path: /echo, do: [{reply: {value: "{{ message }}"}}]}
      - {path: /raw, format: raw, rebroadcast: path}
"""


@pytest.fixture
def send(signalpost):
    """Run the command beside the test's servers."""

    async def run(*arguments):
        return await asyncio.to_thread(signalpost, "send", *arguments)

    return run


class TestTheAnswer:
    async def test_a_reply_is_printed(self, send):
        async with serve(APP) as app:
            result = await send(app.url() + "/echo", "hi")
            assert (result.stdout, result.stderr, result.exit_code) == ("hi\n", "", 0)

    async def test_an_acknowledgement_is_said_beside_the_output(self, send):
        async with serve(APP) as app:
            result = await send(app.url() + "/strict", "hi")
            assert (result.stdout, result.stderr, result.exit_code) == ("", "accepted\n", 0)
            result = await send(app.url() + "/rooms/blue", "hi")
            assert result.stderr.startswith("accepted, kept at ")

    async def test_json_shows_the_whole_answer(self, send):
        async with serve(APP) as app:
            result = await send(app.url() + "/rooms/blue", "hi", "--json")
            assert list(json.loads(result.stdout)["ack"]) == ["at"]
            result = await send(app.url() + "/echo", '{"message": [1]}', "--json")
            assert json.loads(result.stdout) == {"reply": {"value": [1]}}

    async def test_an_app_without_websockets_answers_a_post(self, send):
        async with serve(APP.replace("protocol: ws", "protocol: http, fallbacks: [sse]")) as app:
            assert (await send(app.url() + "/echo", "hi")).stdout == "hi\n"
            assert (await send(app.url() + "/strict", "42")).stderr.startswith(
                "signalpost: refused: schema-mismatch at"
            )

    async def test_a_refusal_says_why_and_fails(self, send):
        async with serve(APP) as app:
            result = await send(app.url() + "/strict", "42")
            assert result.stderr == (
                "signalpost: refused: schema-mismatch at /message: expected a string, got a number\n"
            )
            assert (result.exit_code, result.stdout) == (1, "")

    async def test_a_signal_that_never_answers_is_not_waited_for_for_ever(self, send):
        async with serve(APP) as app:
            result = await send(app.url() + "/raw", "hi", "--timeout", "0.2")
            assert result.exit_code == 1
            assert "no answer within 0.2 s" in result.stderr
            assert "`format: raw` never answers (--plain does not wait)" in result.stderr

    async def test_a_server_of_another_kind_gets_the_text_as_it_is(self, send):
        heard = asyncio.Queue()

        async def hear(socket):
            async for frame in socket:
                heard.put_nowait(frame)

        async with serve_websockets(hear, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            result = await send(url, "hello there")
            assert await asyncio.wait_for(heard.get(), 20) == "hello there"
            assert "speaks no signalpost.v1, so no answer can be expected" in result.stderr
            assert (result.exit_code, result.stdout) == (0, "")
            await send(url, '{"a": 1}', "--path", "/x")
            assert json.loads(await asyncio.wait_for(heard.get(), 20)) == {"a": 1, "path": "/x"}

    async def test_a_plain_client_sends_and_does_not_wait(self, send):
        async with serve(APP) as app, app.connect("/raw") as client:
            result = await send(app.url() + "/raw", "hi", "--plain")
            assert result.exit_code == 0
            assert await client.receive() == "hi"


class TestTheMessage:
    @pytest.mark.parametrize(
        ("text", "becomes"),
        [
            ("hi", "hi"),
            ("two words", "two words"),
            ("42", 42),
            ('"quoted"', "quoted"),
            ("[1]", [1]),
            ('{"message": {"a": 1}}', {"a": 1}),
        ],
    )
    async def test_an_object_is_the_message_and_all_else_its_value(self, send, text, becomes):
        async with serve(APP) as app:
            result = await send(app.url() + "/echo", text, "--json")
            assert json.loads(result.stdout)["reply"]["value"] == becomes

    async def test_options_are_keys_of_the_message(self, send):
        heard = asyncio.Queue()

        async def hear(socket):
            await socket.send('{"welcome": {"clientId": "c", "path": "/", "session": "s"}}')
            async for frame in socket:
                heard.put_nowait(json.loads(frame))
                await socket.send(json.dumps({"ack": {"ref": json.loads(frame)["ref"], "again": True}}))

        async with serve_websockets(hear, "127.0.0.1", 0, subprotocols=["signalpost.v1"]) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            options = ["--path", "/x", "--group", "g", "--client", "c", "--direct", "--once", "mine"]
            result = await send(url, "hi", *options)
            asked = {"message": "hi", "path": "/x", "group": "g", "clientId": "c", "direct": True, "once": "mine"}
            assert await asyncio.wait_for(heard.get(), 20) == {"ref": 1, **asked}
            assert result.stderr == "accepted (by an earlier message of the same --once)\n"
            await send(url, '{"own": 1}')
            told = await asyncio.wait_for(heard.get(), 20)
            assert {key: value for key, value in told.items() if key != "once"} == {"ref": 1, "own": 1}

    async def test_a_key_is_not_given_twice(self, send):
        result = await send("ws://127.0.0.1:1", '{"path": "/a"}', "--path", "/b")
        assert result.stderr == 'signalpost: the message has "path" already: leave out the option, or the key\n'
        result = await send("ws://127.0.0.1:1", '{"ref": 1}')
        assert '"ref" is chosen by the command' in result.stderr

    async def test_nothing_listens(self, send):
        result = await send("ws://127.0.0.1:1", "hi")
        assert result.exit_code == 1
        assert "nothing listens at 127.0.0.1:1 (connection refused)" in result.stderr


@pytest.mark.slow  # each starts a process
class TestStdin:
    @staticmethod
    async def piped(url, text, *arguments):
        import sys

        command = (sys.executable, "-m", "signalpost", "send", url, "-", *arguments)
        pipe = asyncio.subprocess.PIPE
        started = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = await started.communicate(text.encode())
        return started.returncode, out.decode(), err.decode()

    async def test_each_line_is_a_message(self):
        async with serve(APP) as app:
            told = await self.piped(app.url() + "/echo", 'one\n{"message": 2}\n\nthree')
            assert told == (0, "one\n2\nthree\n", "")

    async def test_a_refusal_does_not_stop_the_others(self):
        async with serve(APP) as app:
            code, out, err = await self.piped(app.url() + "/strict", "1\nhi\n2\n", "--json")
            assert (code, out) == (1, '{"ack": {}}\n')
            assert err.splitlines() == [
                "signalpost: 1: refused: schema-mismatch at /message: expected a string, got a number",
                "signalpost: 2: refused: schema-mismatch at /message: expected a string, got a number",
                "signalpost: 2 messages failed",
            ]

    async def test_lines_are_frames_for_a_server_of_another_kind(self):
        async with serve(APP) as app, app.connect("/raw") as client:
            code, out, _ = await self.piped(app.url() + "/raw", "one\ntwo\n", "--plain")
            assert (code, out) == (0, "")
            assert [await client.receive(), await client.receive()] == ["one", "two"]
