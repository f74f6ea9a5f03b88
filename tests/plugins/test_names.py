"""The modules of drop-ins have names that last: over restarts, over reloads, and in processes that are spawned."""

import json
import os
import pickle
import subprocess
import sys

from signalpost.plugins.folders import PREFIX
from signalpost.testing import serve

POINTS = """
from dataclasses import dataclass

from ._kinds import Kind

@dataclass
class Point:
    x: int
    kind: Kind

NEAR = Point({x}, Kind("near"))
"""
KINDS = "from dataclasses import dataclass\n\n@dataclass\nclass Kind:\n    name: str\n"
ROUTES = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
POOLED = """
import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from signalpost import signal

from ._kinds import Kind


def name(number):
    return Kind(f"of {number}")


@signal("ask", path="/ask")
async def ask(event):
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        kind = await asyncio.get_running_loop().run_in_executor(pool, name, event.data.message)
    event.reply(kind.name)
"""


def module_of(registry, name):
    return next(plugin.module for plugin in registry.plugins if plugin.name == name)


def test_what_is_pickled_is_read_after_a_restart(app):
    app.write("points.py", POINTS.format(x=1))
    app.write("_kinds.py", KINDS)
    first = app.load()
    data = pickle.dumps(module_of(first, "points").NEAR)
    first.unload()
    second = app.load()
    assert pickle.loads(data) == module_of(second, "points").NEAR


def test_what_is_pickled_beside_a_plan_at_work_is_read_when_only_one_is_left(app):
    loaded = set(sys.modules)
    app.write("points.py", POINTS.format(x=1))
    app.write("_kinds.py", KINDS)
    before = app.load()
    app.write("points.py", POINTS.format(x=2))
    beside = app.load()
    module = module_of(beside, "points")
    assert module.__name__ != module_of(before, "points").__name__
    data = pickle.dumps(module.NEAR)
    assert pickle.loads(data) is not None
    before.unload()
    beside.unload()
    after = app.load()
    again = module_of(after, "points")
    assert again.__name__ == module_of(before, "points").__name__
    assert pickle.loads(data) == again.NEAR
    assert type(pickle.loads(data)) is again.Point
    after.unload()
    assert not [name for name in set(sys.modules) - loaded if name.startswith(PREFIX)]


def test_what_was_pickled_before_a_change_is_read_while_a_neighbour_goes_on_as_it_is(app):
    app.write("points.py", POINTS.format(x=1))
    app.write("neighbour.py", "")
    app.write("_kinds.py", KINDS)
    before = app.load()
    data = pickle.dumps(module_of(before, "points").NEAR)
    app.write("points.py", POINTS.format(x=2))
    after = app.load(before=before)
    before.unload()
    assert module_of(after, "neighbour") is module_of(before, "neighbour")
    point = pickle.loads(data)
    assert type(point) is module_of(after, "points").Point
    assert point.x == 1


LATE = """
def kind():
    from ._kinds import Kind
    return Kind
"""


def test_what_a_kept_plugin_imports_later_is_what_its_neighbours_have(app):
    app.write("points.py", "")
    app.write("late.py", LATE)
    app.write("_kinds.py", KINDS)
    before = app.load()
    app.write("points.py", "from ._kinds import Kind")
    after = app.load(before=before)
    before.unload()
    assert module_of(after, "late").kind() is module_of(after, "points").Kind
    digests = {plugin.name: plugin.digest for plugin in after.plugins}
    once_more = app.load(before=after)
    assert {plugin.name: plugin.digest for plugin in once_more.plugins} == digests
    after.unload()
    app.write("_kinds.py", KINDS + "# changed\n")
    last = app.load(before=once_more)
    once_more.unload()
    assert all(plugin.digest != digests[plugin.name] for plugin in last.plugins)
    assert module_of(last, "late").kind() is module_of(last, "points").Kind


GATHERS = """
import importlib
import pkgutil

FOUND = [importlib.import_module(f".{each.name}", __name__).NAME for each in pkgutil.iter_modules(__path__)]
"""


def test_a_package_that_imports_whatever_is_in_its_folder_is_imported_anew_for_a_file_that_comes_or_goes(app):
    app.write("games/__init__.py", GATHERS)
    app.write("games/chess.py", "NAME = 'chess'")
    before = app.load()
    app.write("games/.#go.py", "")  # as an editor leaves one while it is open
    same = app.load(before=before)
    assert module_of(same, "games") is module_of(before, "games")
    go = app.write("games/go.py", "NAME = 'go'")
    more = app.load(before=same)
    assert module_of(more, "games").FOUND == ["chess", "go"]
    go.unlink()
    assert module_of(app.load(before=more), "games").FOUND == ["chess"]


def test_another_process_reads_what_is_pickled_without_loading_any_plan_and_leaves_no_compiled_file(app):
    app.write("points.py", POINTS.format(x=1))
    app.write("_kinds.py", KINDS)
    data = pickle.dumps(module_of(app.load(), "points").NEAR)
    code = f"import pickle; print(pickle.loads(bytes.fromhex({data.hex()!r})))"
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "Point(x=1, kind=Kind(name='near'))\n", done.stderr
    assert not list(app.folder.rglob("*.pyc"))


async def test_a_pool_of_spawned_processes_runs_a_plugin_s_function(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "_kinds.py").write_text(KINDS)
    async with serve(ROUTES, folder=tmp_path, plugins={"pooled": POOLED}) as app, app.connect("/ask") as client:
        await client.send("7")
        assert await client.receive() == "of 7"
        await app.reload(plugins={"pooled": POOLED.replace("of {", "by {")})
        await client.send("8")
        assert await client.receive() == "by 8"


def test_two_folders_have_names_of_their_own_that_are_the_same_in_every_process(make_app):
    names = {}
    for name in ("one", "two"):
        app = make_app(name)
        app.write("a.py", "")
        names[str(app.folder)] = module_of(app.load(), "a").__name__
    assert len(set(names.values())) == 2
    code = (
        "import json, sys; from pathlib import Path; from signalpost.plugins.folders import name_for; "
        "print(json.dumps({each: name_for(Path(each)) + '.a' for each in sys.argv[1:]}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == names
