"""The chat page, as it is, behind real proxies with the configurations of the README."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

README = Path(__file__).parents[2] / "README.md"
NGINX = """\
daemon off;
master_process off;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{}
}}
"""
HAPROXY = """\
defaults
    timeout connect 5s
    timeout client 1m
    timeout server 1m
{}
"""
# What people write who have not read it.
BARE = """\
server {
    listen 80;
    location / { proxy_pass http://127.0.0.1:8090; }
}
"""


def of_readme(language: str) -> str:
    """Give the README's configuration of a proxy."""
    return re.search(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)[1]


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = f"there is no {name} on the PATH (Debian: apt install {name})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Proxies:
    """Starts proxies before an app.

    Args:
        folder: for their files.
        app: what they lead to.

    """

    def __init__(self, folder: Path, app: Any) -> None:
        self._folder = folder
        self._app = app
        self._processes: list[subprocess.Popen[bytes]] = []

    def nginx(self, servers: str) -> str:
        """Start nginx; return its address, as http://host:port."""
        text, url = self._with_ports(servers, listen="listen 80", bind="listen 127.0.0.1:{}")
        (self._folder / "nginx.conf").write_text(NGINX.format(text))
        return self._run(url, program("nginx"), "-p", self._folder, "-e", "stderr", "-c", "nginx.conf")

    def haproxy(self, proxies: str) -> str:
        """Start HAProxy; likewise."""
        text, url = self._with_ports(proxies, listen="bind :80", bind="bind 127.0.0.1:{}")
        (self._folder / "haproxy.cfg").write_text(HAPROXY.format(text))
        return self._run(url, program("haproxy"), "-db", "-f", self._folder / "haproxy.cfg")

    def stop(self) -> None:
        """Stop them."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def _with_ports(self, text: str, *, listen: str, bind: str) -> tuple[str, str]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert listen in text
        text = text.replace(listen, bind.format(port))
        for default, url in (("8090", self._app.url), ("8091", self._app.signals_url)):
            text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{url.rpartition(':')[2]}")
        return text, f"http://127.0.0.1:{port}"

    def _run(self, url: str, *command: str | Path) -> str:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._processes.append(process)
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        while True:
            try:
                socket.create_connection(address).close()
            except ConnectionRefusedError:
                if process.poll() is not None:
                    pytest.fail(f"{command[0]} ended: {process.stdout.read().decode()}")
            else:
                return url


@pytest.fixture
def proxies(tmp_path_factory: pytest.TempPathFactory, app: Any) -> Iterator[Proxies]:
    made = Proxies(tmp_path_factory.mktemp("proxies"), app)
    yield made
    made.stop()


def talk(one: Page, other: Page) -> None:
    """Let two people say something to each other."""
    for speaker, listener, text in ((one, other, "Is the 8:15 on time?"), (other, one, "Two minutes late.")):
        speaker.locator("#text").fill(text)
        speaker.locator("#text").press("Enter")
        expect(speaker.locator(".own .delivery").last).to_have_text("sent")
        expect(listener.locator(".message:not(.own) .text").last).to_have_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        lambda proxies: proxies.nginx(of_readme("nginx")),
        lambda proxies: proxies.nginx(of_readme("nginx").replace("Host $host;", "Host $http_host;")),
        lambda proxies: proxies.haproxy(of_readme("haproxy")),
    ],
    ids=["nginx with $host", "nginx with $http_host", "HAProxy"],
)
def test_the_page_works_behind_a_proxy_as_it_is(
    app: Any, proxies: Proxies, open_page: Callable[..., Page], start: Callable[[Proxies], str]
):
    url = start(proxies)

    talk(open_page(url), open_page(url.replace("127.0.0.1", "signalpost.test")))

    assert "refused" not in log_of(app)


@pytest.mark.slow
def test_the_page_works_where_one_port_has_all_and_a_proxy_knows_only_that(
    app: Any, proxies: Proxies, open_page: Callable[..., Page]
):
    app.kill()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace(app.signals_url.rpartition(":")[2], app.url.rpartition(":")[2]))
    app.signals_url = app.url.replace("http", "ws")
    app.start()

    url = proxies.nginx(
        BARE.replace(
            "location / {",
            "location / { proxy_http_version 1.1; proxy_set_header Host $host; "
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
        )
    )

    talk(open_page(url), open_page(url))


@pytest.mark.slow
def test_behind_a_proxy_that_passes_nothing_on_the_log_says_what_it_is_to_pass_on(app: Any, proxies: Proxies):
    url = proxies.nginx(BARE)

    answer = httpx.get(url, headers=HANDSHAKE)

    assert answer.status_code == 400
    assert 'endpoint web: a WebSocket at "/" was refused (400, There are no WebSockets at this address)' in log_of(app)
    assert "give both endpoints one port" in log_of(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        lambda proxies: proxies.nginx(of_readme("nginx")),
        lambda proxies: proxies.nginx(of_readme("nginx").replace("Host $host;", "Host $http_host;")),
        lambda proxies: proxies.nginx(BARE.replace("location / {", "location / { proxy_set_header Host $host;")),
        lambda proxies: proxies.haproxy(of_readme("haproxy")),
    ],
    ids=["nginx with $host", "nginx with $http_host", "nginx that knows no WebSockets", "HAProxy"],
)
def test_event_streams_and_posts_come_through_a_proxy_as_they_are(
    app: Any, proxies: Proxies, start: Callable[[Proxies], str]
):
    app.kill()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace("protocol: http}", "protocol: http, fallbacks: [sse]}"))
    app.start()
    url = start(proxies)
    stream, own = {"Accept": "text/event-stream"}, {"Origin": url, "Sec-Fetch-Site": "same-origin"}

    with httpx.Client() as client, client.stream("GET", f"{url}/kept", headers={**stream, **own}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        for number in range(3):  # each is read before the next is sent: nothing is held back
            sent = httpx.post(f"{url}/kept", json={"message": f"text {number}"}, headers=own)
            assert sent.status_code == 202
            at = sent.json()["ack"]["at"]
            assert next(line for line in lines if line.startswith("data:")) == f"data: text {number}"
    again = {**stream, "Last-Event-ID": at}
    httpx.post(f"{url}/kept", json={"message": "meanwhile"})
    with httpx.Client() as client, client.stream("GET", f"{url}/kept", headers=again) as answer:
        assert next(line for line in answer.iter_lines() if line.startswith("data:")) == "data: meanwhile"

    foreign = {"Origin": "https://elsewhere.test", "Sec-Fetch-Site": "cross-site"}
    assert httpx.get(f"{url}/kept", headers={**stream, **foreign}).status_code == 403
    assert httpx.post(f"{url}/kept", json={"message": "forged"}, headers=foreign).status_code == 403
    assert httpx.get(f"{url}/kept", headers=foreign).status_code == 403


def test_a_public_name_that_no_hosts_list_is_421_with_a_line_that_says_what_to_write(app: Any, proxies: Proxies):
    url = proxies.haproxy(of_readme("haproxy"))

    for headers in ({}, HANDSHAKE):
        assert httpx.get(url, headers={**headers, "Host": "chat.example.com"}).status_code == 421

    told = [line for line in log_of(app).splitlines() if "(421)" in line]
    assert len(told) == 2  # one for each endpoint
    assert all(line.endswith("write hosts: [signalpost.test, chat.example.com]") for line in told)


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def log_of(app: Any) -> str:
    return (app.folder / "server.log").read_text()
