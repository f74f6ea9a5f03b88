"""Whatever a plugin raises, wherever its code is called, ends that call, and nothing else."""

import asyncio
import contextlib
import logging
import textwrap

import httpx
import pytest

from signalpost import foreign
from signalpost.errors import PluginError
from signalpost.foreign import Code, EscapedError
from signalpost.testing import serve

pytestmark = pytest.mark.anyio

ESCAPES = {
    "SystemExit": "raise SystemExit(2)",
    "argparse": "__import__('argparse').ArgumentParser().parse_args(['--help'])",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "CancelledError": "raise __import__('asyncio').CancelledError",
    "GeneratorExit": "raise GeneratorExit",
    "Own": "raise type('Own', (BaseException,), {})('mine')",
}
RAISED = {"argparse": "SystemExit"}

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
routes:
  - {path: /handler, method: GET, handler: route}
  - {path: /stream, method: GET, handler: stream}
  - {path: /call, method: GET, do: [{call: route}]}
  - {path: /name, view: name.html}
  - {path: /filter, view: filter.html}
signals:
  - {path: /handler, handler: handler}
  - {path: /later, handler: later}
  - {path: /call, do: [{call: handler}]}
  - {path: /action, do: [{plain: {}}]}
  - {path: /slow-action, do: [{waiting: {}}]}
  - {path: /name, do: [{reply: {value: "{{ broken() }}"}}]}
  - {path: /method, do: [{reply: {value: "{{ thing ~ '' }}"}}]}
  - {path: /filter, do: [{reply: {value: "{{ message | bad }}"}}]}
  - {path: /constant, do: [{reply: {value: "{{ 1 | bad }}"}}]}
  - {path: /here, do: [{reply: {value: "here"}}]}
timers:
  - {name: tick, every: 1d, on_start: true, handler: tick}
  - {name: steps, every: 1d, on_start: true, do: [{waiting: {}}]}
"""

APP_OF_MUTE = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
routes:
  - {path: /text, method: GET, do: [{respond: {text: "{{ fail() }}"}}]}
signals:
  - {path: /template, do: [{reply: {value: "{{ fail() }}"}}]}
  - {path: /here, do: [{reply: {value: "here"}}]}
"""

PLUGIN = """
import asyncio
from sanic.response import ResponseStream
from signalpost import action, hookimpl, route, signal, timer

def escape(*_):
    ESCAPE

class Thing:
    def __str__(self):
        escape()

@signal("handler")
async def handler(event):
    escape()

@signal("later")
async def later(event):
    await asyncio.sleep(0)
    escape()

@route("route")
async def answer(event):
    escape()

@route("stream")
async def stream(event):
    async def write(response):
        await response.write("a")
        escape()
    return ResponseStream(write)

@timer("tick")
async def tick(event):
    escape()

@action("plain")
def plain(event, options):
    escape()

@action("waiting")
async def waiting(event, options):
    await asyncio.sleep(0)
    escape()

@hookimpl
def template_globals():
    return {"broken": escape, "thing": Thing()}

@hookimpl
def template_filters():
    return {"bad": escape}

@hookimpl
def startup(context):
    async def fail():
        escape()
    context.create_task(fail(), name="fail")

@hookimpl
def shutdown(context):
    escape()

@hookimpl
def client_connected(client):
    escape()

@hookimpl
async def client_disconnected(client, code):
    await asyncio.sleep(0)
    escape()
"""
GOOD = """
from signalpost import hookimpl

@hookimpl
def shutdown(context):
    context.state["told"] = [*context.state.get("told", []), "good"]
"""


@pytest.mark.parametrize("name", ESCAPES)
async def test_nothing_that_a_plugin_raises_ends_more_than_its_call(name, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "name.html").write_text("{{ broken() }}")
    (tmp_path / "filter.html").write_text("{{ 1 | bad }}")
    plugins = {"bad": PLUGIN.replace("ESCAPE", ESCAPES[name]), "a_good": GOOD}
    async with serve(APP, folder=tmp_path, plugins=plugins) as app, app.connect("/here") as neighbour:

        async def is_served():
            await neighbour.send("?")
            assert await neighbour.receive() == "here"

        for path in ("handler", "later", "call", "action", "slow-action", "name", "method", "filter", "constant"):
            async with app.connect(f"/{path}") as client:
                await client.send("x")
                assert (await client.receive_json())["error"]["code"] == "handler-failed", path
                await client.send("x")  # the client itself is served on
                assert (await client.receive_json())["error"]["code"] == "handler-failed", path
            await is_served()
        async with httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as http:
            for path in ("handler", "call", "name", "filter"):
                assert (await http.get(f"/{path}")).status_code == 500, path
            with contextlib.suppress(httpx.HTTPError):  # it had begun to answer
                await http.get("/stream")
            await is_served()
        await app.reload(plugins={"bad": PLUGIN.replace("ESCAPE", ESCAPES[name]) + "\n# changed\n"})
        await is_served()
        state = app.server.node.state
    assert state["told"][-1] == "good"  # it is shut down behind the other one
    texts = [record.getMessage() for record in caplog.records]
    for part in ("task fail failed", "hook client_connected failed", "hook client_disconnected failed"):
        assert any(part in text for text in texts), part
    assert sum("hook shutdown failed" in text for text in texts) == 2
    assert any('timer "tick"' in text and "failed" in text for text in texts)
    assert any('timer "steps"' in text and "failed" in text for text in texts)
    raised = {record.exc_info[0].__name__ for record in caplog.records if record.exc_info}
    assert RAISED.get(name, name) in raised


