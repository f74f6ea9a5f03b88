"""`signalpost new --deploy`: into a new app, and into one that is there, of which it changes nothing."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from signalpost.cli import cli
from signalpost.cli.new import DEMO, starters

FILES = {
    "docker": {"Dockerfile", ".dockerignore", "compose.yaml", "requirements.txt", "deploy/seccomp.json"},
    "systemd": {"deploy/chat.service", "deploy/chat-web.socket", "deploy/chat-live.socket", "requirements.txt"},
    "nginx": {"deploy/nginx.conf"},
}
ENDPOINT = "endpoints:\n  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def new(folder):
    return lambda *arguments: CliRunner().invoke(cli, ["new", *arguments], prog_name="signalpost")


@pytest.fixture
def app(folder):
    """Write an app of one's own; return a function that does."""

    def write(text):
        (folder / "chat").mkdir()
        (folder / "chat" / "routes.yaml").write_text(text)
        return folder / "chat"

    return write


def files(app):
    return {str(path.relative_to(app)) for path in app.rglob("*") if path.is_file()}


class TestFiles:
    @pytest.mark.parametrize("kind", FILES)
    def test_a_new_app_has_the_files_of_its_deployment_beside_its_own(self, new, folder, kind):
        new("plain")
        result = new("chat", "--deploy", kind)
        assert (result.exit_code, result.exception) == (0, None)
        assert files(folder / "chat") - files(folder / "plain") == FILES[kind]
        for name in FILES[kind]:
            assert f"  chat/{name}\n" in result.stdout

    def test_several_kinds_are_written_at_once(self, new, folder):
        assert new("chat", "--deploy", "docker", "--deploy", "nginx", "--deploy", "docker").exit_code == 0
        assert FILES["docker"] | FILES["nginx"] <= files(folder / "chat")

    def test_an_app_that_is_there_is_left_as_it_is(self, new, app):
        own = app(ENDPOINT)
        result = new("chat", "--deploy", "nginx")
        assert result.exit_code == 0
        assert files(own) == {"routes.yaml", "deploy/nginx.conf"}
        assert (own / "routes.yaml").read_text() == ENDPOINT

    def test_without_a_folder_it_is_for_the_app_that_is_here(self, new, app, monkeypatch):
        own = app(ENDPOINT)
        monkeypatch.chdir(own)
        result = new("--deploy", "nginx")
        assert result.exit_code == 0
        assert files(own) == {"routes.yaml", "deploy/nginx.conf"}
        assert "  deploy/nginx.conf\n" in result.stdout

    def test_without_a_folder_there_has_to_be_an_app_here(self, new, folder):
        result = new("--deploy", "nginx")
        assert result.exit_code == 2
        assert "--deploy is for the app here, and here is no routes.yaml" in result.stderr
        assert list(folder.iterdir()) == []

    def test_a_file_that_is_there_is_not_overwritten_and_told(self, new, app):
        own = app(ENDPOINT)
        (own / "Dockerfile").write_text("mine")
        result = new("chat", "--deploy", "docker")
        assert result.exit_code == 0
        assert (own / "Dockerfile").read_text() == "mine"
        assert "  chat/Dockerfile  is there already, and stays as it is\n" in result.stdout
        assert (own / "compose.yaml").exists()

    @pytest.mark.parametrize("starter", [name for name in starters() if name != DEMO])
    def test_every_starter_can_be_deployed(self, new, folder, starter):
        kinds = [word for kind in FILES for word in ("--deploy", kind)]
        result = new("chat", "--from", starter, *kinds)
        assert (result.exit_code, result.exception) == (0, None)
        for name in files(folder / "chat"):
            assert "@{" not in (folder / "chat" / name).read_text(errors="replace")
        yaml.safe_load((folder / "chat" / "compose.yaml").read_text())


class TestRefused:
    def test_a_plugin_is_not_deployed(self, new):
        result = new("signalpost-x", "--plugin", "--deploy", "nginx")
        assert (result.exit_code, "--deploy is for apps" in result.stderr) == (2, True)

    def test_an_app_that_is_there_has_no_starter(self, new, app):
        app(ENDPOINT)
        result = new("chat", "--from", "poll", "--deploy", "nginx")
        assert (result.exit_code, "chat has an app already" in result.stderr) == (2, True)

    def test_an_app_with_a_mistake_is_told_and_nothing_is_written(self, new, app):
        own = app(ENDPOINT.replace("http", "htpp"))
        result = new("chat", "--deploy", "docker")
        assert result.exit_code == 1
        assert files(own) == {"routes.yaml"}

    def test_an_image_of_an_app_that_writes_beside_its_file_is_refused_with_what_to_write(self, new, app):
        own = app(ENDPOINT + "state: {file: state.db}\n")
        result = new("chat", "--deploy", "docker")
        assert (result.exit_code, files(own)) == (1, {"routes.yaml"})
        assert "give them a folder of their own, as in file: data/state.db" in result.stderr

    def test_an_app_that_nobody_can_find_is_refused(self, new, app):
        own = app(ENDPOINT.replace("8090", "0"))
        result = new("chat", "--deploy", "systemd")
        assert (result.exit_code, files(own)) == (1, {"routes.yaml"})
        assert "leaves its port to the system" in result.stderr


