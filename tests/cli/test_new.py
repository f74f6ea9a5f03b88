"""`signalpost new`: the demo app, whole and working, from the checkout and from what is installed."""

import json
import re
import shutil
import signal
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from signalpost.cli.new import DEMO, create_app, starters
from signalpost.cli.schema import app_schema
from signalpost.config import COOKBOOK
from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

ROOT = Path(__file__).parents[2]
ALONE = {"PYTHONPATH": ""}  # what is installed runs, not what this process was pointed to
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".*")


def parts(root):
    """Return the files of the demo app below a folder, by name."""
    files = [root / "routes.yaml", *(root / "web").rglob("*"), *(root / "plugins").rglob("*")]
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


class TestFolder:
    def test_a_new_folder_is_filled_with_the_checkouts_app_and_the_schema(self, signalpost, folder):
        result = signalpost("new", "chat")
        assert (result.exit_code, result.stderr) == (0, "")
        assert parts(folder / "chat") == parts(ROOT)
        schema = folder / "chat" / ".signalpost" / "routes.schema.json"
        assert json.loads(schema.read_text()) == app_schema(ROOT / "routes.yaml")
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", (folder / "chat" / "routes.yaml").read_text())[1]
        assert (folder / "chat" / named).samefile(schema)

    def test_what_was_made_is_listed_and_what_to_do_next(self, signalpost, folder):
        *listed, empty, following = signalpost("new", "my chat").stdout.splitlines()
        made = {str(path.relative_to(folder)) for path in (folder / "my chat").rglob("*") if path.is_file()}
        assert {line.strip() for line in listed} == made
        assert (empty, following) == ("", "Now:  cd 'my chat' && signalpost run")

    def test_the_app_of_a_new_folder_is_sound(self, signalpost, folder, monkeypatch):
        signalpost("new", "chat")
        monkeypatch.chdir(folder / "chat")
        assert signalpost("check").stdout == "routes.yaml: 0 problems\n"

    def test_an_empty_folder_that_is_there_already_is_filled(self, signalpost, folder):
        result = signalpost("new", ".")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[-1] == "Now:  signalpost run"
        assert (folder / "routes.yaml").is_file()

    def test_folders_on_the_way_are_made(self, signalpost, folder):
        assert signalpost("new", "apps/mine/chat").exit_code == 0
        assert (folder / "apps" / "mine" / "chat" / "routes.yaml").is_file()

    def test_a_folder_that_holds_something_is_left_alone(self, signalpost, folder):
        (folder / "chat").mkdir()
        (folder / "chat" / "diary").touch()
        result = signalpost("new", "chat")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "signalpost: the folder chat is not empty: name one that is, or that is not there yet\n"
        )
        assert [each.name for each in (folder / "chat").iterdir()] == ["diary"]

    @pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
    def test_a_file_in_the_way_is_left_alone(self, signalpost, folder, make):
        make(folder / "chat")
        result = signalpost("new", "chat")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "signalpost: chat is there already, and no folder: choose another name\n"

    def test_a_file_on_the_way_is_one_line(self, signalpost, folder):
        (folder / "file").touch()
        result = signalpost("new", "file/chat")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "signalpost: the folder file/chat cannot be made: not a directory\n"

    def test_a_place_that_cannot_be_written_is_one_line(self, signalpost):
        # Not even root makes folders there.
        result = signalpost("new", "/proc/chat")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "signalpost: the folder /proc/chat cannot be made: no such file or directory\n"


NAMES = [name for name in starters() if name != DEMO]


class Loader(yaml.SafeLoader):
    """Reads secrets as their names."""


Loader.add_constructor("!secret", lambda _, node: f"!secret {node.value}")


def read(text):
    """Read routes.yaml."""
    return yaml.load(text, Loader)


