"""What a server does for plugins besides delivering: settings, background work, jobs, calls, errors, clients."""

import asyncio
import logging

import pytest

from signalpost.testing import serve

ROUTES = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
plugins: {settings: {chat: {greeting: hi}}}
limits: {drain: 5s}
"""


def plugin(code):
    return f"import asyncio\nfrom signalpost import *\n\n{code}"


class Talk:
    """An app with a plugin, and one client of it."""

    def __init__(self, app, client):
        self.app = app
        self.client = client

    async def ask(self, message="?"):
        await self.client.send(message)
        return await self.client.receive_json()


class Serving:
    def __init__(self, code, path="/ask", **more):
        self._source = {"chat": plugin(code), **{name: plugin(text) for name, text in more.items()}}
        self._path = path

    async def __aenter__(self):
        self._app = serve(ROUTES, plugins=self._source)
        app = await self._app.__aenter__()
        self._client = app.connect(self._path)
        return Talk(app, await self._client.__aenter__())

    async def __aexit__(self, *exit_):
        await self._client.__aexit__(*exit_)
        await self._app.__aexit__(*exit_)


async def test_an_event_has_the_plugin_s_settings_and_the_context_the_app_s_folder():
    code = """
@signal("ask", path="/ask")
async def ask(event):
    event.reply([event.settings["greeting"], str(event.context.folder)])
"""
    async with Serving(code) as talk:
        assert await talk.ask() == ["hi", str(talk.app.folder)]


async def test_what_plugins_keep_about_a_client_is_the_client_s_own():
    code = """
@hookimpl
def client_connected(client, request):
    client.data["agent"] = request.headers["user-agent"]
    client.data["room"] = request.query.get("room")

@signal("ask", path="/ask")
async def ask(event):
    event.client.data["asked"] = event.client.data.get("asked", 0) + 1
    event.reply([event.client.data["agent"], event.client.data["room"], event.client.data["asked"]])
"""
    async with Serving(code, path="/ask?room=7") as talk, talk.app.connect("/ask") as other:
        assert (await talk.ask())[1:] == ["7", 1]
        agent, room, asked = await talk.ask()
        assert (agent.partition("/")[0], room, asked) == ("Python", "7", 2)
        await other.send("?")
        assert (await other.receive_json())[1:] == [None, 1]


SPAWNS = """
@signal("ask", path="/ask")
async def ask(event):
    async def work():
        {work}
    task = event.spawn(work(), name="digging")
    event.reply(task.get_name())
"""


async def test_what_an_event_spawns_goes_on_when_the_handler_has_ended():
    async with Serving(SPAWNS.format(work="event.reply(2)")) as talk:
        await talk.client.send("?")
        assert [await talk.client.receive(), await talk.client.receive()] == ["digging", "2"]


async def test_what_an_event_spawns_is_logged_with_its_name_when_it_fails(caplog):
    async with Serving(SPAWNS.format(work="raise ValueError('no')")) as talk:
        await talk.client.send("?")
        assert await talk.client.receive() == "digging"
    assert "plugin chat: the task digging failed" in caplog.text


async def test_a_stop_waits_for_what_an_event_has_spawned():
    code = """
DONE = []
@hookimpl
def shutdown(context):
    DONE.append("shutdown")
""" + SPAWNS.format(work="await asyncio.sleep(0.2); DONE.append('work')")
    async with Serving(code) as talk:
        await talk.client.send("?")
        await talk.client.receive()
        done = talk.app.server.plan.registry.plugins[0].module.DONE
    assert done == ["work", "shutdown"]


async def test_what_an_event_has_spawned_without_end_is_cancelled_and_named(caplog):
    code = SPAWNS.format(work="await asyncio.Event().wait()")
    routes = ROUTES.replace("drain: 5s", "drain: 100ms")
    async with serve(routes, plugins={"chat": plugin(code)}) as app, app.connect("/ask") as client:
        await client.send("?")
        await client.receive()
    assert "plugin chat: the task digging was cancelled, since it was not over" in caplog.text


JOBS = """
@timer("tick", every="1h")
async def tick(event):
    event.state["runs"] = event.state.get("runs", 0) + 1

@signal("ask", path="/ask")
async def ask(event):
    jobs = event.context.jobs
    match event.data.message:
        case "run":
            event.reply([await jobs.run("tick"), event.state["runs"]])
        case "pause" | "resume":
            getattr(jobs, event.data.message)("tick")
            event.reply([jobs.status("tick").paused])
        case "names":
            event.reply(list(jobs.names()))
        case other:
            try:
                jobs.pause(other)
            except LookupError as error:
                event.reply([str(error)])
