"""`signalpost run` while its files are saved: what it prints, what it keeps, and what SIGHUP does."""

import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
plugins: {folder: code}
routes: [{path: /, view: web/page.html}]
signals:
  - {path: /, rebroadcast: sender, schema: shape.json}
  - {path: /ask, handler: ask}
timers: !include_dir timers
limits: !include limits.yaml
"""
FILES = {
    "routes.yaml": APP,
    "shape.json": '{"type": "object"}',
    "web/page.html": '{% extends "web/base.html" %}',
    "web/base.html": "hello",
    "code/talk.py": "from signalpost import signal\nfrom ._words import WORD\n\n"
    "@signal('ask')\nasync def ask(event):\n    event.reply(WORD)\n",
    "code/_words.py": "WORD = 'old'\n",
    "timers/one.yaml": "- {name: one, every: 1h, broadcast: {value: x}}\n",
    "limits.yaml": "rate: 100/s\n",
}


@pytest.fixture
def app(folder):
    """Write the files of an app."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def by_rename(path, text):
    """Save as most editors do: nobody ever sees half of it."""
    path.with_name(f".{path.name}.new").write_text(text)
    path.with_name(f".{path.name}.new").replace(path)


def with_backup(path, text):
    """Save as Vim does: try whether it may, move the old one away, write a new one, take the old one away."""
    (path.parent / "4913").write_text("")
    (path.parent / "4913").unlink()
    path.rename(f"{path}~")
    path.write_text(text)
    Path(f"{path}~").unlink()


def by_link(path, text):
    """Save as Kubernetes does: the file is a link into a folder that is itself a link."""
    new = path.parent / f"..{len(list(path.parent.iterdir()))}"
    new.mkdir()
    (new / path.name).write_text(text)
    (path.parent / "..next").symlink_to(new)
    (path.parent / "..next").rename(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data") / path.name)


@pytest.mark.slow
def test_a_save_is_a_reload_however_it_is_done_and_who_is_connected_stays(app, run):
    server = run()
    more = APP.replace("  - {path: /ask", "  - {path: /more}\n  - {path: /ask")
    with connect(server.urls["live"], compression=None, proxy=None) as client:
        for save in (Path.write_text, by_rename, with_backup, by_link, by_link):
            for text, sign in ((more, "+"), (APP, "-")):
                save(app / "routes.yaml", text)
                assert server.process.stdout.readline() == f"reloaded: {sign}1 signal, 1 client kept\n", save
        client.send('{"message": "still"}')
        assert client.recv() == "still"
    assert server.end(signal.SIGTERM) == (0, "", "")


SAVED = {
    "shape.json": ('{"type": "object", "required": ["message"]}', "~1 signal"),
    "web/base.html": ("another", "~1 route"),
    "web/page.html": ("another", "~1 route"),
    "code/talk.py": (FILES["code/talk.py"] + "\n", "~1 plugin"),
    "code/_words.py": ("WORD = 'new'\n", "~1 plugin"),
    "code/more.py": ("", "+1 plugin"),
    "code/pack/__init__.py": ("", "+1 plugin"),
    "timers/one.yaml": ("- {name: one, every: 2h, broadcast: {value: x}}\n", "~1 timer"),
    "timers/two.yaml": ("- {name: two, every: 2h, broadcast: {value: x}}\n", "+1 timer"),
    "limits.yaml": ("rate: 200/s\n", "~limits.rate"),
}


@pytest.mark.slow
def test_every_file_that_the_app_is_made_of_is_watched(app, run):
    server = run()
    for name, (text, line) in SAVED.items():
        (app / name).parent.mkdir(exist_ok=True)
        (app / name).write_text(text)
        assert server.process.stdout.readline() == f"reloaded: {line}\n", name
    with connect(server.urls["live"] + "/ask", compression=None, proxy=None) as client:
        client.send('{"message": "?"}')
        assert client.recv() == "new"
    for name in ("code/more.py", "timers/two.yaml"):
        (app / name).unlink()
        assert server.process.stdout.readline().startswith("reloaded: -1 "), name
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
def test_a_job_that_a_plugin_runs_again_when_the_file_names_it_no_more_is_told_of(app, run):
    source = (
        "from signalpost import schedule\n\n@schedule('nightly', cron='0 0 * * *')\nasync def nightly(event): ...\n"
    )
    (app / "code/night.py").write_text(source)
    (app / "routes.yaml").write_text(f"{APP}schedules: [{{name: late, cron: '1 1 * * *', handler: nightly}}]\n")
    server = run()
    (app / "routes.yaml").write_text(APP)
    assert server.process.stdout.readline() == "reloaded: +1 schedule, -1 schedule\n"
    note = server.process.stdout.readline()
    assert note == (
        'note: plugin night runs the job "nightly" by itself again, as the file no longer names its handler; to stop '
        "that, write handlers: {nightly: off}\n"
    )
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "when",
    ["os.chdir('/')", "@hookimpl\ndef startup(context): os.chdir('/')"],
)
def test_a_plugin_that_goes_to_another_folder_breaks_no_reload(app, run, process, when):
    (app / "code/wander.py").write_text(f"import os\nfrom signalpost import hookimpl\n\n{when}\n")
    server = run()
    (app / "routes.yaml").write_text(APP.replace("  - {path: /ask", "  - {path: /more}\n  - {path: /ask"))
    assert server.process.stdout.readline() == "reloaded: +1 signal\n"
    (app / "routes.yaml").write_text("signals: 5\n")
    assert "routes.yaml:1:10: signals: " in "".join(server.process.stderr.readline() for _ in range(4))
    (app / "routes.yaml").write_text(APP)
    assert server.process.stdout.readline() == "reloaded: -1 signal\n"
    assert "nothing would change" in process("plan").communicate()[0]
    assert server.end(signal.SIGTERM)[0] == 0


