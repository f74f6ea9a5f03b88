"""Limits of one user: over all its clients, wherever they come from. Guests have none."""

import asyncio

import httpx
import pytest

from signalpost.auth.identity import GUEST, Identity
from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.sockets import rate
from signalpost.sockets.services import SocketServices
from signalpost.testing import serve


@pytest.fixture(autouse=True)
def named(monkeypatch):
    """Let clients be who their header X-User says."""
    ask = SocketServices.ask

    def asked(self, *args, **options):
        request = ask(self, *args, **options)
        user = request.handshake.headers.get("x-user")
        return request._replace(identity=GUEST if user is None else Identity(user))

    monkeypatch.setattr(SocketServices, "ask", asked)


def of(user, address="203.0.113.7"):
    return {"X-User": user, "X-Forwarded-For": address}


class Counts(Observer):
    def __init__(self):
        self.limits = []

    def limited(self, limit, endpoint):
        self.limits.append((limit, endpoint))


async def gone(app, left):
    async with asyncio.timeout(10):
        while len(app.server.node.limiter.users) > left:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.001)


async def test_a_user_has_so_many_connections_over_all_addresses_and_guests_have_more(routes, refused, caplog):
    counts = Counts()
    text = routes(more="limits: {per_user: {connections: 2}}\n")
    async with serve(text, seams=Seams(observer=counts)) as app:
        async with (
            app.connect("/chat", additional_headers=of("ann")) as first,
            app.connect("/chat", additional_headers=of("ann", "203.0.113.8")),
            app.connect("/chat", additional_headers=of("bob")),
            app.connect("/chat"),
            app.connect("/chat"),
            app.connect("/chat"),
        ):
            assert app.server.node.hub.clients[first.id].user == "ann"
            response = await refused(app, "/chat", additional_headers=of("ann", "203.0.113.9"))
            assert (response.status_code, response.headers["retry-after"]) == (429, "5")
            await first.close()
            await gone(app, 2)
            async with app.connect("/chat", additional_headers=of("ann")):
                pass
        await gone(app, 0)
    assert counts.limits == [("user-connections", "live")]
    assert "another connection of the user ann was refused (429): limits.per_user.connections is 2" in caplog.text


async def test_event_streams_count_and_posts_do_not(routes, http):
    text = routes(more="limits: {per_user: {connections: 1}}\n")
    stream = {"Accept": "text/event-stream", **of("ann")}
    async with (
        serve(text) as app,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", app.url("web") + "/chat", headers=stream) as answer,
    ):
        assert answer.status_code == 200
        assert (await http(app, "/chat", stream)).status_code == 429
        assert (await http(app, "/chat", of("ann"), "POST", json={"message": 1})).status_code == 202


async def test_whoever_was_connected_before_a_reload_counts_after_it(routes, refused):
    async with serve(routes()) as app, app.connect("/chat", additional_headers=of("ann")):
        await app.reload(routes(more="limits: {per_user: {connections: 1}}\n"))
        assert (await refused(app, "/chat", additional_headers=of("ann"))).status_code == 429


async def test_the_limit_counts_where_an_admission_hook_waits(routes, refused):
    async def hook(_request):
        await asyncio.sleep(0)

    text = routes(more="limits: {per_user: {connections: 1}}\n")
    async with serve(text, seams=Seams(admission=[hook])) as app, app.connect("/chat", additional_headers=of("ann")):
        assert (await refused(app, "/chat", additional_headers=of("ann"))).status_code == 429
        async with app.connect("/chat", additional_headers=of("bob")):
            pass


@pytest.fixture
def moment(monkeypatch):
    """Let allowances follow a clock of the test's own."""
    moment = [0.0]
    begin = rate.Allowance.__init__
    monkeypatch.setattr(rate.Allowance, "__init__", lambda self, pace, _clock: begin(self, pace, lambda: moment[0]))
    return moment


ECHO = "limits: {rate: 0, per_user: {rate: 2/s}}\n"


async def told(client, count):
    return [await client.receive() for _ in range(count)]


async def test_all_connections_of_a_user_share_one_rate_and_nothing_is_lost(routes, moment):
    text = routes(more=ECHO).replace("{path: /chat}", "{path: /chat, rebroadcast: sender}")
    async with (
        serve(text) as app,
        app.connect("/chat", additional_headers=of("ann")) as one,
        app.connect("/chat", additional_headers=of("ann", "203.0.113.8")) as two,
        app.connect("/chat", additional_headers=of("bob")) as other,
        app.connect("/chat") as guest,
    ):
        for number in range(3):
            await one.send(number)
        assert await told(one, 3) == ["0", "1", "2"]
        for number in range(3):
            await two.send(number)
        assert await told(two, 1) == ["0"]
        for number in range(10):
            await guest.send(number)
        assert len(await told(guest, 10)) == 10
        await other.send("bob's own")
        assert await told(other, 1) == ["bob's own"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(two.receive(), 0.1)
        moment[0] += 10
        assert await told(two, 2) == ["1", "2"]


async def test_posts_of_a_user_share_its_rate(routes, http, moment):
    async with serve(routes(more=ECHO)) as app:
        statuses = [
            (await http(app, "/chat", of("ann", f"203.0.113.{number}"), "POST", json={"message": 1})).status_code
            for number in range(5)
        ]
        assert statuses == [202] * 4 + [429]
        assert (await http(app, "/chat", of("bob"), "POST", json={"message": 1})).status_code == 202
        assert (await http(app, "/chat", method="POST", json={"message": 1})).status_code == 202
        moment[0] += 0.5
        assert (await http(app, "/chat", of("ann"), "POST", json={"message": 1})).status_code == 202


async def test_a_rate_of_users_that_comes_or_goes_by_a_reload_applies_at_once(routes, moment):
    text = routes().replace("{path: /chat}", "{path: /chat, rebroadcast: sender}")
    async with serve(text) as app, app.connect("/chat", additional_headers=of("ann")) as ann:
        await app.reload(text + ECHO)
        for number in range(5):
            await ann.send(number)
        assert await told(ann, 4) == ["0", "1", "2", "3"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ann.receive(), 0.1)
        await app.reload(text)
        assert await told(ann, 1) == ["4"]
        for number in range(20):
            await ann.send(number)
        assert len(await told(ann, 20)) == 20
    assert moment == [0.0]


def test_allowances_are_bounded_and_the_one_that_was_used_last_stays():
    pace = rate.Pace(1, rate.UNREACHED, 1)
    table = rate.AllowanceTable(lambda: 0.0, most=10)
    first = table.of("first", pace)
    for key in range(9):
        table.of(key, pace)
    assert table.of("first", pace) is first
    for key in range(100, 109):
        table.of(key, pace)
    assert len(table) == 10
    assert table.of("first", pace) is first
    for key in range(10):
        table.of(key, pace)
    assert table.of("first", pace) is not first