HOOKS = ("register_handlers", "register_actions", "template_globals", "template_filters", "settings_schema")


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("hook", ["import", *HOOKS])
def test_what_a_plugin_raises_while_it_is_loaded_is_an_error_of_that_plugin(name, hook, app):
    escape = f"    {ESCAPES[name]}\n"
    source = f"from signalpost import hookimpl\n@hookimpl\ndef {hook}():\n{escape}"
    app.write("bad.py", f"if 1:\n{escape}" if hook == "import" else source)
    app.write("good.py", "")
    registry = app.load()
    (error,) = registry.errors
    assert error.plugin == "bad"
    assert RAISED.get(name, name) in error.text
    assert error.where.endswith((":2", ":4", "argparse.py:1")) or "bad.py" in error.where
    assert "good" in {plugin.name for plugin in registry.plugins}


def test_what_is_offered_may_raise_whatever_it_is_asked(app):
    source = """
        from collections.abc import Mapping
        from signalpost import hookimpl

        class Names(Mapping):
            def __getitem__(self, key):
                raise SystemExit
            def __iter__(self):
                raise SystemExit
            def __len__(self):
                return 1

        @hookimpl
        def template_globals():
            return Names()
    """
    app.write("bad.py", textwrap.dedent(source))
    assert [error.text for error in app.load().errors] == ["what it offers cannot be used: SystemExit"]


def test_an_object_that_stands_for_another_one_may_be_anything_in_a_plugin_s_module(app):
    source = """
        from signalpost import hookimpl, signal

        class Local:  # as werkzeug's LocalProxy outside of a request
            @property
            def __class__(self):
                ESCAPE
            def __getattr__(self, name):
                ESCAPE
            def __bool__(self):
                ESCAPE
            def __eq__(self, other):
                ESCAPE
            __hash__ = None

        request = Local()

        @hookimpl
        def startup(context):
            pass

        @signal("echo")
        async def echo(event):
            pass
    """
    for index, escape in enumerate((*ESCAPES.values(), "raise RuntimeError('working outside of request context')")):
        app.write(f"local{index}.py", textwrap.dedent(source).replace("ESCAPE", escape).replace("echo", f"echo{index}"))
    registry = app.load()
    assert (registry.errors, registry.notes) == ((), ())
    assert len(registry.handlers) == len(registry.implementations["startup"]) == len(ESCAPES) + 1


def test_functions_of_no_module_are_nobody_s_handlers(app):
    app.write("made.py", "names = {}\nexec('def made(): pass', names)\nmade = names['made']\nmade.__module__ = None\n")
    assert app.load().errors == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ESCAPES)
async def test_an_exception_that_cannot_say_what_it_is_fails_of_nothing_more(name, caplog):
    escape = ESCAPES[name]
    source = f"""
from signalpost import hookimpl, signal
class Mute(BASE):
    def __str__(self):
        {escape}
    __repr__ = __str__
@signal("mute", path="/mute")
async def mute(event):
    raise Mute
@hookimpl
def template_globals():
    def fail():
        raise Mute
    return {{"fail": fail}}
"""
    for base in ("Exception", "ValueError", "BaseException"):
        async with serve(APP_OF_MUTE, plugins={"mute": source.replace("BASE", base)}) as app:
            for path in ("/mute", "/template"):
                async with app.connect(path) as client:
                    await client.send("hi")
                    assert (await client.receive_json())["error"]["code"] == "handler-failed"
            async with httpx.AsyncClient(base_url=app.url("web")) as web:
                assert (await web.get("/text")).status_code == 500
            async with app.connect("/here") as client:
                await client.send("hi")
                assert await client.receive() == "here"
    assert "handler mute of plugin mute failed on /mute" in caplog.text
    caplog.clear()  # nothing that comes later words them again


@pytest.mark.parametrize("name", ESCAPES)
async def test_a_startup_that_raises_what_is_no_exception_ends_the_start_with_a_line(name):
    source = f"from signalpost import hookimpl\n@hookimpl\nasync def startup(context):\n    {ESCAPES[name]}\n"
    with pytest.raises(PluginError, match=rf"its startup failed: {RAISED.get(name, name)}"):
        async with serve(APP.partition("routes")[0], plugins={"bad": source}):
            pass


async def test_a_shutdown_that_awaits_a_task_it_has_cancelled_keeps_nobody_from_being_shut_down():
    source = """
    import asyncio
    from signalpost import hookimpl

    @hookimpl
    async def shutdown(context):
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
    """
    async with serve(APP.partition("routes")[0], plugins={"bad": source, "a_good": GOOD}) as app:
        await app.reload(plugins={"bad": textwrap.dedent(source) + "\n# changed\n"})
        state = app.server.node.state
    assert state["told"][-1] == "good"