@pytest.mark.slow
def test_a_burst_is_one_reload_and_sighup_asks_for_another(app, run):
    server = run()
    for name, (text, _) in SAVED.items():
        (app / name).parent.mkdir(exist_ok=True)
        by_rename(app / name, text)
    line = "reloaded: ~1 route, ~1 signal, +1 timer, ~1 timer, +2 plugins, ~1 plugin, ~limits.rate\n"
    assert server.process.stdout.readline() == line
    server.process.send_signal(signal.SIGHUP)
    assert server.process.stdout.readline() == "reloaded: nothing changed\n"
    assert server.end(signal.SIGTERM) == (0, "", "")


def test_a_broken_file_is_shown_as_check_shows_it_and_everything_stays_as_it_was(app, run, signalpost):
    server = run()
    broken = APP.replace("handler: ask", "handler: aks").replace("path: /,", "paht: /,", 1)
    (app / "routes.yaml").write_text(broken)
    shown = ""
    while not shown.endswith("not reloaded: the app goes on as it was\n"):
        shown += server.process.stderr.readline()
    assert shown.removesuffix("not reloaded: the app goes on as it was\n") == signalpost("check").output
    assert shown.count("did you mean") == 2
    with connect(server.urls["live"] + "/ask", compression=None, proxy=None) as client:
        client.send('{"message": "?"}')
        assert client.recv() == "old"
        (app / "routes.yaml").write_text(APP)
        assert server.process.stdout.readline() == "reloaded: nothing changed\n"
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
def test_a_file_that_is_at_fault_and_new_is_watched_until_it_is_mended(app, run):
    server = run()
    (app / "shapes").mkdir()
    (app / "shapes" / "new.json").write_text("{")
    (app / "routes.yaml").write_text(APP.replace("shape.json", "shapes/new.json"))
    while server.process.stderr.readline() != "not reloaded: the app goes on as it was\n":
        pass
    (app / "shapes" / "new.json").write_text('{"type": "array"}')
    assert server.process.stdout.readline() == "reloaded: ~1 signal\n"


@pytest.mark.slow
def test_a_file_that_is_named_before_it_is_made_is_waited_for(app, run):
    server = run()
    (app / "routes.yaml").write_text(APP.replace("timers:", "handlers: !include handlers.yaml\ntimers:"))
    while server.process.stderr.readline() != "not reloaded: the app goes on as it was\n":
        pass
    (app / "handlers.yaml").write_text("{}\n")
    assert server.process.stdout.readline() == "reloaded: nothing changed\n"


