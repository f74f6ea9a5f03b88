"""Endpoints at Unix sockets, as a proxy on the same machine asks them."""

import asyncio
import os
import shutil
import socket
import stat

import httpx
import pytest
from websockets.asyncio.client import unix_connect

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError, ListenError
from signalpost.testing import serve

APP = """
    endpoints:
      - {name: web, address: "unix:app.sock", protocol: http, mode: "660"}
      - {name: live, address: "unix:app.sock", protocol: ws}
    routes: [{path: /, method: GET, do: [{respond: {text: here}}]}]
"""


async def get(path, host="app.example.com"):
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return await client.get("/")


async def test_pages_and_websockets_share_a_unix_socket_and_are_asked_by_any_name(tmp_path):
    path = tmp_path / "app.sock"
    async with serve(APP, folder=tmp_path) as app:
        answer = await get(path)
        assert (answer.status_code, answer.text) == (200, "here")
        async with (
            unix_connect(str(path), "ws://app.example.com/") as client,
            unix_connect(str(path), "ws://other.example.com/") as listener,
        ):
            await client.send('{"message": "hello"}')
            assert await listener.recv() == "hello"
        assert app.server.url("web") == f"http://unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_many_get_large_values_at_a_unix_socket_as_anywhere(tmp_path):
    async with serve(APP, folder=tmp_path):
        path = str(tmp_path / "app.sock")
        async with (
            unix_connect(path, "ws://a/", max_size=None) as one,
            unix_connect(path, "ws://a/", max_size=None) as two,
        ):
            for _ in range(8):
                await one.send('{"message": "%s"}' % ("x" * 500_000))
                assert [len(await each.recv()) for each in (one, two)] == [500_000] * 2


async def test_a_client_that_goes_is_noticed_at_a_unix_socket(tmp_path):
    async with serve(APP, folder=tmp_path) as app:
        path = str(tmp_path / "app.sock")
        async with unix_connect(path, "ws://a/") as witness:
            async with unix_connect(path, "ws://a/") as gone:
                assert app.server.clients == 2
                gone.transport.abort()
            for _ in range(3):
                await witness.send('{"message": "marker", "direct": true}')
                assert await witness.recv() == "marker"
            assert app.server.clients == 1


async def test_the_file_of_a_unix_socket_goes_with_its_server_and_that_of_a_killed_one_is_replaced(
    tmp_path, count_descriptors
):
    path = tmp_path / "app.sock"
    counts = []
    for _ in range(3):  # the first makes what the process keeps
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(path))
        async with serve(APP, folder=tmp_path):
            assert (await get(path)).text == "here"
        assert not path.exists()
        counts.append(count_descriptors())
    assert counts[1] == counts[2]


async def test_a_unix_socket_at_which_somebody_listens_is_a_mistake_and_so_is_a_file(tmp_path):
    path = tmp_path / "app.sock"
    async with serve(APP, folder=tmp_path):
        with pytest.raises(ListenError, match="is in use by another program"):
            async with serve(APP, folder=tmp_path):
                pass
        assert (await get(path)).text == "here"
    path.write_text("a letter")
    with pytest.raises(ListenError, match="is no socket"):
        async with serve(APP, folder=tmp_path):
            pass
    assert path.read_text() == "a letter"


@pytest.mark.slow
async def test_a_reload_keeps_a_unix_socket_with_its_clients_changes_its_mode_and_lets_it_go(tmp_path):
    path = tmp_path / "app.sock"
    async with serve(APP, folder=tmp_path) as app:
        inode = path.stat().st_ino
        async with unix_connect(str(path), "ws://a/") as client:
            reloaded = await app.reload(APP.replace('"660"', '"600"').replace("text: here", "text: there"))
            assert (reloaded.kept, reloaded.closed) == (1, 0)
            await client.send('{"message": "still"}')
            assert await client.recv() == "still"
        assert (await get(path)).text == "there"
        assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (inode, 0o600)
        await app.reload(APP.replace("app.sock", "new.sock"))
        assert (await get(tmp_path / "new.sock")).text == "here"
    assert not path.exists()
    assert not (tmp_path / "new.sock").exists()