class TestStarters:
    def test_every_app_of_the_cookbook_is_a_starter(self):
        assert sorted(app.stem for app in COOKBOOK.glob("*.yaml")) == NAMES

    def test_the_help_lists_starters_with_a_line_each(self, signalpost):
        listed = signalpost("new", "--help").stdout.partition("Starters:\n")[2].splitlines()
        assert [line.split()[0] for line in listed] == [DEMO, *NAMES]
        assert all(len(line.split()) > 3 for line in listed)

    @pytest.mark.parametrize(("name", "meant"), [("pol", "poll"), ("dashbord", "dashboard"), ("Private", "private")])
    def test_a_wrong_name_is_told_what_was_meant(self, signalpost, folder, name, meant):
        result = signalpost("new", "app", "--from", name)
        assert result.exit_code == 2
        assert f'no starter named "{name}"; did you mean "{meant}"? (known: demo, chat, ' in result.stderr
        assert not (folder / "app").exists()

    def test_a_name_like_that_of_no_starter_has_no_hint(self, signalpost):
        assert 'no starter named "xyzzy" (known: demo, ' in signalpost("new", "app", "--from", "xyzzy").stderr

    def test_a_plugin_begins_with_no_app(self, signalpost, folder):
        result = signalpost("new", "thing", "--plugin", "--from", "poll")
        assert result.exit_code == 2
        assert "--from is for apps, and --plugin makes a plugin: leave one of them out" in result.stderr
        assert not (folder / "thing").exists()

    def test_the_demo_is_what_there_is_without_a_name(self, signalpost, folder):
        signalpost("new", "one")
        signalpost("new", "other", "--from", "demo")
        assert parts(folder / "one") == parts(folder / "other")

    @pytest.mark.parametrize("name", NAMES)
    def test_each_starter_is_sound_and_is_the_cookbooks_app_with_a_page(self, signalpost, folder, monkeypatch, name):
        result = signalpost("new", "app", "--from", name)
        assert (result.exit_code, result.stderr) == (0, "")
        monkeypatch.chdir(folder / "app")
        *notes, last = signalpost("check").stdout.splitlines()
        assert last == "routes.yaml: 0 problems"
        assert len(notes) == (1 if name == "signin" else 0)  # a proof cannot see what its plugin does
        made = read((folder / "app" / "routes.yaml").read_text())
        app = read((COOKBOOK / f"{name}.yaml").read_text())
        assert made.pop("routes")[:3] == [
            {"path": "/", "file": "web/index.html"},
            {"path": "/assets", "static": "web"},
            {"path": "/signalpost.js", "client": True},
        ]
        by_events = any("fallbacks" in each for each in app["endpoints"])
        assert {each["protocol"] for each in made.pop("endpoints")} == ({"http"} if by_events else {"http", "ws"})
        assert made == {key: value for key, value in app.items() if key not in ("routes", "endpoints")}

    def test_an_app_with_secrets_shows_its_passwords_and_keeps_only_their_hashes(self, signalpost, folder):
        *_, title, ann, bob, empty, following = signalpost("new", "app", "--from", "signin").stdout.splitlines()
        assert title == "Passwords, shown only now (secrets.yaml has their hashes):"
        assert [re.sub(r"[a-z2-9]{4}(-[a-z2-9]{4}){3}", "PASSWORD", line) for line in (ann, bob)] == [
            "  ann  PASSWORD",
            "  bob  PASSWORD",
        ]
        assert (empty, following) == ("", "Now:  cd app && signalpost run")
        kept = (folder / "app" / "secrets.yaml").read_text()
        assert ann.split()[1] not in kept
        assert re.search(r"^ann: scrypt\$[0-9a-f]{32}\$[0-9a-f]{128}$", kept, re.MULTILINE)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NAMES)
    async def test_each_starter_serves_its_page_all_that_the_page_loads_and_its_signal(self, folder, name):
        create_app(folder / "app", name)
        text = (folder / "app" / "routes.yaml").read_text().replace("port: 8090", "port: 0")
        async with (
            serve(text, folder=folder / "app") as app,
            httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as client,
        ):
            page = await client.get("/")
            assert page.status_code == 200
            waiting, loaded = REFERENCE.findall(page.text), set()
            while waiting:
                asset = waiting.pop()
                if asset not in loaded:
                    loaded.add(asset)
                    answer = await client.get(f"/assets/{asset}")
                    assert answer.status_code == 200, asset
                    waiting += IMPORT.findall(answer.text) if asset.endswith((".js", ".css")) else []
            files = {str(file.relative_to(folder / "app" / "web")) for file in (folder / "app" / "web").iterdir()}
            assert loaded == files - {"index.html"}
            module = await client.get("/signalpost.js")
            assert "export function connect(" in module.text
            script = (folder / "app" / "web" / "app.js").read_text()
            if "new EventSource(" in script:
                events = {"Accept": "text/event-stream"}
                async with client.stream("GET", READ.search(script)[1], headers=events) as answer:
                    assert answer.status_code == 200
                return
            signal_path = JOINED.search(script)[1].replace("${encodeURIComponent(name)}", "Ada")
            signal_path = signal_path.replace("${encodeURIComponent(room)}", "blue")
            # Who may not come in is told so, and the signal is there.
            async with app.connect(signal_path, endpoint="live", subprotocols=["signalpost.v1"]) as one:
                assert one.id or "unauthorized" in await one.receive()