@pytest.mark.slow
def test_a_plugin_that_cannot_start_is_named_and_the_old_one_goes_on(app, run):
    server = run()
    (app / "code" / "more.py").write_text(
        "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    raise OSError('no coffee')\n"
    )
    shown = [server.process.stderr.readline()]
    while shown[-1] != "not reloaded: the app goes on as it was\n":
        shown.append(server.process.stderr.readline())
    assert "OSError: no coffee\n" in shown  # for the plugin's author
    assert shown[-2].startswith("signalpost: plugin more (")
    assert shown[-2].endswith("more.py:3): its startup failed: OSError: no coffee\n")
    with connect(server.urls["live"] + "/ask", compression=None, proxy=None) as client:
        client.send('{"message": "?"}')
        assert client.recv() == "old"


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_and_the_app_goes_on(app, run):
    server = run()
    port = server.urls["web"].rpartition(":")[2]
    more = f"  - {{name: more, address: 127.0.0.1, port: {port}, protocol: ws}}\nplugins:"
    (app / "routes.yaml").write_text(APP.replace("plugins:", more))
    assert 'routes.yaml:4: endpoint more: the endpoint "web"' in server.process.stderr.readline()
    assert server.process.stderr.readline() == "not reloaded: the app goes on as it was\n"


def test_what_lasts_is_printed_and_plan_compares_with_what_was_reloaded(app, run, signalpost):
    server = run()
    new = APP.replace("protocol: ws", "protocol: ws, compression: true")
    (app / "routes.yaml").write_text(new.replace("rebroadcast: sender, ", "rebroadcast: sender, handler: ask, "))
    out = server.process.stdout
    assert out.readline() == "reloaded: ~1 endpoint, ~1 signal\n"
    assert out.readline().startswith("note: endpoint live: compression is negotiated when a client connects")
    assert "nothing would change" in signalpost("plan").output


def has_inotify(process):
    found = []
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found.append(str(each.readlink()))
    return any("inotify" in each for each in found)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_watch_watches_nothing_and_sighup_reloads(app, run):
    watching = run()
    while not has_inotify(watching.process):
        time.sleep(0.02)
    assert watching.end(signal.SIGTERM) == (0, "", "")
    server = run("--no-watch")
    (app / "routes.yaml").write_text(APP.replace("/ask,", "/ask, parallel: 2,"))
    for line in ("~1 signal", "nothing changed"):
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stdout.readline() == f"reloaded: {line}\n"
    assert not has_inotify(server.process)
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
def test_a_secret_that_comes_by_a_reload_is_hidden_in_what_is_logged_from_then_on(app, run):
    server = run()
    (app / "secrets.yaml").write_text("token: hunter22hunter22\n")
    (app / "secrets.yaml").chmod(0o600)
    (app / "code" / "talk.py").write_text(
        "import logging\nfrom signalpost import hookimpl, signal\n\n"
        "@hookimpl\ndef startup(context):\n    logging.error('it is %s', context.settings['token'])\n\n"
        "@signal('ask')\nasync def ask(event): ...\n"
    )
    settings = "plugins: {folder: code, settings: {talk: {token: !secret token}}}"
    by_rename(app / "routes.yaml", APP.replace("plugins: {folder: code}", settings))
    line = server.process.stderr.readline()
    while "it is" not in line:
        line = server.process.stderr.readline()
    assert "hunter22" not in line
    assert "!secret token" in line


NEVER_READY = """
import asyncio
from signalpost import hookimpl

@hookimpl
async def startup(context):
    print("starting", flush=True)
    await asyncio.Event().wait()

@hookimpl
def shutdown(context):
    print("shut down", flush=True)
"""


@pytest.mark.slow
def test_a_stop_while_a_reload_waits_for_a_plugin_is_a_stop(app, run):
    server = run()
    (app / "code" / "slow.py").write_text(NEVER_READY)
    assert server.process.stdout.readline() == "starting\n"
    assert server.end(signal.SIGTERM) == (0, "shut down\n", "")


