"""Behind nginx and HAProxy, with the configurations of the documents: the client is the one who asked the proxy."""

import asyncio
import os
import re
import shutil
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from signalpost.config.certificates import load_certificate
from signalpost.config.model import TlsConfig
from signalpost.testing import serve

PAGE = (Path(__file__).parents[2] / "core/docs/edge.md").read_text()
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
HAPROXY = "defaults\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n{}\n"
FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "81",
    "Forwarded": "for=6.6.6.6;proto=http;host=evil.example",
}
SAME = "hosts: [chat.example], proxies"


def of_page(language):
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]


def program(name):
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = f"there is no {name} on the PATH (Debian: apt install {name})"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


class Proxy:
    """A proxy that runs, and clients of it from any address of this machine.

    Attributes:
        port: where it listens, with TLS.

    """

    def __init__(self, port, trusting):
        self.port = port
        self._trusting = trusting

    def client(self, address="127.0.0.2"):
        """Return a client for plain HTTP from an address."""
        transport = httpx.AsyncHTTPTransport(local_address=address, verify=self._trusting)
        return httpx.AsyncClient(
            transport=transport,
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Host": "chat.example"},
        )

    def socket(self, path, address="127.0.0.2", **options):
        """Open a WebSocket from an address."""
        return connect(
            f"wss://chat.example{path}",
            host="127.0.0.1",
            port=self.port,
            local_addr=(address, 0),
            ssl=self._trusting,
            proxy=None,
            **options,
        )


@pytest.fixture
async def start(tmp_path, trusting):
    """Start a proxy before an app: ``await start("nginx", app)``."""
    started = []
    certificate = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1", "chat.example"))
    (tmp_path / "site.pem").write_bytes(certificate.chain + certificate.key)
    (tmp_path / "site.key").write_bytes(certificate.key)

    async def start(kind, app):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = of_page(kind.split()[0])
        if kind == "haproxy forwarded":
            begin, end = text.index("    option forwardfor"), text.index("    use_backend")
            written = "for=%[src];proto=https;host=%[req.hdr(host)]"
            text = f"{text[:begin]}    http-request add-header Forwarded {written}\n{text[end:]}"
        for was, now in (
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("bind :443", f"bind 127.0.0.1:{port}"),
            ("site.", f"{tmp_path}/site."),
            ("127.0.0.1:8090", app.url("web").removeprefix("http://")),
            ("127.0.0.1:8091", app.url("live").removeprefix("ws://")),
        ):
            text = text.replace(was, now)
        if kind == "nginx":
            (tmp_path / "nginx.conf").write_text(NGINX.format(text))
            command = (program("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", "nginx.conf")
        else:
            (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(text))
            command = (program("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg"))
        log = (tmp_path / "proxy.log").open("wb")
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        started.append((process, log))
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                assert process.returncode is None, (tmp_path / "proxy.log").read_text()
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return Proxy(port, trusting)

    yield start
    for process, log in started:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()


@pytest.fixture(
    params=[
        ("nginx", "[127.0.0.1]"),
        ("haproxy", "[127.0.0.0/31]"),
        ("haproxy forwarded", "{addresses: [127.0.0.1], headers: forwarded}"),
    ],
    ids=["nginx", "haproxy", "haproxy with Forwarded"],
)
async def behind(request, routes, plugin, start):
    """Serve the app behind a proxy: ``async with behind() as (app, proxy)``."""
    kind, proxies = request.param

    @asynccontextmanager
    async def behind(more=""):
        async with serve(routes(proxies, more).replace("proxies", SAME), plugins=plugin) as app:
            yield app, await start(kind, app)

    return behind


@pytest.mark.parametrize("forged", [{}, FORGED], ids=["as it is", "forged"])
async def test_the_client_is_the_one_who_asked_the_proxy_whatever_it_says(behind, forged):
    async with (
        behind() as (_, proxy),
        proxy.socket("/live-who", additional_headers=forged) as live,
        proxy.client() as web,
    ):
        await live.send('{"message": "?"}')
        assert re.fullmatch(
            r'\{"peer":\["127\.0\.0\.2",0\],"scheme":"https","host":"chat\.example"\}', await live.recv()
        )
        told = (await web.get("/web-who", headers=forged)).json()
        assert told == {
            "ip": "127.0.0.2",
            "port": 0,
            "remote_addr": "127.0.0.2",
            "client_ip": "127.0.0.2",
            "scheme": "https",
            "host": "chat.example",
            "url": "https://chat.example/web-who",
        }
        posted = await web.post("/who", headers=forged, json={"message": "?"})
        assert posted.json()["reply"]["value"] == '["127.0.0.2",0] https chat.example'
        where = (await web.get("/.well-known/signalpost", headers=forged)).json()
        assert where["url"] is None


async def test_pages_of_the_public_address_are_let_in_and_no_others(behind, caplog):
    async with behind() as (_, proxy):
        own = {"Origin": "https://chat.example", "Sec-Fetch-Site": "same-origin"}
        other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", **FORGED}
        async with proxy.client() as web:
            async with proxy.socket("/chat", origin="https://chat.example"):
                pass
            with pytest.raises(InvalidStatus, match="403"):
                async with proxy.socket("/chat", origin="https://evil.example", additional_headers=FORGED):
                    pass
            assert (await web.post("/steps", headers=own)).status_code == 200
            assert (await web.post("/steps", headers=other)).status_code == 403
            assert (await web.post("/chat", headers=own, json={"message": 1})).status_code == 202
            assert (await web.post("/chat", headers=other, json={"message": 1})).status_code == 403
            stream = {"Accept": "text/event-stream"}
            async with web.stream("GET", "/hello", headers={**stream, **own}) as answer:
                assert answer.status_code == 200
                data = await anext(line async for line in answer.aiter_lines() if line.startswith("data:"))
                assert data == 'data: ["127.0.0.2",0] https chat.example'
            assert (await web.get("/hello", headers={**stream, **other})).status_code == 403
    assert 'of a page of "https://evil.example" was refused (403); if it is yours, write origins' in caplog.text


async def test_limits_count_each_client_of_the_proxy_by_itself(behind, caplog):
    limits = "limits: {rate: 2/s, per_address: {connections: 2, requests: 20/h}}\n"
    async with behind(limits) as (_, proxy):
        stream = {"Accept": "text/event-stream"}
        async with (
            proxy.client() as web,
            proxy.client("127.0.0.3") as other,
            proxy.socket("/chat"),
            web.stream("GET", "/hello", headers=stream) as answer,
        ):
            assert answer.status_code == 200
            with pytest.raises(InvalidStatus, match="429"):
                async with proxy.socket("/chat", additional_headers=FORGED):
                    pass
            refused = await web.get("/hello", headers={**stream, **FORGED})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            async with proxy.socket("/chat", "127.0.0.3"), other.stream("GET", "/hello", headers=stream) as more:
                assert more.status_code == 200
            posts = [await web.post("/chat", headers=FORGED, json={"message": 1}) for _ in range(5)]
            assert {post.status_code for post in posts} == {202, 429}
            assert (await other.post("/chat", json={"message": 1})).status_code == 202
            rest = [(await web.get("/steps", headers=FORGED)).status_code for _ in range(20)]
            assert rest[-1] == 429
            assert (await other.get("/steps")).status_code == 200
    assert "connections of 127.0.0.2 were refused (429)" in caplog.text
    assert "requests of 127.0.0.2 were refused (429)" in caplog.text
    assert "127.0.0.1" not in "".join(record.getMessage() for record in caplog.records if "(429)" in record.message)