"""


async def test_a_plugin_runs_pauses_and_asks_a_job():
    async with Serving(JOBS) as talk:
        assert await talk.ask("names") == ["tick"]
        assert await talk.ask("run") == [True, 1]
        assert await talk.ask("pause") == [True]
        assert await talk.ask("run") == [True, 2]
        assert await talk.ask("resume") == [False]
        assert await talk.ask("tikc") == ['no job is named "tikc"; did you mean "tick"?']
        assert await talk.ask(5) == ["a job's name is a text, not 5"]


async def test_a_job_that_a_startup_asks_for_is_said_to_have_not_begun_yet():
    code = """
@timer("tick", every="1h")
async def tick(event):
    pass

@hookimpl
async def startup(context):
    context.own["said"] = []
    for ask in (context.jobs.status, context.jobs.run):
        try:
            outcome = ask("tick")
            await outcome
        except (LookupError, RuntimeError) as error:
            context.own["said"].append(str(error))

@signal("ask", path="/ask")
async def ask(event):
    try:
        await event.call(5)
    except TypeError as error:
        event.reply([*event.context.own["said"], str(error)])
"""
    async with Serving(code) as talk:
        assert await talk.ask() == [
            'the job "tick" has not begun yet: jobs run when all plugins have started',
            "jobs run between start and stop only: not yet while plugins start",
            "a handler's name is a text, not 5",
        ]


CALLER = """
@signal("ask", path="/ask")
async def ask(event):
    try:
        event.reply([await event.call(event.data.message)])
    except Exception as error:
        event.reply([type(error).__name__, str(error)])
"""
CALLED = """
@signal("answer")
async def answer(event):
    return f"{event.context.plugin} heard {event.data.message}"

@signal("fail")
async def fail(event):
    raise SystemExit(3)

@timer("tick")
async def tick(event): ...
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("answer", ["other heard answer"]),
        ("fail", ["EscapedError", "SystemExit: 3"]),
        (
            "anwser",
            ["LookupError", 'no handler named "anwser"; did you mean "answer"? (known: answer, ask, fail, tick)'],
        ),
    ],
)
async def test_a_plugin_calls_the_handler_of_another(name, told, caplog):
    async with Serving(CALLER, other=CALLED) as talk:
        assert await talk.ask(name) == told
    assert "nobody gets" not in caplog.text


async def test_a_handler_that_takes_other_events_is_not_called():
    async with Serving(CALLER, other=CALLED) as talk:
        kind, text = await talk.ask("tick")
    assert kind == "TypeError"
    assert text.endswith("takes a TickEvent, and this is a SignalEvent")


WATCHER = """
@hookimpl
{kind} on_error(error, what, plugin, event, client):
    SEEN.append((type(error).__name__, what.partition(" (")[0], plugin, type(event).__name__, client is not None))
    {more}

SEEN = []
"""
FAILING = """
@signal("ask", path="/ask")
async def ask(event):
    raise KeyError("x")

@timer("tick", every="1h", on_start=True)
async def tick(event):
    raise SystemExit(2)

@hookimpl
async def client_disconnected(client):
    raise ValueError("gone")

@hookimpl
def startup(context):
    context.create_task(fail())

async def fail():
    await asyncio.sleep(0)
    raise OSError("task")
"""


@pytest.mark.parametrize(("kind", "more"), [("def", ""), ("async def", ""), ("def", "raise RuntimeError('mine')")])
async def test_on_error_hears_what_code_of_plugins_raises_and_is_told_once(kind, more, caplog):
    caplog.set_level(logging.ERROR)
    async with Serving(FAILING, watch=WATCHER.format(kind=kind, more=more)) as talk:
        assert "error" in await talk.ask()
        module = next(each.module for each in talk.app.server.plan.registry.plugins if each.name == "watch")
    assert sorted(module.SEEN) == [
        ("KeyError", 'handler "ask" of plugin chat', "chat", "SignalEvent", True),
        ("OSError", "task fail of plugin chat", "chat", "NoneType", False),
        ("SystemExit", 'handler "tick" of plugin chat', "chat", "TickEvent", False),
        ("ValueError", "hook client_disconnected of plugin chat", "chat", "NoneType", True),
    ]
    assert ("hook on_error failed" in caplog.text) == bool(more)


async def test_an_event_outside_of_a_plugin_s_code_spawns_nothing():
    from signalpost.events import PluginView

    class Bare(PluginView):
        _seat = None

    async def work():
        raise AssertionError

    with pytest.raises(RuntimeError, match="has a context while a server gives it"):
        Bare().spawn(work())
    await asyncio.sleep(0)


async def test_the_id_of_a_client_is_not_a_plugin_s_to_choose(caplog):
    code = """
@signal("ask", path="/ask")
async def ask(event):
    event.client.id = event.data.message
"""
    async with Serving(code) as talk:
        assert (await talk.ask("bob"))["error"]["code"] == "handler-failed"
        async with talk.app.connect("/ask") as client:
            assert set(talk.app.server.node.hub.clients) == {talk.client.id, client.id}
    assert "has no setter" in caplog.text