TAKES_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "signalpost", "run"])
"""


@pytest.mark.slow
def test_a_terminal_that_is_closed_stops_the_server_in_order(app):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKES_THE_TERMINAL],
        cwd=app,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    with process:
        while not process.stdout.readline().endswith("Ctrl-C stops\n"):
            pass
        os.close(ours)
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        assert process.wait() == 0


# Files that are written beside the app's, and saves that take their time

WRITER = """
from pathlib import Path
from signalpost import hookimpl, signal

HERE = Path(__file__).parent
STARTS = HERE / "starts.json"

@hookimpl
def startup(context):
    STARTS.write_text(str(int(STARTS.read_text()) + 1 if STARTS.exists() else 1))
    (HERE / "cache.db").write_bytes(b"x")

@signal("starts", path="/starts")
async def starts(event):
    event.reply(STARTS.read_text())
"""


def starts_of(server):
    with connect(server.urls["live"] + "/starts", compression=None, proxy=None) as client:
        client.send('{"message": "?"}')
        return client.recv()


def test_what_a_plugin_writes_beside_itself_reloads_nothing(app, run):
    (app / "code" / "writer.py").write_text(WRITER)
    server = run()
    (app / "limits.yaml").write_text("rate: 300/s\n")
    assert server.process.stdout.readline() == "reloaded: ~limits.rate\n"
    (app / "timers" / "run.log").write_text("a line\n")
    (app / "limits.yaml").write_text("rate: 400/s\n")
    assert server.process.stdout.readline() == "reloaded: ~limits.rate\n"
    assert starts_of(server) == "1"  # nothing of the plugin has changed
    assert server.end(signal.SIGTERM) == (0, "", "")


READER = """
import importlib.resources
import json
import pkgutil
from pathlib import Path
from signalpost import hookimpl, signal

HERE = Path(__file__).parent
CACHE = HERE / "cache.json"
WORDS = importlib.resources.files(__package__).joinpath("words.txt").read_text()
WORDS += pkgutil.get_data(__package__, "more.bin").decode()
SAVED = json.loads(CACHE.read_text()) if CACHE.exists() else 0

@hookimpl
def startup(context):
    keep(context)

def keep(context):
    context.state["starts"] = context.state.get("starts", 0) + 1
    new = CACHE.with_suffix(".new")
    new.write_text(json.dumps(context.state["starts"]))
    new.replace(CACHE)

@signal("read", path="/read")
async def read(event):
    CACHE.write_text("[]")
    event.reply([WORDS, event.state["starts"]])
"""


@pytest.mark.slow
def test_a_file_that_a_plugin_reads_as_it_is_imported_is_part_of_it_unless_the_plugin_writes_it(app, run):
    def read():
        with connect(server.urls["live"] + "/read", compression=None, proxy=None) as client:
            client.send('{"message": "?"}')
            return client.recv()

    for name, text in {"reader.py": READER, "words.txt": "one ", "more.bin": "two", "cache.json": "7"}.items():
        (app / "code" / name).write_text(text)
    server = run()
    assert read() == '["one two",1]'
    for starts, (name, text, words) in enumerate([("words.txt", "1 ", "1 two"), ("more.bin", "2", "1 2")], 2):
        by_rename(app / "code" / name, text)
        assert server.process.stdout.readline() == "reloaded: ~1 plugin\n"
        assert read() == f'["{words}",{starts}]'
    (app / "limits.yaml").write_text("rate: 300/s\n")
    assert server.process.stdout.readline() == "reloaded: ~limits.rate\n"
    assert read() == '["1 2",3]'
    (app / "code" / "words.txt").unlink()
    assert "plugin reader: does not import: FileNotFoundError" in server.process.stderr.readline()
    assert server.end(signal.SIGTERM)[:2] == (0, "")


RESTLESS = (
    "import sys, time\nwhile True:\n    open(sys.argv[1], 'w').write('# ' + str(time.time()))\n    time.sleep(0.02)\n"
)


@pytest.mark.slow
def test_a_file_of_the_app_that_changes_all_the_time_holds_nobody_elses_reload_back(app, run):
    server = run()
    with subprocess.Popen([sys.executable, "-c", RESTLESS, app / "timers" / "two.yaml"]) as restless:
        try:
            for rate in (300, 400):
                by_rename(app / "limits.yaml", f"rate: {rate}/s\n")
                assert server.process.stdout.readline() == "reloaded: ~limits.rate\n"
        finally:
            restless.kill()


SLOW_START = """
from pathlib import Path
from signalpost import hookimpl

