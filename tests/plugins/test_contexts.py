"""Variables of contexts: what plugins set for one client, in hooks, handlers, actions and templates, no other sees."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect

from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /hooked, handler: read}
  - {path: /plain, handler: read}
  - {path: /set, handler: put}
  - {path: /act, do: [{put: {value: "{{ message }}"}}, {reply: {value: "{{ user() }}"}}]}
  - {path: /user, do: [{reply: {value: "{{ user() }}"}}]}
  - {path: /came, connected: [{put: {value: came}}], do: [{reply: {value: "{{ user() }}"}}]}
  - {path: /wide, handler: wide, parallel: 2}
"""
PLUGIN = """
import asyncio
from contextvars import ContextVar
from signalpost import action, hookimpl, signal

USER = ContextVar("USER", default="nobody")
STARTED = ContextVar("STARTED", default="not started")

@hookimpl
def startup(context):
    STARTED.set("started")

@hookimpl
def template_globals():
    return {"user": USER.get}

@hookimpl
def client_connected(client):
    if client.path == "/hooked":
        USER.set(client.id)

@hookimpl
def client_disconnected(client):
    USER.set("gone")

@signal("read")
async def read(event):
    event.reply([USER.get(), STARTED.get()])

@signal("put")
async def put(event):
    event.reply(USER.get())
    USER.set(event.data.message)

@signal("wide")
async def wide(event):
    before = USER.get()
    USER.set(event.data.message)
    await asyncio.sleep(0)
    event.reply([before, USER.get()])

@action("put")
def put_action(event, options):
    USER.set(options["value"])
"""


async def check(connected):
    """Ask a server with that app; `connected` connects a client on a path, and gives how to ask it."""
    async with (
        connected("/hooked") as (hooked, own_id),
        connected("/plain") as (plain, _),
        connected("/set") as (put, _),
    ):
        assert await hooked("?") == [own_id, "started"]  # what was set for it, its handlers read
        assert await plain("?") == ["nobody", "started"]
        assert [await put("ada"), await put("bob")] == ["nobody", "ada"]
        async with connected("/act") as (act, _), connected("/user") as (user, _), connected("/came") as (came, _):
            assert [await act("eve"), await came("?"), await user("?")] == ["eve", "came", "nobody"]
            assert await plain("?") == ["nobody", "started"]
        async with connected("/hooked") as (later, later_id):
            assert await later("?") == [later_id, "started"]
        async with connected("/plain") as (other, _):  # clients have gone meanwhile, and a hook has heard of it
            assert await other("?") == ["nobody", "started"]
        assert await hooked("?") == [own_id, "started"]


class Asked:
    """Connects clients of a URL."""

    def __init__(self, url):
        self._url = url

    def __call__(self, path):
        self._socket = connect(self._url + path, compression=None, proxy=None)
        return Asked._Client(self._socket)

    class _Client:
        def __init__(self, connecting):
            self._connecting = connecting

        async def __aenter__(self):
            socket = await self._connecting.__aenter__()

            async def ask(message):
                await socket.send(orjson.dumps({"message": message}).decode())
                answer = await asyncio.wait_for(socket.recv(), 10)
                return orjson.loads(answer) if answer.startswith("[") else answer

            return ask, socket.response.headers["X-Signalpost-Client-Id"]

        async def __aexit__(self, *error):
            await self._connecting.__aexit__(*error)


async def test_variables_of_a_client_s_context_are_its_own_under_asyncio():
    async with serve(APP, plugins={"vars": PLUGIN}) as app:
        await check(Asked(app.url()))


@pytest.fixture
def process(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "vars.py").write_text(PLUGIN)
    (tmp_path / "routes.yaml").write_text(APP)
    command = [sys.executable, "-m", "signalpost", "run", "--no-watch"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment) as running:
        yield running
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)


@pytest.mark.slow
async def test_variables_of_a_client_s_context_are_its_own_under_run(process):
    """uvloop runs the callbacks of all connections in the one context in which the port was opened."""
    await check(Asked(process.stdout.readline().split()[1]))


REQUESTS = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
routes:
  - {path: /handler, method: GET, handler: keep}
  - {path: /action, method: GET, do: [{put: {value: "{{ request.query.v }}"}}, {respond: {text: "{{ user() }}"}}]}
  - {path: /read, method: GET, do: [{respond: {text: "{{ user() }}"}}]}
  - {path: /view, view: page.html}
  - {path: /slow, method: GET, handler: slow}
"""
OF_REQUESTS = (
    PLUGIN
    + """
from signalpost import route

@hookimpl
def template_filters():
    return {"put": USER.set}

@route("keep")
async def keep(event):
    before = USER.get()
    USER.set("handler")
    await asyncio.sleep(0)
    return f"{before} {USER.get()}"

@route("slow")
async def slow(event):
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0)
    except TimeoutError:
        USER.set("late")
        raise ValueError("late") from None
"""
)


async def test_requests_of_one_connection_have_a_context_each(tmp_path):
    """A proxy sends requests of many clients over one connection."""
    (tmp_path / "page.html").write_text("{{ user() }}{{ (request.method | put) and '' }}{{ user() }}")
    async with serve(REQUESTS, folder=tmp_path, plugins={"vars": OF_REQUESTS}) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.server.endpoints[0].port)

        async def ask(path):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head.split()[1]), (await reader.readexactly(length)).decode()

        assert [await ask("/handler") for _ in range(2)] == [(200, "nobody handler")] * 2
        assert (await ask("/action?v=ada"))[1] == "ada"
        assert (await ask("/read"))[1] == "nobody"
        assert [await ask("/view") for _ in range(2)] == [(200, "nobodyGET")] * 2
        assert (await ask("/slow"))[0] == 500
        assert await ask("/read") == (200, "nobody")
        writer.close()


async def test_messages_that_are_handled_at_once_have_a_copy_each():
    async with (
        serve(APP, plugins={"vars": PLUGIN}) as app,
        app.connect("/wide") as client,
    ):
        await client.send("a")
        await client.send("b")
        assert sorted([await client.receive_json() for _ in range(2)]) == [["nobody", "a"], ["nobody", "b"]]


async def test_a_client_for_whom_no_code_of_plugins_runs_has_no_context():
    live = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]"
    app = f"{live}\nsignals: [{{path: /, do: [{{reply: {{value: x}}}}]}}]"
    async with serve(app) as running, running.connect("/") as client:
        await client.send("x")
        assert await client.receive() == "x"
        (conversation,) = (watched.conversation for watched in running.server._sockets.connections)
        assert conversation._context is None


def test_the_plugin_guide_says_that_a_client_has_a_context_of_its_own():
    guide = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
    assert "context of its own" in guide
