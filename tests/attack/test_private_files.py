"""Files that no route may show, over a real socket, however they come to be where files are served."""

import logging
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - name: safe
        address: 127.0.0.1
        port: 0
        protocol: wss
        certificate: certs/site.pem
        key: certs/site.key
    routes:
      - {path: /, static: web}
      - {path: /one, file: web/one.txt}
      - {path: /view, view: web/view.html}
    signals: !include signals.yaml
    state: {file: kept/state.db}
"""
PLUGIN = "PASSWORD = 'hunter2'\n"
PRIVATE = [
    "routes.yaml",
    "signals.yaml",
    "secrets.yaml",
    "plugins/p.py",
    "certs/site.key",
    "certs/site.pem",
    "kept/state.db",
    "kept/state.db-journal",
    "kept/state.db.found",
    ".signalpost/routes.yaml.running",
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Make a certificate and its key, each as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=2))
    certificate = builder.sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return certificate.public_bytes(pem), key.private_bytes(pem, form, serialization.NoEncryption())


@pytest.fixture
def folder(tmp_path, pair):
    for name in ("web", "certs", "kept", ".signalpost"):
        (tmp_path / name).mkdir()
    (tmp_path / "web" / "one.txt").write_text("one")
    (tmp_path / "web" / "index.html").write_text("index")
    (tmp_path / "web" / "view.html").write_text("view")
    (tmp_path / "certs" / "site.pem").write_bytes(pair[0])
    (tmp_path / "certs" / "site.key").write_bytes(pair[1])
    (tmp_path / "signals.yaml").write_text("[{path: /}]")
    (tmp_path / "kept" / "state.db.found").write_text("votes")
    (tmp_path / ".signalpost" / "routes.yaml.running").write_text("{}")
    return tmp_path


def route_to(said):
    return APP.replace("{path: /one, file: web/one.txt}", f"{{path: /x, {said}}}")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("static: .", "routes.yaml"),
        ("static: ./web/..", "routes.yaml"),
        ("static: ..", "routes.yaml"),
        ("static: whole", "routes.yaml"),
        ("static: certs", "certs/site.key"),
        ("static: plugins", "plugins"),
        ("static: plugins/inner", "plugins"),
        ("static: .signalpost", ".signalpost"),
        ("static: kept", "it"),
        ("file: routes.yaml", "routes.yaml"),
        ("file: signals.yaml", "signals.yaml"),
        ("file: plugins/p.py", "plugins"),
        ("file: certs/site.key", "certs/site.key"),
        ("file: linked.key", "certs/site.key"),
        ("file: hard.key", "certs/site.key"),
        ("view: routes.yaml", "routes.yaml"),
        ("view: plugins/p.py", "plugins"),
        ("file: .signalpost/routes.yaml.running", ".signalpost"),
    ],
)
def test_a_route_that_would_show_what_is_private_is_a_problem_at_its_place(folder, said, shown):
    (folder / "whole").symlink_to(folder)
    (folder / "linked.key").symlink_to("certs/site.key")
    os.link(folder / "certs" / "site.key", folder / "hard.key")
    (folder / "plugins" / "inner").mkdir(parents=True)
    with pytest.raises(ConfigError) as caught:
        load_app(route_to(said), folder, {"p": PLUGIN})
    texts = [problem.text for problem in caught.value.problems]
    assert any(f"would show {shown} to everyone: keep " in text for text in texts), texts


@pytest.fixture
async def app(folder):
    async with serve(APP, folder=folder, plugins={"p": PLUGIN}) as app:
        (folder / "secrets.yaml").write_text("key: hunter2")
        yield app


async def get(app, path):
    async with httpx.AsyncClient() as browser:
        return await browser.get(app.url("web") + path)


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("how", ["symlink", "hard link", "folder"])
async def test_what_is_private_is_not_sent_by_another_name(app, folder, name, how):
    web, private = folder / "web", folder / name
    assert private.exists(), "the test would not see it being sent"
    if how == "symlink":
        (web / "x.txt").symlink_to(private)
        path = "/x.txt"
    elif how == "hard link":
        os.link(private, web / "x.txt")
        path = "/x.txt"
    else:
        (web / "one.txt").unlink()
        (web / "one.txt").symlink_to(private)
        path = "/one"
    assert (await get(app, path)).status_code == 404
    assert (await get(app, "/index.html")).text == "index"


async def test_a_view_that_becomes_a_private_file_is_not_rendered(app, folder):
    assert (await get(app, "/view")).text == "view"
    view = folder / "web" / "view.html"
    for make in (lambda: view.symlink_to(folder / "secrets.yaml"), lambda: os.link(folder / "secrets.yaml", view)):
        view.unlink()
        make()
        answer = await get(app, "/view")
        assert (answer.status_code, "hunter2" in answer.text) == (500, False)
    view.unlink()
    view.write_text("another")
    await app.reload()
    assert (await get(app, "/view")).text == "another"


async def test_a_folder_that_becomes_the_apps_own_shows_nothing_of_it(folder):
    (folder / "public").symlink_to("web")
    async with serve(APP.replace("static: web", "static: public"), folder=folder, plugins={"p": PLUGIN}) as app:
        assert (await get(app, "/one.txt")).text == "one"
        (folder / "secrets.yaml").write_text("key: hunter2")
        (folder / "notes.txt").write_text("whatever")
        for target in (".", ".."):
            (folder / "public").unlink()
            (folder / "public").symlink_to(target)
            prefix = "" if target == "." else f"/{folder.name}"
            for name in (*PRIVATE, "notes.txt", "web/one.txt"):
                assert (await get(app, f"{prefix}/{name}")).status_code == 404


async def test_what_is_in_the_served_folder_and_declared_later_is_not_sent_by_a_plan_that_declares_it(app, folder):
    (folder / "web" / "late").mkdir()
    (folder / "web" / "late" / "site.key").write_bytes((folder / "certs" / "site.key").read_bytes())
    assert (await get(app, "/late/site.key")).status_code == 200
    with pytest.raises(ConfigError, match=r"would show web/late/site\.key to everyone"):
        await app.reload(APP.replace("certs/site.key", "web/late/site.key"))


async def test_the_state_is_never_opened_for_a_request(app, folder):
    """SQLite's locks end when any descriptor of the file is closed by the process."""
    (folder / "web" / "x.db").symlink_to(folder / "kept" / "state.db")
    (folder / "web" / "one.txt").unlink()
    os.link(folder / "kept" / "state.db", folder / "web" / "one.txt")
    opened, watching = [], True
    # A hook cannot be taken away again.
    sys.addaudithook(lambda event, args: opened.append(args[0]) if watching and event == "open" else None)
    for path, status in (("/x.db", 404), ("/one.txt", 404), ("/one", 404), ("/index.html", 200)):
        assert (await get(app, path)).status_code == status
    watching = False
    assert any(str(path).endswith("index.html") for path in opened), "the hook would not see it"
    assert not [path for path in opened if str(path).endswith((".db", "one.txt"))]