class TestContents:
    def test_requirements_of_ones_own_are_kept_and_what_they_lack_is_told(self, new, app):
        own = app(ENDPOINT)
        (own / "requirements.txt").write_text("httpx\n")
        result = new("chat", "--deploy", "docker")
        assert (own / "requirements.txt").read_text() == "httpx\n"
        assert "requirements.txt does not name signalpost: add signalpost==" in result.stdout + result.stderr

    def test_what_the_app_writes_is_writable_and_nothing_else(self, new, app):
        own = app(ENDPOINT + "state: {file: data/state.db}\nhistory: {file: kept/history.db}\n")
        for name in ("data", "kept"):
            (own / name).mkdir()
        new("chat", "--deploy", "docker", "--deploy", "systemd")
        compose = yaml.safe_load((own / "compose.yaml").read_text())
        assert compose["services"]["app"]["volumes"] == ["data:/app/data", "data1:/app/kept"]
        assert compose["volumes"] == {"data": None, "data1": None}
        assert "-m 0700 .signalpost data kept\n" in (own / "Dockerfile").read_text()
        assert {"data", "kept"} <= set((own / ".dockerignore").read_text().splitlines())
        unit = (own / "deploy" / "chat.service").read_text()
        assert "\nReadWritePaths=/srv/chat/.signalpost /srv/chat/data /srv/chat/kept\n" in unit

    def test_a_folder_elsewhere_is_the_operators_to_give(self, new, app, tmp_path):
        app(ENDPOINT + f"state: {{file: {tmp_path}/state.db}}\n")
        result = new("chat", "--deploy", "systemd")
        said = " ".join((result.stdout + result.stderr).split())
        assert f"the app writes into {tmp_path}: make that its own (install -d -o chat -g chat -m 0700" in said
        assert f"such as {tmp_path}/chat" in said

    def test_secrets_are_not_in_the_image_but_mounted(self, new, app):
        own = app(ENDPOINT + "constants: {token: !secret token}\n")
        (own / "secrets.yaml").write_text("token: abcdefgh\n")
        result = new("chat", "--deploy", "docker")
        assert "secrets.yaml" in (own / ".dockerignore").read_text().splitlines()
        service = yaml.safe_load((own / "compose.yaml").read_text())["services"]["app"]
        assert service["volumes"] == ["./secrets.yaml:/app/secrets.yaml:ro"]
        assert "chown 10001 secrets.yaml" in result.stdout + result.stderr

    def test_variables_that_the_app_reads_are_handed_on(self, new, app):
        own = app(ENDPOINT + "constants: {title: '${TITLE:-Chat}'}\n")
        new("chat", "--deploy", "docker")
        assert yaml.safe_load((own / "compose.yaml").read_text())["services"]["app"]["environment"] == ["TITLE"]

    def test_redis_is_installed_for_a_backplane(self, new, app):
        own = app(ENDPOINT + "backplane: redis://127.0.0.1/0\n")
        new("chat", "--deploy", "systemd")
        assert re.match(r"signalpost\[redis\]==\d", (own / "requirements.txt").read_text())

    def test_the_health_of_the_app_is_what_the_image_is_checked_by(self, new, app):
        own = app(ENDPOINT + "monitor: {health: /up, metrics: /numbers}\n")
        new("chat", "--deploy", "docker", "--deploy", "nginx")
        assert "'http://127.0.0.1:8090/up'" in (own / "Dockerfile").read_text()
        assert re.match(r"signalpost\[metrics\]==\d", (own / "requirements.txt").read_text())
        site = (own / "deploy" / "nginx.conf").read_text()
        for path in ("/numbers", "/up", "/up/ready"):
            assert f"    location = {path} {{\n        return 404;\n    }}\n" in site

    def test_an_app_without_a_health_page_is_asked_for_what_every_endpoint_answers(self, new, app):
        own = app(ENDPOINT)
        new("chat", "--deploy", "docker")
        assert "'http://127.0.0.1:8090/.well-known/signalpost'" in (own / "Dockerfile").read_text()

    def test_an_app_without_pages_is_healthy_if_it_listens(self, new, app):
        own = app(ENDPOINT.replace("http", "ws"))
        new("chat", "--deploy", "docker")
        assert "socket.create_connection(('127.0.0.1', 8090), 2)" in (own / "Dockerfile").read_text()

    def test_the_limits_of_the_app_are_those_of_the_unit(self, new, app):
        own = app(ENDPOINT + "limits: {connections: 7000, drain: 90s}\n")
        new("chat", "--deploy", "systemd")
        unit = (own / "deploy" / "chat.service").read_text()
        assert int(re.search(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)[1]) > 7000
        assert int(re.search(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)[1]) > 90

    def test_each_port_has_a_socket_that_is_named_as_its_endpoint(self, new, app):
        own = app(
            "endpoints:\n"
            "  - {name: web, address: '*', port: 80, protocol: http}\n"
            "  - {name: live, address: '*', port: 80, protocol: ws}\n"
            "  - {name: local, address: 'unix:local.sock', protocol: http, mode: '0660'}\n"
        )
        new("chat", "--deploy", "systemd")
        assert files(own / "deploy") == {"chat.service", "chat-web.socket", "chat-local.socket"}
        web = (own / "deploy" / "chat-web.socket").read_text()
        assert "\nFileDescriptorName=web\nListenStream=0.0.0.0:80\n" in web
        local = (own / "deploy" / "chat-local.socket").read_text()
        assert "\nListenStream=/srv/chat/local.sock\nSocketMode=0660\n" in local

    @pytest.mark.parametrize(
        ("folder_name", "name"), [("My App!", "my-app"), ("2048", "app-2048"), ("ÄÖ", "app"), ("a" * 50, "a" * 31)]
    )
    def test_the_name_is_one_that_a_user_and_a_unit_may_have(self, new, folder, folder_name, name):
        new(folder_name, "--deploy", "systemd")
        assert Path(folder, folder_name, "deploy", f"{name}.service").is_file()