async def test_the_file_of_a_successor_is_left_to_it(tmp_path):
    path = tmp_path / "app.sock"
    async with serve(APP, folder=tmp_path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


async def test_a_reload_listens_again_where_somebody_has_taken_the_file_away(tmp_path):
    path = tmp_path / "app.sock"
    async with serve(APP, folder=tmp_path) as app:
        path.unlink()
        await app.reload()
        assert (await get(path)).text == "here"
    assert not path.exists()


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ('address: "unix:app.sock", protocol: http, port: 8090', "a Unix socket has no port"),
        ('address: "unix:app.sock", protocol: https, self_signed: true', "a Unix socket is not encrypted"),
        ('address: "unix:", protocol: http', "names no Unix socket"),
        ('address: "unix: app.sock", protocol: http', "names no Unix socket"),
        ('address: "unix:a\\nb", protocol: http', "names no Unix socket"),
        ('address: "unix:.", protocol: http', "is a folder; write the path of a Unix socket in it"),
        ('address: "unix:nowhere/app.sock", protocol: http', "make it first"),
        (f'address: "unix:{"a" * 120}", protocol: http', "has at most 107 bytes"),
        ('address: "unix:app.sock", protocol: http, mode: "rw"', "is no mode: write three octal digits"),
        ('address: 127.0.0.1, port: 0, protocol: http, mode: "660"', "only a Unix socket"),
        ("address: 127.0.0.1, protocol: http", 'the key "port" is missing'),
    ],
)
def test_what_cannot_be_listened_at_is_a_mistake(tmp_path, endpoint, says):
    with pytest.raises(ConfigError, match=says) as refused:
        parse_config(f"endpoints: [{{name: web, {endpoint}}}]", file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    assert len(refused.value.problems) == 1


def test_two_endpoints_of_a_kind_cannot_share_a_unix_socket(tmp_path):
    text = 'endpoints: [{name: a, address: "unix:x", protocol: ws}, {name: b, address: "unix:./x", protocol: ws}]'
    with pytest.raises(ConfigError, match='is taken by the endpoint "a"'):
        parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN)


PROXIED = """
    endpoints:
      - {name: web, address: "unix:app.sock", protocol: http}
      - {name: live, address: "unix:app.sock", protocol: ws}
    routes:
      - {path: /, method: POST, do: [{broadcast: {value: "{{ data }}"}}]}
      - {path: "/u/<name>", method: GET, do: [{respond: {json: "{{ params.name }}"}}]}
    signals: [{path: "/u/<name>", connected: [{reply: {value: "{{ params.name }}"}}]}]
"""


NGINX = """
    daemon off; master_process off; pid nginx.pid;
    events {{}}
    http {{
        access_log off;
        client_body_temp_path body; proxy_temp_path proxy;
        fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
        server {{
            listen unix:{folder}/nginx.sock;
            location / {{
                proxy_pass http://unix:{folder}/app.sock;
                proxy_http_version 1.1;
                proxy_set_header Host {host};
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
            }}
        }}
    }}
"""


@pytest.fixture
async def start_nginx(tmp_path):
    """Start nginx with a configuration; it listens when this returns."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        reason = "there is no nginx on the PATH (Debian: apt install nginx)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    started = []

    async def start(host):
        (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, host=host))
        command = (program, "-p", str(tmp_path), "-e", "stderr", "-c", "nginx.conf")
        started.append(await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL))
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(tmp_path / "nginx.sock")
            except (FileNotFoundError, ConnectionRefusedError):
                assert started[0].returncode is None, "nginx has ended"
                await asyncio.sleep(0)
            else:
                writer.close()
                return

    yield start
    for process in started:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("host", ["$host", "$http_host"])
async def test_nginx_asks_at_a_unix_socket_for_pages_and_websockets(tmp_path, start_nginx, host):
    url = "http://app.example.com:8080"
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "nginx.sock"))
    async with serve(PROXIED, folder=tmp_path):
        await start_nginx(host)
        async with (
            httpx.AsyncClient(transport=transport, base_url=url, headers={"origin": url}) as page,
            unix_connect(str(tmp_path / "nginx.sock"), "ws://app.example.com:8080/u/a%2Fb", origin=url) as client,
        ):
            assert await client.recv() == "a/b"
            assert (await page.get("/u/a%2Fb")).json() == "a/b"
            assert (await page.get("/.well-known/signalpost")).json()["url"] is None
            assert (await page.post("/", json="hello")).status_code == 204
            assert await client.recv() == "hello"
            assert (await page.post("/", headers={"origin": "http://evil.test"})).status_code == 403