CODE = Code("handler", "test", "here")


async def test_a_real_cancellation_of_a_plugin_s_code_passes():
    begun = asyncio.Event()

    async def code():
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(CODE.run(code))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_passes_while_the_code_has_been_cancelled_once_before():
    async def main():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # as when a start is broken off, and the server is stopped in the same task
            with pytest.raises(EscapedError):
                await CODE.run(own)
            return "stopped"

    async def own():
        raise asyncio.CancelledError

    task = asyncio.create_task(main())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "stopped"


@pytest.mark.parametrize("waits", [True, False])
async def test_code_that_cancels_the_task_it_runs_in_has_cancelled_nothing_but_itself(waits):
    async def own():
        asyncio.current_task().cancel()
        if waits:
            await asyncio.Event().wait()

    async def main():
        if waits:
            with pytest.raises(EscapedError, match="CancelledError"):
                await CODE.run(own)
        else:
            await CODE.run(own)
        await asyncio.sleep(0)
        return "served on"

    assert await asyncio.create_task(main()) == "served on"


async def test_a_time_limit_of_the_code_s_own_is_an_exception_like_any_other():
    async def own():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await asyncio.create_task(CODE.run(own))


async def test_a_time_limit_around_the_code_ends_it():
    async def own():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await CODE.run(own)


async def test_a_coroutine_that_is_thrown_away_is_closed_in_silence(caplog):
    closed = []

    async def own():
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    coroutine = CODE.run(own)
    coroutine.send(None)
    coroutine.close()
    assert closed == [True]


IN_TEMPLATES = """
import time
from signalpost import hookimpl
@hookimpl
def template_globals():
    def slow(value=None):
        time.sleep(0.002)
        return 1
    def broken(value):
        raise KeyError("no")
    return {"slow": slow, "broken": broken, "number": 5, "kind": dict}
@hookimpl
def template_filters():
    return {"held": lambda value: time.sleep(0.002) or value, "bad": lambda value: {}["bad"]}
"""
TELLS = """
from signalpost import hookimpl
SEEN = []
@hookimpl
def on_error(error, what, plugin, event, client):
    SEEN.append((repr(error), what.partition(" (")[0], plugin, event, client))
"""


async def test_what_templates_call_of_a_plugin_is_named_where_it_blocks_and_told_where_it_fails(caplog, monkeypatch):
    monkeypatch.setattr(foreign, "LONGEST_TURN", 0.001)
    routes = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /slow, do: [{reply: {value: "{{ slow(value=number) }}"}}]}
  - {path: /held, do: [{reply: {value: "{{ message | held }}"}}]}
  - {path: /broken, do: [{reply: {value: "{{ broken(data) }}"}}]}
  - {path: /bad, do: [{reply: {value: "{{ message | bad }}"}}]}
"""
    async with serve(routes, plugins={"names": IN_TEMPLATES, "tells": TELLS}) as app:
        for path, answer in (("/slow", "1"), ("/held", "hi"), ("/broken", None), ("/bad", None)):
            async with app.connect(path) as client:
                await client.send("hi", client="not one")
                heard = await client.receive()
                assert heard == answer or (answer is None and "handler-failed" in heard)
        (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "tells")
    assert module.SEEN == [
        ("KeyError('no')", 'function "broken" of plugin names', "names", None, None),
        ("KeyError('bad')", 'filter "bad" of plugin names', "names", None, None),
    ]
    blocked = [line.partition(" (")[0] for line in caplog.messages if "blocked the loop" in line]
    assert blocked == ['function "slow" of plugin names', 'filter "held" of plugin names']


RETURNS = """
from signalpost import action, hookimpl, route, signal

class Anything:
    @property
    def __class__(self):
        ESCAPE
    def __getattr__(self, name):
        ESCAPE
    def __bool__(self):
        ESCAPE
    def __eq__(self, other):
        ESCAPE
    __hash__ = None

@signal("handler", path="/handler")
async def handler(event):
    return Anything()

@action("returns")
def returns(event, options):
    return Anything()

@route("route", path="/route", methods=["GET"])
async def answer(event):
    return Anything()

@hookimpl
def client_connected(client):
    return Anything()

@hookimpl
def shutdown(context):
    return Anything()
"""


@pytest.mark.parametrize("name", ESCAPES)
async def test_what_a_plugin_returns_may_raise_whatever_it_is_asked(name, caplog):
    routes = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: /action, do: [{returns: {}}]}
  - {path: /here, do: [{reply: {value: here}}]}
"""
    source = RETURNS.replace("ESCAPE", ESCAPES[name])
    async with serve(routes, plugins={"any": source}) as app:
        for path in ("/handler", "/action"):
            async with app.connect(path) as client:
                await client.send("hi")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client.receive()
        async with httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as http:
            assert (await http.get("/route")).status_code == 500
        async with app.connect("/here") as client:
            await client.send("hi")
            assert await client.receive() == "here"