async def test_a_private_file_that_is_asked_for_is_one_line_in_the_log(app, folder, caplog):
    os.link(folder / "certs" / "site.key", folder / "web" / "x.txt")
    for _ in range(3):
        await get(app, "/x.txt")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "web/x.txt' was asked for and is not sent, since it is private: keep it elsewhere" in line


async def test_the_log_of_the_server_is_not_sent_while_it_is_written(app, folder):
    (folder / "web" / "old.log").write_text("over and done")
    handler = logging.FileHandler(folder / "web" / "new.log")
    logging.getLogger("signalpost.test").addHandler(handler)
    try:
        logging.getLogger("signalpost.test").warning("a secret")
        assert (await get(app, "/new.log")).status_code == 404
        assert (await get(app, "/old.log")).text == "over and done"
    finally:
        logging.getLogger("signalpost.test").removeHandler(handler)
        handler.close()


def test_what_run_prints_to_is_not_sent(folder):
    """Its output is the log, wherever the shell leads it."""
    port = free_port()
    (folder / "routes.yaml").write_text(
        f"endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]\n"
        "routes: [{path: /, static: web}]\n"
    )
    log = folder / "web" / "run.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "signalpost", "run", folder / "routes.yaml"], stdout=output, stderr=output
        )
    try:
        while not reachable(port):
            assert process.poll() is None, log.read_text()
        assert httpx.get(f"http://127.0.0.1:{port}/run.log").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/one.txt").text == "one"
    finally:
        process.terminate()
        process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def reachable(port):
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