Path("importing").touch()
while not Path("go").exists():
    pass

@hookimpl
def startup(context):
    Path("starting").touch()
    while Path("go").exists():
        pass
"""


@pytest.mark.slow
def test_what_is_saved_while_the_plan_is_read_and_while_plugins_start_counts(app, process):
    (app / "code" / "slow.py").write_text(SLOW_START)
    server = process("run")
    wait_for(app / "importing")
    (app / "limits.yaml").write_text("rate: 300/s\n")
    (app / "go").touch()
    wait_for(app / "starting")
    (app / "code" / "slow.py").write_text("")
    (app / "shape.json").write_text('{"type": "array"}')
    (app / "go").unlink()
    while not server.stdout.readline().endswith("Ctrl-C stops\n"):
        pass
    assert server.stdout.readline() == "reloaded: ~1 signal, ~1 plugin, ~limits.rate\n"


def wait_for(path):
    while not path.exists():
        pass


def saved_slowly(path, text, *, close):
    """Write half of a file, and the rest a third of a second later, as an editor over a slow network does."""
    half = text.index("  - {path: /ask")
    file = path.open("w")
    file.write(text[:half])
    file.flush()
    if close:
        file.close()
    time.sleep(0.35)
    if close:
        file = path.open("a")
    file.write(text[half:])
    file.close()


@pytest.mark.slow
@pytest.mark.parametrize("close", [False, True], ids=["kept open", "closed in the middle"])
def test_a_slow_save_is_one_reload_and_nobody_is_sent_away(app, run, close):
    server = run()
    ports = APP.partition("plugins:")[0]
    whole = ports + "plugins: {folder: code}\nsignals:\n  - {path: /}\n  - {path: /ask, handler: ask}\n"
    by_rename(app / "routes.yaml", whole)
    assert server.process.stdout.readline().startswith("reloaded: ")
    with connect(server.urls["live"] + "/ask", compression=None, proxy=None) as client:
        saved_slowly(app / "routes.yaml", whole + "  - {path: /more}\n", close=close)
        assert server.process.stdout.readline() == "reloaded: +1 signal, 1 client kept\n"
        client.send('{"message": "?"}')
        assert client.recv() == "old"
    assert server.end(signal.SIGTERM) == (0, "", "")


def page_of(server):
    with urllib.request.urlopen(server.urls["web"]) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_a_view_that_is_refused_is_not_shown(app, run):
    server = run()
    for name in ("web/base.html", "web/page.html"):
        good = (app / name).read_text()
        (app / name).write_text("{% if %}")
        while server.process.stderr.readline() != "not reloaded: the app goes on as it was\n":
            pass
        assert page_of(server) == "hello"
        (app / name).write_text(good)
        assert server.process.stdout.readline() == "reloaded: nothing changed\n"
    (app / "web" / "base.html").write_text("another")
    assert server.process.stdout.readline() == "reloaded: ~1 route\n"
    assert page_of(server) == "another"
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.slow
def test_a_view_that_is_taken_away_is_what_it_was(app, run):
    server = run()
    for name in ("web/base.html", "web/page.html"):
        good = (app / name).read_text()
        (app / name).unlink()
        assert page_of(server) == "hello"
        while server.process.stderr.readline() != "not reloaded: the app goes on as it was\n":
            pass
        assert page_of(server) == "hello"
        (app / name).write_text(good)
        assert server.process.stdout.readline() == "reloaded: nothing changed\n"
    assert server.end(signal.SIGTERM) == (0, "", "")


def test_a_certificate_that_is_renewed_is_a_change_of_its_endpoint(app, run, new_certificate):
    (app / "our.pem").write_bytes(new_certificate())
    (app / "routes.yaml").write_text(APP.replace("protocol: ws}", "protocol: wss, certificate: our.pem}"))
    server = run()
    by_rename(app / "our.pem", new_certificate().decode())
    assert server.process.stdout.readline() == "reloaded: ~1 endpoint\n"
