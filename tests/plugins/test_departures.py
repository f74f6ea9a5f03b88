"""A third party's package: built, installed beside signalpost into an environment of its own, and served from there."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
DEPARTURES = ROOT / "tests" / "fixtures" / "signalpost-departures"
ROUTES = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
plugins:
  settings: {departures: {file: boards.json}}
"""
IC_1 = {"train": "IC 1", "due": "12:30", "platform": "3"}

pytestmark = [pytest.mark.wheel, pytest.mark.slow, pytest.mark.timeout(180)]


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the Python of a fresh environment that has both wheels, and lends their dependencies from this one."""
    folder = tmp_path_factory.mktemp("installed")
    for project in (ROOT, DEPARTURES):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "wheels", cwd=project)
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Its own packages come first. A .pth file in the lent folder (an editable signalpost) is not followed from here.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert [wheel.name.split("-")[0] for wheel in wheels] == ["signalpost", "signalpost_departures"]
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", *wheels)
    return python


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return tmp_path


@contextlib.contextmanager
def served(python, folder):
    """Serve the app of a folder with the environment's signalpost; give the URL of its WebSocket endpoint."""
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [python, "-m", "signalpost", "run"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
    try:
        found = re.search(r"ws://\S+", process.stdout.readline())
        assert found, (folder / "server.log").read_text()
        if web := re.search(r"http://\S+", process.stdout.readline()):
            (folder / "web.url").write_text(web[0])
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert process.wait() == 0


def say(client, message):
    client.send(json.dumps({"message": message}))


def board(client):
    return json.loads(client.recv())


def showing(*departures):
    return {"station": "york", "departures": list(departures)}


def test_the_signalpost_that_runs_is_the_installed_one(python, folder):
    where = run(python, "-c", "import signalpost; print(signalpost.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(python.parents[1])


def test_the_installed_plugin_is_listed_with_its_distribution_its_hooks_and_its_handlers(python, folder):
    listed = run(python, "-m", "signalpost", "plugins", cwd=folder, env={**os.environ, "COLUMNS": "200"})
    for word in (
        "departures",
        "1.0.0",
        "signalpost-departures",
        "client_connected",
        "departures-delayed",
        "departures-announce",
        "departure_line",
        "/departures",
    ):
        assert word in listed


def test_signals_of_the_installed_plugin_work_for_everyone_at_the_station_and_for_nobody_else(python, folder):
    with (
        served(python, folder) as url,
        connect(f"{url}/departures/york", proxy=None) as display,
        connect(f"{url}/departures/york/delayed", proxy=None) as staff,
        connect(f"{url}/departures/leeds", proxy=None) as elsewhere,
    ):
        say(display, IC_1)
        on_time = showing({**IC_1, "status": "on time"})
        assert board(display) == board(staff) == on_time
        say(staff, "IC 1")
        delayed = showing({**IC_1, "status": "delayed"})
        assert board(display) == board(staff) == delayed
        say(elsewhere, {**IC_1, "platform": "9"})
        assert board(elsewhere)["station"] == "leeds"


def test_the_schema_of_the_installed_plugin_stands_before_its_signal(python, folder):
    with served(python, folder) as url, connect(f"{url}/departures/york", proxy=None) as display:
        say(display, {**IC_1, "due": "noon"})
        error = board(display)["error"]
        assert (error["code"], error["pointer"]) == ("schema-mismatch", "/message/due")


def test_hooks_of_the_installed_plugin_keep_the_boards_while_the_server_is_down_and_its_timer_shows_them(
    python, folder
):
    with served(python, folder) as url, connect(f"{url}/departures/york", proxy=None) as display:
        say(display, IC_1)
        board(display)
    assert json.loads((folder / "boards.json").read_text()) == {"york": [{**IC_1, "status": "on time"}]}
    (folder / "routes.yaml").write_text(ROUTES + "timers: [{name: often, every: 20ms, handler: departures-board}]\n")
    with served(python, folder) as url, connect(f"{url}/departures/york", proxy=None) as display:
        assert board(display) == showing({**IC_1, "status": "on time"})


ANNOUNCE = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
routes:
  - path: /announce
    method: POST
    do:
      - departures-announce: {station: york, train: "{{ data.train }}", due: "{{ data.due }}", platform: "3"}
      - if: "{{ data.late }}"
        then:
          - departures-delayed: {station: york, train: "{{ data.train }}"}
      - respond: {text: "{{ {'train': data.train, 'due': data.due, 'platform': '3'} | departure_line }}"}
"""


def test_actions_and_filter_of_the_installed_plugin_are_used_by_routes_yaml_with_its_schemas_before_them(
    python, folder
):
    (folder / "routes.yaml").write_text(ANNOUNCE)
    with (
        served(python, folder) as url,
        connect(f"{url}/departures/york", proxy=None) as display,
        httpx.Client(base_url=(folder / "web.url").read_text()) as web,
    ):
        answer = web.post("/announce", json={"train": "IC 1", "due": "12:30", "late": True})
        assert (answer.status_code, answer.text) == (200, "12:30 IC 1 from platform 3, on time")
        assert board(display) == showing({**IC_1, "status": "on time"})
        assert board(display) == showing({**IC_1, "status": "delayed"})
        assert web.post("/announce", json={"train": "IC 2", "due": "noon", "late": False}).status_code == 500
        web.post("/announce", json={"train": "IC 3", "due": "13:00", "late": False})
        assert [each["train"] for each in board(display)["departures"]] == ["IC 1", "IC 3"]
    assert "departures-announce: its options at /due" in (folder / "server.log").read_text()


def test_only_the_staff_of_a_station_changes_its_board_if_the_settings_name_any(python, folder):
    badge = sha256(b"a badge of York").hexdigest()
    settings = f"plugins: {{settings: {{departures: {{staff: {{{badge}: york}}}}}}}}\n"
    (folder / "routes.yaml").write_text(ROUTES.partition("plugins:")[0] + settings)
    york = {"x-badge": "a badge of York"}
    with (
        served(python, folder) as url,
        connect(f"{url}/departures/york", proxy=None) as display,
        connect(f"{url}/departures/york", proxy=None, additional_headers=york) as staff,
        connect(f"{url}/departures/leeds", proxy=None, additional_headers=york) as elsewhere,
    ):
        say(display, IC_1)
        say(elsewhere, IC_1)
        assert board(display)["error"]["code"] == board(elsewhere)["error"]["code"] == "forbidden"
        say(staff, IC_1)
        assert board(display) == board(staff) == showing({**IC_1, "status": "on time"})
        with pytest.raises(InvalidStatus, match="401"):
            connect(f"{url}/departures/york", proxy=None, additional_headers={"x-badge": "another"})


def test_what_the_installed_plugin_does_not_allow_is_a_problem_at_its_place_and_editors_know_it(python, folder):
    (folder / "routes.yaml").write_text(
        ANNOUNCE.replace('platform: "3"}\n      - if', 'platfrm: "3"}\n      - if')
        + "plugins: {settings: {departures: {file: 5}}}\n"
    )
    done = subprocess.run(
        [python, "-m", "signalpost", "check"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'routes[0].do[0].departures-announce.platfrm: no key "platfrm" here; did you mean "platform"?' in done.stdout
    assert "plugins.settings.departures.file: must be text, not the number 5: put it in quotes" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    schema = json.loads(run(python, "-m", "signalpost", "schema", cwd=folder))
    assert {"departures-announce", "departures-cancelled"} <= schema["$defs"]["step"]["properties"].keys()
    assert "departures" in schema["properties"]["plugins"]["properties"]["settings"]["properties"]


def test_a_drop_in_of_the_same_name_is_an_error_that_names_both(python, folder):
    (folder / "plugins").mkdir()
    (folder / "plugins" / "departures.py").write_text("")
    done = subprocess.run(
        [python, "-m", "signalpost", "check"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'the plugin name "departures" is taken by signalpost-departures 1.0.0' in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
