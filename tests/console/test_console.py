"""The console over HTTP: who may, what is read, what is done, and what the log says of that."""

import logging
import time

import httpx
import jwt
import pytest

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.node import Seams
from signalpost.testing import serve

SECRET = "a secret of the tests that is long enough for HS256"
APP = f"""
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
undeclared: refuse
auth: {{tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256]}}, cookie: who}}
signals:
  - {{path: "/rooms/<room>", rebroadcast: path, presence: true, may: {{connect: anyone}}}}
  - {{path: /elsewhere, may: {{connect: anyone}}}}
timers: [{{name: tick, every: 1h, do: [{{broadcast: {{value: tick, path: /rooms/tea}}}}]}}]
monitor: {{console: /console, may: "{{{{ 'admin' in claims.roles }}}}"}}
"""
DEEDS = ("kick", "publish", "run")


class Visitor:
    """Somebody who uses the console of an app."""

    def __init__(self, app, http):
        self._url = f"{app.url('web')}/console"
        self._http = http

    async def get(self, below="", **options):
        return await self._http.get(self._url + below, **options)

    async def read(self, **query):
        answer = await self.get("/data", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def do(self, deed, body, **headers):
        return await self._http.post(f"{self._url}/{deed}", json=body, headers=headers)


def token(user, *roles):
    return jwt.encode({"sub": user, "roles": roles, "exp": int(time.time()) + 3600}, SECRET, "HS256")


@pytest.fixture
async def app():
    async with serve(APP) as app:
        yield app


@pytest.fixture
async def visit(app):
    async with httpx.AsyncClient(trust_env=False) as http:

        def visit(user=None, *roles, cookie=False):
            http.headers.pop("authorization", None)
            http.cookies.clear()
            if cookie:
                http.cookies.set("who", token(user, *roles))
            elif user:
                http.headers["authorization"] = f"Bearer {token(user, *roles)}"
            return Visitor(app, http)

        yield visit


@pytest.fixture
def ann(visit):
    return visit("ann", "admin")


async def test_guests_and_others_see_nothing_and_do_nothing(app, visit, ann):
    names = [name for name in ("", "/data", "/console.js", "/console.css") if (await ann.get(name)).status_code == 200]
    assert len(names) == 4
    for user, status in ((None, 401), ("eve", 403)):
        visitor = visit(user)
        for name in names:
            assert (await visitor.get(name)).status_code == status
        for deed in DEEDS:
            assert (await visitor.do(deed, {})).status_code == status


async def test_a_cookie_opens_the_page_as_the_routes_of_the_app_are_opened(visit):
    page = await visit("ann", "admin", cookie=True).get()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'data-base="/console"' in page.text


async def test_the_page_may_load_nothing_from_elsewhere_and_stands_in_no_frame(ann):
    headers = (await ann.get()).headers
    rules = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert headers["cache-control"] == "no-store"


async def test_every_file_that_the_page_names_is_there(ann):
    text = (await ann.get()).text
    for line in text.splitlines():
        if "/console/" in line:
            name = line.partition('"/console')[2].partition('"')[0]
            assert (await ann.get(name)).status_code == 200, name


async def test_it_shows_clients_and_counts_only_once_somebody_looks(app, ann):
    async with app.connect("/rooms/tea") as client:
        assert not app.server.node.counts.on
        await ann.read()
        await client.send("hello")
        await client.receive()
        found = await ann.read()
    (room, *_) = found["signals"]
    assert (room["signal"], room["messages"], room["deliveries"], room["clients"]) == ("/rooms/<room>", 1, 1, 1)
    assert [each["path"] for each in found["clients"]["shown"]] == ["/rooms/tea"]
    assert found["you"] == "user 'ann'"


async def test_clients_are_sought_by_id_user_and_path(app, ann):
    async with app.connect("/rooms/tea") as one, app.connect("/elsewhere"):
        for sought in (one.id, "tea"):
            clients = (await ann.read(clients=sought))["clients"]
            assert [each["id"] for each in clients["shown"]] == [one.id]
            assert (clients["found"], clients["count"]) == (1, 2)


async def test_it_shows_the_messages_of_a_path_from_the_moment_when_somebody_looks(app, ann):
    async with app.connect("/rooms/tea") as client:
        await client.send("before")
        await client.receive()
        assert (await ann.read(path="/rooms/tea"))["path"]["messages"] == []
        await client.send("after")
        await client.receive()
        path = (await ann.read(path="/rooms/tea"))["path"]
    (message,) = path["messages"]
    assert message["text"] == '{"message":"after"}'
    assert ["receivers", "1 client here: clients on /rooms/tea"] in message["way"]
    assert path["presence"]["count"] == 1


async def test_it_kicks_a_client_and_the_log_says_who_did(app, ann, caplog):
    async with app.connect("/rooms/tea") as client, app.connect("/rooms/tea") as other:
        done = await ann.do("kick", {"client": client.id})
        assert done.json() == {"told": "1 client sent away"}
        await client.socket.wait_closed()
        assert client.socket.close_code == 4009
        await other.send("still here")
        assert await other.receive() == "still here"
    assert f"user 'ann' (console) kicks client \"{client.id}\": 1 clients" in caplog.messages


async def test_it_publishes_and_the_log_says_who_did(app, ann, caplog):
    async with app.connect("/rooms/tea") as client:
        done = await ann.do("publish", {"path": "/rooms/tea", "value": "from above"})
        assert done.json() == {"told": "Published to 1 client"}
        assert await client.receive() == "from above"
    assert "user 'ann' (console) publishes to path \"/rooms/tea\": 1 clients" in caplog.messages


async def test_it_runs_a_job_and_the_log_says_who_did(app, ann, caplog):
    async with app.connect("/rooms/tea") as client:
        done = await ann.do("run", {"job": "tick"})
        assert done.json() == {"told": "tick has run"}
        assert await client.receive() == "tick"
    assert "user 'ann' (console) runs the job \"tick\"" in caplog.messages


@pytest.mark.parametrize(
    ("deed", "body", "status", "detail"),
    [
        ("run", {"job": "tock"}, 404, 'no job is named "tock"'),
        ("run", {}, 400, "job is the name of a timer or schedule"),
        ("kick", {}, 400, "at least one of"),
        ("publish", {"value": 1}, 400, "at least one of"),
        ("publish", {"path": "/rooms/tea"}, 400, "value"),
        ("kick", {"client": "x", "force": True}, 400, "force"),
    ],
)
async def test_a_deed_that_cannot_be_done_says_why(ann, deed, body, status, detail):
    done = await ann.do(deed, body)
    assert done.status_code == status
    assert detail in done.json()["error"]["detail"]


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
async def test_pages_of_other_origins_change_nothing(app, ann, headers):
    async with app.connect("/rooms/tea") as client:
        for deed, body in (("kick", {"client": client.id}), ("run", {"job": "tick"})):
            assert (await ann.do(deed, body, **headers)).status_code == 403
        await client.send("still here")
        assert await client.receive() == "still here"


async def test_reloads_are_shown_with_the_problems_of_those_that_were_not_done(app, ann):
    await app.reload(APP.replace("every: 1h", "every: 2h"))
    app.server.note_failed_reload(["routes.yaml:9: nothing fits"])
    newest, oldest = (await ann.read())["reloads"]
    assert newest["problems"] == ["routes.yaml:9: nothing fits"]
    assert oldest["told"] == "reloaded: ~1 timer"


async def test_a_reload_that_takes_the_console_away_ends_it(app, ann):
    await ann.read(path="/rooms/tea")
    await app.reload(APP.partition("monitor:")[0])
    assert (await ann.get()).status_code == 404


async def test_nodes_and_their_plans_are_shown_where_there_are_several():
    shared = MemoryServer()
    async with serve(APP, seams=Seams(backplane=MemoryBackplane(shared))) as one, httpx.AsyncClient() as http:
        http.headers["authorization"] = f"Bearer {token('ann', 'admin')}"
        async with serve(APP, seams=Seams(backplane=MemoryBackplane(shared))):
            cluster = (await Visitor(one, http).read())["cluster"]
    assert cluster["here"]
    assert len(cluster["nodes"]) == 2


async def test_a_single_node_shows_no_cluster(ann):
    assert (await ann.read())["cluster"] is None


async def test_an_app_without_a_console_loads_none_of_it(caplog):
    caplog.set_level(logging.ERROR)
    async with serve(APP.partition("monitor:")[0]) as app:
        assert app.server._console is None
