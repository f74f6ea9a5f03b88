"""The site that `new --deploy nginx` writes, served by a real nginx before the app."""

import asyncio
import json
import re
import socket
import ssl
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect

from signalpost.config.certificates import load_certificate
from signalpost.config.model import TlsConfig
from signalpost.testing import serve

from .conftest import program

MAIN = """\
daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 256; }}
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
APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http, fallbacks: [sse], MORE}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws, MORE}
routes:
  - {path: /who, method: GET, do: [{respond: {json: "{{ request }}"}}]}
signals:
  - {path: /chat, rebroadcast: path}
monitor: {health: /up}
"""
TOLD = 'hosts: [chat.example], proxies: [127.0.0.1, "::1"]'
COMPLETE = APP.replace("MORE", TOLD)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def site(new_app):
    """Return the site for an app, as it is written."""

    def site(text=COMPLETE):
        return (new_app("nginx", change=lambda _: text) / "deploy" / "nginx.conf").read_text()

    return site


@pytest.fixture
async def behind(tmp_path, site):
    """Serve the app behind nginx: ``async with behind() as (app, client, url)``."""
    certificate = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1", "chat.example"))
    (tmp_path / "fullchain.pem").write_bytes(certificate.chain)
    (tmp_path / "privkey.pem").write_bytes(certificate.key)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    @asynccontextmanager
    async def behind():
        plain, secure = free_port(), free_port()
        running = re.sub("port: 809.", "port: 0", COMPLETE)
        async with serve(running) as app:
            text = site()
            for was, now in (
                ("    listen [::]:80;\n", ""),
                ("    listen [::]:443 ssl;\n", ""),
                ("listen 80;", f"listen 127.0.0.1:{plain};"),
                ("listen 443 ssl;", f"listen 127.0.0.1:{secure} ssl;"),
                ("/etc/letsencrypt/live/chat.example/", f"{tmp_path}/"),
                ("/var/www/acme", f"{tmp_path}/acme"),
                ("server 127.0.0.1:8090;", f"server {app.url('web').removeprefix('http://')};"),
                ("server 127.0.0.1:8091;", f"server {app.url('live').removeprefix('ws://')};"),
            ):
                assert was in text
                text = text.replace(was, now)
            (tmp_path / "nginx.conf").write_text(MAIN.format(text))
            command = (program("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", "nginx.conf")
            with (tmp_path / "log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            try:
                while True:
                    try:
                        (await asyncio.open_connection("127.0.0.1", secure))[1].close()
                        break
                    except ConnectionRefusedError:
                        assert process.returncode is None, (tmp_path / "log").read_text()
                        await asyncio.sleep(0.01)
                client = httpx.AsyncClient(verify=trusting, headers={"Host": "chat.example"}, timeout=20)
                async with client:
                    yield client, plain, secure, trusting
            finally:
                process.kill()
                await process.wait()

    return behind


async def test_a_page_is_served_and_the_app_knows_who_asks(behind):
    async with behind() as (client, _, port, _):
        told = (await client.get(f"https://127.0.0.1:{port}/who", headers={"X-Forwarded-For": "6.6.6.6"})).json()
    assert (told["scheme"], told["host"], told["peer"][0]) == ("https", "chat.example", "127.0.0.1")


async def test_a_websocket_is_passed_on(behind):
    async with behind() as (_, _, port, trusting):
        url = "wss://chat.example/chat"
        async with connect(url, host="127.0.0.1", port=port, ssl=trusting, proxy=None) as line:
            await line.send(json.dumps({"message": "hi"}))
            assert "hi" in await line.recv()


async def test_an_event_comes_through_while_the_stream_is_open(behind):
    async with behind() as (client, _, port, trusting):
        headers = {"Accept": "text/event-stream"}
        async with client.stream("GET", f"https://127.0.0.1:{port}/chat", headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            await anext(lines)
            url = "wss://chat.example/chat"
            async with connect(url, host="127.0.0.1", port=port, ssl=trusting, proxy=None) as line:
                await line.send(json.dumps({"message": "now"}))
                while "now" not in await anext(lines):
                    pass


async def test_plain_http_leads_to_tls_but_for_what_certbot_asks(behind, tmp_path):
    challenge = tmp_path / "acme" / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    async with behind() as (client, port, _, _):
        moved = await client.get(f"http://127.0.0.1:{port}/who?x=1")
        assert (moved.status_code, moved.headers["location"]) == (308, "https://chat.example/who?x=1")
        assert (await client.get(f"http://127.0.0.1:{port}/.well-known/acme-challenge/token")).text == "proof"


async def test_what_is_for_watching_is_not_passed_on(behind):
    async with behind() as (client, _, port, _):
        assert (await client.get(f"https://127.0.0.1:{port}/up")).status_code == 404
        assert (await client.get(f"https://127.0.0.1:{port}/up/ready")).status_code == 404


class TestText:
    def test_event_streams_are_not_buffered(self, site):
        assert "\n        proxy_buffering off;\n" in site()

    def test_it_says_what_routes_yaml_lacks_at_its_place(self, site):
        text = site(APP.replace(", MORE", ""))
        assert (
            '# routes.yaml:2: endpoint web: behind nginx, write hosts: [example.com], proxies: [127.0.0.1, "::1"]'
            in text
        )
        assert "server_name example.com;" in text

    def test_it_says_nothing_of_an_app_that_has_all(self, site):
        assert "behind nginx, write" not in site()

    def test_a_unix_socket_and_tls_are_asked_as_they_are(self, site):
        text = site(
            "endpoints:\n"
            "  - {name: web, address: 'unix:web.sock', protocol: http}\n"
            "  - {name: live, address: 0.0.0.0, port: 8091, protocol: wss, self_signed: true}\n"
        )
        assert "server unix:/srv/chat/web.sock;" in text
        assert "server 127.0.0.1:8091;" in text
        assert "default https://chat-signals;" in text
        assert "proxies: [unix]" in text

    def test_nginx_waits_longer_than_the_server_takes_to_say_something(self, site):
        text = site(COMPLETE + "limits: {response: 400s}\n")
        assert int(re.search(r"proxy_read_timeout (\d+)s", text)[1]) > 400