REFERENCE = re.compile(r'(?:src|href)="/assets/([^"]+)"')
IMPORT = re.compile(r'(?:from|@import) "\./([^"]+)"')
READ = re.compile(r'SIGNAL = "([^"]+)"')
JOINED = re.compile(r'join\(\s*["`](/[^"`]*)["`]')


@pytest.mark.wheel
@pytest.mark.timeout(180)
class TestInstalled:
    @pytest.fixture
    def installed(self, build_package, install):
        """Return the Python with an installed wheel."""
        return install(build_package(ROOT))

    def test_the_wheel_holds_the_package_with_the_starter_and_the_cookbook_and_nothing_else(self, build_package):
        with zipfile.ZipFile(build_package(ROOT)) as wheel:
            names = wheel.namelist()
            starter = {
                name.removeprefix("signalpost/starter/"): wheel.read(name) for name in names if "/starter/" in name
            }
        assert starter == parts(ROOT)
        assert {"signalpost/py.typed", "signalpost/config/routes.schema.json"} <= set(names)
        assert "signalpost/backplanes/lua/keep.lua" in names
        client = ("LICENSE", "README.md", "package.json", "signalpost.d.ts", "signalpost.js")
        assert {name for name in names if "/browser/" in name} == {f"signalpost/browser/{name}" for name in client}
        source = ROOT / "core" / "signalpost"
        package = {
            f"signalpost/{path.relative_to(source)}"
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        cookbook = {f"signalpost/cookbook/{app.name}" for app in COOKBOOK.glob("*.yaml")}
        assert cookbook <= set(names)
        others = set(names) - package - cookbook - {f"signalpost/starter/{name}" for name in starter}
        assert {re.sub(r"^signalpost-[\d.]+\.dist-info/", "", name) for name in others} == {
            "METADATA",
            "WHEEL",
            "RECORD",
            "entry_points.txt",
            "licenses/LICENSE",
            "licenses/core/signalpost/starters/deploy/seccomp.LICENSE",
        }

    def test_the_sdist_makes_the_same_wheel(self, build_package, tmp_path):
        with tarfile.open(build_package(ROOT, "sdist")) as sdist:
            names = [name.partition("/")[2] for name in sdist.getnames()]
            sdist.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 has it
            sdist.extractall(tmp_path)
        assert {
            *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml"),
            *("tests/conftest.py", "core/docs/stability.md"),
        } <= set(names)
        folders = {part for name in names for part in Path(name).parent.parts}
        assert not [name for name in folders if name.startswith((".", "__")) or name in ("node_modules", "build")]
        (unpacked,) = tmp_path.iterdir()
        with zipfile.ZipFile(build_package(ROOT)) as ours, zipfile.ZipFile(build_package(unpacked)) as theirs:
            assert sorted(theirs.namelist()) == sorted(ours.namelist())

    @pytest.mark.slow
    def test_new_and_run_serve_the_whole_demo(self, installed, folder, process, run, ended):
        _, where, _ = ended(
            process("-c", "import signalpost; print(signalpost.__file__)", command=(installed,), **ALONE)
        )
        assert Path(where).is_relative_to(installed.parents[1])
        command = (installed.with_name("signalpost"),)
        assert "### chat" in ended(process("reference", command=command, **ALONE))[1]
        assert ended(process("new", "vote", "--from", "poll", command=command, **ALONE))[::2] == (0, "")
        assert ended(process("check", command=command, cwd=folder / "vote", **ALONE))[:2] == (
            0,
            "routes.yaml: 0 problems\n",
        )
        code, out, err = ended(process("new", "chat", command=command, **ALONE))
        assert (code, err) == (0, "")
        assert out.endswith("Now:  cd chat && signalpost run\n")
        chat = folder / "chat"
        assert parts(chat) == parts(ROOT)
        routes = chat / "routes.yaml"
        routes.write_text(re.sub(r"port: 809\d", "port: 0", routes.read_text()))
        server = run(command=command, cwd=chat, **ALONE)
        assert server.lines[-1] == "7 routes, 5 signals, 3 jobs, 4 plugins; Ctrl-C stops"
        web, live = server.urls["web"], server.urls["live"]

        html = get(f"{web}/")
        told = json.loads(get(f"{web}/.well-known/signalpost"))
        assert told == {"url": live, "endpoints": {"live": live}, "sse": None}
        assets = re.findall(r'(?:src|href)="(/?assets/[^"]+)"', html)
        assert assets
        for asset in assets:
            assert get(f"{web}/{asset.removeprefix('/')}")
        assert "Ada" in get(f"{web}/hello/Ada")
        with connect(live, proxy=None) as one, connect(live, proxy=None) as other:
            one.send('{"message": "hello"}')
            assert [one.recv(), other.recv()] == ["hello", "hello"]
            assert json.loads(get(f"{web}/broadcast", b'{"message": "to all"}'))
            assert [one.recv(), other.recv()] == ["to all", "to all"]
        assert server.end(signal.SIGTERM) == (0, "", "")

    @pytest.mark.slow
    def test_an_editable_installation_copies_the_checkout_as_it_is_now(self, install, folder, process, ended, tmp_path):
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name in ("core", "web", "plugins"):
            shutil.copytree(ROOT / name, checkout / name, ignore=LEFT_BEHIND)
        for name in ("pyproject.toml", "routes.yaml", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(ROOT / name, checkout)
        python = install("--editable", checkout)
        (checkout / "web" / "index.html").write_text("newer than the installation")
        (checkout / "plugins" / "shout.py").write_text("# newer too\n")
        code, _, err = ended(process("new", "chat", command=(python.with_name("signalpost"),), **ALONE))
        assert (code, err) == (0, "")
        assert parts(folder / "chat") == parts(checkout)


def get(url, body=None):
    """Ask over HTTP, with a JSON body if one is given, and return the text of the answer."""
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked) as answer:
        return answer.read().decode()


class TestPlugin:
    @pytest.mark.slow
    def test_a_new_plugin_is_a_package_whose_tests_pass_as_they_are(self, signalpost, folder, process):
        result = signalpost("new", "--plugin", "signalpost-loud-hailer")
        assert (result.exit_code, result.stderr) == (0, "")
        *listed, empty, following = result.stdout.splitlines()
        made = {str(path.relative_to(folder)) for path in (folder / "signalpost-loud-hailer").rglob("*")}
        assert {line.strip() for line in listed} <= made
        assert (empty, following) == ("", "Now:  cd signalpost-loud-hailer && pip install -e '.[test]' && pytest")
        command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        testing = process(command=command, cwd=folder / "signalpost-loud-hailer")
        out, _ = testing.communicate()
        assert "2 passed" in out, out

    def test_the_entry_point_of_a_new_plugin_names_its_module_and_its_settings_are_checked(self, signalpost, folder):
        signalpost("new", "--plugin", "chat")
        project = tomllib.loads((folder / "chat" / "pyproject.toml").read_text())
        assert project["project"]["name"] == "signalpost-chat"
        assert project["project"]["entry-points"]["signalpost"] == {"chat": "signalpost_chat"}
        source = (folder / "chat" / "signalpost_chat" / "__init__.py").read_text()
        endpoint = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
        settings = "plugins: {settings: {chat: {endin: x}}}\n"
        with pytest.raises(ConfigError, match='did you mean "ending"'):
            load_app(endpoint + settings, folder, {"chat": source})

    @pytest.mark.parametrize("name", ["2fast", "a b", "-x-"])
    def test_a_name_that_is_none_for_a_package_is_refused(self, signalpost, folder, name):
        result = signalpost("new", "--plugin", "--", name)
        assert result.exit_code == 1
        assert "is no name for a package" in result.stderr
        assert not (folder / name).exists()

    def test_a_folder_that_holds_something_is_left_alone(self, signalpost, folder):
        (folder / "chat").mkdir()
        (folder / "chat" / "mine").write_text("")
        assert "is not empty" in signalpost("new", "--plugin", "chat").stderr
